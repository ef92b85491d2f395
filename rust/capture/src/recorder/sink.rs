//! Decoded events → the sample of them, counted, written, and handed to a live consumer.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use membench_decode::log::LEFT_OUT;
use membench_event::{Anchor, Event, OptionsTable, Sample};
use membench_profile::Writer;

use crate::recorder::Batch;
use crate::recorder::queue::Feed;
use crate::recorder::rotation::Profiles;
use crate::recorder::stop::Stop;
use crate::recorder::tally::Tally;
use crate::session::decoded::Decoded;
use crate::source::end::Ended;

/// Interval at which a consumer that is waited for is looked at.
const CONSUMER_TURN: Duration = Duration::from_millis(1);

/// Most connections that wait to be told to a consumer which lags behind; the clients of the earliest stay unknown to it.
const MOST_UNTOLD: usize = 1 << 18;

/// The destination of a recording's events.
pub(crate) struct Sink {
    /// The profiles written, if any.
    pub(crate) profiles: Option<Profiles>,
    consumer: Option<Feed>,
    /// True if the consumer is waited for.
    is_patient: bool,
    sample: Sample,
    anchor: Anchor,
    stop: Stop,
    /// Events that are written, or need not be.
    tally: Tally,
    /// Events that wait to be written.
    unwritten: Tally,
    /// The source's options strings, as batches share them.
    options: Arc<OptionsTable>,
    /// Events of the sample; the room is kept.
    held: Vec<Event>,
    sampled_out: u64,
    /// Events left out that earlier profiles account for.
    sampled_out_before: u64,
    dropped: u64,
    /// Connections, each with its client, that the consumer does not know yet.
    untold: Vec<(u32, u32)>,
    latest_ns: u64,
    write_error: Option<String>,
}

impl Sink {
    /// Creates a sink that has taken nothing yet; times of its events are placed by `anchor`.
    pub(crate) fn new(
        profiles: Option<Profiles>,
        consumer: Option<Feed>,
        sample: Sample,
        anchor: Anchor,
        stop: Stop,
    ) -> Self {
        Self {
            profiles,
            consumer,
            is_patient: false,
            sample,
            anchor,
            stop,
            tally: Tally::default(),
            unwritten: Tally::default(),
            options: Arc::default(),
            held: Vec::new(),
            sampled_out: 0,
            sampled_out_before: 0,
            dropped: 0,
            untold: Vec::new(),
            latest_ns: anchor.monotonic_ns,
            write_error: None,
        }
    }

    /// Sets whether a consumer that lags behind is waited for: a stored source can wait.
    #[must_use]
    pub(crate) fn patient(self, is_patient: bool) -> Self {
        Self { is_patient, ..self }
    }

    /// Takes what a source has decoded.
    pub(crate) fn take(&mut self, decoded: &Decoded<'_>) {
        self.note_added(decoded.added);
        let latest = decoded.events.iter().map(|event| event.time).max();
        self.latest_ns = self.latest_ns.max(latest.unwrap_or(0));
        if self.sample.is_all() {
            return self.pass(decoded.events, decoded);
        }
        let mut held = std::mem::take(&mut self.held);
        let sample = self.sample;
        held.extend(
            decoded
                .events
                .iter()
                .filter(|event| event.connection != LEFT_OUT && sample.holds(event)),
        );
        self.sampled_out += (decoded.events.len() - held.len()) as u64;
        self.pass(&held, decoded);
        held.clear();
        self.held = held;
    }

    fn pass(&mut self, events: &[Event], decoded: &Decoded<'_>) {
        if events.is_empty() {
            return;
        }
        self.unwritten.add(events);
        if let Some(options) = decoded.options
            && options.names().len() != self.options.names().len()
        {
            self.options = Arc::new(options.clone());
        }
        let options = Arc::clone(&self.options);
        self.write(|writer| writer.append(events, &options));
        self.feed(events);
    }

    fn note_added(&mut self, added: &[(u32, u32)]) {
        if self.consumer.is_none() {
            return;
        }
        self.untold.extend_from_slice(added);
        if self.untold.len() > MOST_UNTOLD {
            self.untold.drain(..self.untold.len() - MOST_UNTOLD / 2);
        }
    }

    /// Hands events to the consumer, or counts them if it lags behind too far.
    fn feed(&mut self, events: &[Event]) {
        let Some(consumer) = &self.consumer else {
            return;
        };
        while self.is_patient && !consumer.has_room(events.len()) && !self.stop.token.is_cancelled()
        {
            std::thread::sleep(CONSUMER_TURN);
        }
        if !consumer.has_room(events.len()) {
            self.dropped += events.len() as u64;
            return;
        }
        let batch = Batch {
            events: events.to_vec(),
            options: Arc::clone(&self.options),
            anchor: self.anchor,
            connections: std::mem::take(&mut self.untold),
        };
        if !consumer.push(batch) {
            self.dropped += events.len() as u64;
        }
    }

    /// Writes to the current profile, if there is one, and gives up writing if that fails.
    pub(crate) fn write(
        &mut self,
        write: impl FnOnce(&mut Writer) -> membench_profile::Result<()>,
    ) {
        let Some(profiles) = &mut self.profiles else {
            return self.count_written();
        };
        let writer = profiles.writer();
        if let Err(error) = write(writer) {
            self.give_up_writing(&error);
        } else if writer.pending() == 0 && self.write_error.is_none() {
            self.count_written();
        }
    }

    /// Does something with the profiles, if there are any, and gives up writing if that fails.
    pub(crate) fn write_profiles(
        &mut self,
        write: impl FnOnce(&mut Profiles) -> crate::Result<()>,
    ) {
        if let Some(profiles) = &mut self.profiles
            && let Err(error) = write(profiles)
        {
            self.give_up_writing(&error);
        }
    }

    /// Counts the events that wait to be written as written.
    fn count_written(&mut self) {
        self.tally.merge(&std::mem::take(&mut self.unwritten));
    }

    /// Ends the recording, as it cannot be written any further; what is on disk is sealed.
    pub(crate) fn give_up_writing(&mut self, error: &dyn Display) {
        self.write_error.get_or_insert_with(|| error.to_string());
        self.stop.ask(Ended::Output);
    }

    /// Counts of the events passed on, without those that could not be written.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = self.tally.clone();
        if self.write_error.is_none() {
            tally.merge(&self.unwritten);
        }
        tally
    }

    /// Events that the consumer did not take.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Events left out so far, as they are not of the sample.
    pub(crate) fn sampled_out(&self) -> u64 {
        self.sampled_out
    }

    /// Events left out since the last call.
    pub(crate) fn take_sampled_out(&mut self) -> u64 {
        let before = std::mem::replace(&mut self.sampled_out_before, self.sampled_out);
        self.sampled_out - before
    }

    /// Time of the latest event, ns.
    pub(crate) fn latest_ns(&self) -> u64 {
        self.latest_ns
    }

    /// Bytes written to all profiles.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.profiles.as_ref().map_or(0, Profiles::bytes_written)
    }

    /// The first failure to write.
    pub(crate) fn write_error(&self) -> Option<String> {
        self.write_error.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use membench_event::Command;

    use super::*;
    use crate::recorder::queue::queue;

    fn events(connections: &[u32]) -> Vec<Event> {
        let event = |(request, connection): (u32, &u32)| Event {
            connection: *connection,
            request,
            key: Some(u64::from(request) << 60),
            ..Event::new(Command::Get)
        };
        (0..).zip(connections).map(event).collect()
    }

    fn sink(sample: Sample, consumer: Option<Feed>) -> Sink {
        Sink::new(None, consumer, sample, Anchor::default(), Stop::default())
    }

    fn decoded(events: &[Event]) -> Decoded<'_> {
        Decoded {
            events,
            options: None,
            added: &[],
        }
    }

    #[test]
    fn every_event_is_passed_on_or_counted_as_left_out() {
        let sample = Sample {
            keys: 2,
            connections: 2,
        };
        let all = events(&[0, LEFT_OUT, 0, LEFT_OUT, 0, 0, 0, 0, 0, 0, 0, 0, LEFT_OUT]);
        let mut sink = sink(sample, None);
        for part in all.chunks(4) {
            sink.take(&decoded(part));
        }
        // Keys below half of all: requests 0 to 7, of which 1 and 3 are on connections that are not followed.
        assert_eq!((sink.tally().events(), sink.sampled_out()), (6, 7));
        assert_eq!((sink.take_sampled_out(), sink.take_sampled_out()), (7, 0));
    }

    #[test]
    fn a_consumer_that_lags_behind_loses_events_which_are_counted() {
        let (feed, batches) = queue(3);
        let mut sink = sink(Sample::default(), Some(feed));
        let all = events(&[0; 10]);
        let mut take = |range| sink.take(&decoded(&all[range]));
        take(0..1);
        take(1..3);
        take(3..5);
        let next = || batches.next(Duration::ZERO).map(|batch| batch.events.len());
        assert_eq!((next(), next(), next()), (Some(1), Some(2), None));
        // An empty queue takes a batch of any size.
        take(5..10);
        assert_eq!(next(), Some(5));
        assert_eq!((sink.dropped(), sink.tally().events()), (2, 10));
    }

    #[test]
    fn a_consumer_that_is_waited_for_loses_nothing_until_the_end() {
        let (feed, batches) = queue(1);
        let stop = Stop::default();
        let all = events(&[0; 9]);
        let mut sink = Sink::new(
            None,
            Some(feed),
            Sample::default(),
            Anchor::default(),
            stop.clone(),
        )
        .patient(true);
        let taken = std::thread::scope(|scope| {
            let patience = Duration::from_mins(1);
            let consumer = scope.spawn(move || {
                let taken = (0..9).filter_map(|_| batches.next(patience)).count();
                (taken, batches)
            });
            for event in &all {
                sink.take(&decoded(std::slice::from_ref(event)));
            }
            consumer.join().unwrap()
        });
        assert_eq!((taken.0, sink.dropped()), (9, 0));
        stop.ask(Ended::EndOfFile);
        for event in &all {
            sink.take(&decoded(std::slice::from_ref(event)));
        }
        assert_eq!(sink.dropped(), 8);
    }
}
