//! Packets, wherever they come from → a session.

use std::time::Duration;

use membench_decode::Connections;
use membench_decode::packet::{Clock, Flows, Limits, Packet, Ports, Sightings};
use membench_event::{ConnectionRow, Ledger, LossRow, Packets as PacketCounts, ratio};

use crate::session::Session;
use crate::session::counters::Counters;
use crate::session::decoded::Decoded;
use crate::session::peer::OpenBefore;
use crate::source::end::Ended;
use crate::source::inquiry::Inquiry;
use crate::source::{Comparison, Description, Drained, Lost, Setup};

/// Time by which packets may lag behind the clock, ns: the kernel holds them back, and processors differ.
const BEHIND: u64 = 100_000_000;

/// The meaning of an event's `time`, as manifests name it.
pub(crate) const TIME_BASIS: &str = "packet";
/// The meaning of `server_time`, as manifests say it.
pub(crate) const SERVER_TIME: &str =
    "from the last packet of the request to the last packet of its response";

/// An origin of packets.
pub(crate) trait Feed {
    /// Returns the facts that do not change; asked once.
    fn describe(&mut self) -> Description;

    /// Returns the next packet, if one is there.
    fn next_packet(&mut self) -> Option<Packet<'_>>;

    /// Called when no packet is waiting. Returns the reason if none will ever come.
    fn look(&mut self) -> Option<Ended>;

    /// Now on the packets' clock, ns; `None` for stored packets.
    fn now(&self) -> Option<u64>;

    /// The network namespace that the packets are seen in; 0 if they tell, or are stored.
    fn namespace(&self) -> u32;

    /// Stops the feed; packets that it still holds can be taken. Returns the shell command that removes what could not
    /// be removed.
    fn detach(&mut self) -> Option<String> {
        None
    }

    /// Tells the feed that the recorder is at work.
    fn beat(&self) {}

    /// Returns the losses so far.
    fn losses(&self) -> FeedLosses;
}

/// Packets that a feed knows it lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FeedLosses {
    /// Dropped before they reached the recorder.
    pub(crate) dropped: u64,
    /// Passed over, as their headers cannot be followed.
    pub(crate) unreadable: u64,
    /// Records that break a rule of the rings' format.
    pub(crate) malformed: u64,
    /// Number of files that cannot be read to their end.
    pub(crate) damaged: u64,
}

/// A packet source that is open.
pub(crate) struct Packets<F> {
    feed: F,
    flows: Flows,
    session: Session,
    buffer_bytes: u64,
    /// The packets' clock.
    clock: Clock,
    /// Length of the part of stored packets that is taken, by their times.
    duration: Option<Duration>,
    /// True once a stored packet was later than `duration`.
    is_past: bool,
    /// Time of the first packet, ns.
    first: Option<u64>,
    /// Time of the latest packet, ns.
    latest: u64,
    /// Bytes taken since the buffer was last empty.
    taken: u64,
}

impl<F: Feed> Packets<F> {
    /// Follows the packets of `feed`.
    pub(crate) fn new(mut feed: F, setup: Setup<'_>) -> (Self, Description) {
        let mut description = feed.describe();
        description.facts["server_time"] = SERVER_TIME.into();
        let followed = setup.followed;
        let ports = if followed.any_port {
            Ports::Any
        } else {
            Ports::Of(followed.ports.clone())
        };
        let flows = Flows::following(ports, Limits::default());
        let (clock, duration) = if description.is_live() {
            (Clock::default(), None)
        } else {
            let begun = description.anchor.monotonic_ns;
            (Clock::starting_at(begun), setup.options.duration)
        };
        let namespace = feed.namespace();
        // Packets tell of themselves whether a connection was open before.
        let session = setup.session(description.anchor, OpenBefore::default(), namespace);
        let packets = Self {
            feed,
            flows,
            session,
            buffer_bytes: description.buffer_bytes,
            clock,
            duration,
            is_past: false,
            first: None,
            latest: 0,
            taken: 0,
        };
        (packets, description)
    }

    pub(crate) fn drain(&mut self, limit: usize, sink: &mut impl FnMut(&Decoded<'_>)) -> Drained {
        let mut drained = Drained::default();
        for _ in 0..limit {
            drained.more = self.take();
            if !drained.more {
                break;
            }
        }
        drained.fill = ratio(self.taken.min(self.buffer_bytes), self.buffer_bytes.max(1));
        if !drained.more {
            self.taken = 0;
            drained.ended = self.look();
        }
        self.session.hand_on(sink);
        drained
    }

    /// Takes the next packet; false if there is none.
    fn take(&mut self) -> bool {
        if self.is_past {
            return false;
        }
        let Some(packet) = self.feed.next_packet() else {
            return false;
        };
        let packet = Packet {
            time: self.clock.place(packet.time),
            ..packet
        };
        let first = *self.first.get_or_insert(packet.time);
        let passed = Duration::from_nanos(packet.time.saturating_sub(first));
        self.is_past = self.duration.is_some_and(|duration| passed > duration);
        if self.is_past {
            return false;
        }
        self.taken += packet.bytes.len() as u64;
        self.latest = self.latest.max(packet.time);
        let session = &mut self.session;
        self.flows
            .take(&packet, &mut |found| session.take_found(&found));
        true
    }

    /// Advances the state that depends on time while no packet arrives.
    fn look(&mut self) -> Option<Ended> {
        if self.is_past {
            return Some(Ended::duration());
        }
        let ended = self.feed.look();
        if let Some(now) = self.feed.now() {
            let now = self.clock.place_now(now);
            let session = &mut self.session;
            self.flows
                .advance_to(now.saturating_sub(BEHIND), &mut |found| {
                    session.take_found(&found);
                });
        }
        ended
    }

    pub(crate) fn settle(&mut self, now: u64, sink: &mut impl FnMut(&Decoded<'_>)) {
        self.session.let_go(now);
        self.session.bound_open_requests();
        self.session.hand_on(sink);
    }

    pub(crate) fn beat(&self) {
        self.feed.beat();
    }

    pub(crate) fn detach(&mut self) -> Option<String> {
        self.feed.detach()
    }

    pub(crate) fn end(&mut self, sink: &mut impl FnMut(&Decoded<'_>)) -> Option<Duration> {
        let session = &mut self.session;
        self.flows.finish(&mut |found| session.take_found(&found));
        session.end(self.flows.now());
        session.hand_on(sink);
        self.feed.now().is_none().then(|| self.covered())
    }

    pub(crate) fn lost(&self) -> Lost {
        let FeedLosses {
            dropped,
            unreadable,
            ..
        } = self.feed.losses();
        let unfollowed = self.flows.unfollowed();
        Lost {
            bytes: self.counters().lost_bytes() + self.session.spoiled_bytes(),
            packets: dropped + unreadable + unfollowed.fragments + unfollowed.unreadable,
            lines: 0,
        }
    }

    fn counters(&self) -> Counters {
        let unfollowed = self.flows.unfollowed();
        Counters {
            udp: unfollowed.udp,
            no_state: unfollowed.no_state,
            ..self.session.counters()
        }
    }

    pub(crate) fn ledger(&mut self) -> Ledger {
        let unfollowed = self.flows.unfollowed();
        let FeedLosses {
            dropped,
            unreadable,
            malformed,
            damaged,
        } = self.feed.losses();
        let mut ledger = Ledger {
            packets_dropped: dropped,
            fragments: unfollowed.fragments,
            packets_unreadable: unfollowed.unreadable + unreadable,
            malformed,
            file_damaged: damaged,
            packets: Some(PacketCounts {
                clock_steps: self.clock.steps(),
                ..self.flows.packets()
            }),
            ..self.session.ledger(self.counters(), 0)
        };
        ledger.complete = Some(ledger.nothing_lost());
        ledger
    }

    /// Returns what there was that is not followed.
    pub(crate) fn sightings(&self) -> &Sightings {
        self.flows.sightings()
    }

    /// Returns the time that the packets so far cover.
    pub(crate) fn covered(&self) -> Duration {
        let first = self.first.unwrap_or(self.latest);
        Duration::from_nanos(self.latest.saturating_sub(first))
    }

    pub(crate) fn connections(&self) -> &Connections {
        self.session.sockets().connections()
    }

    pub(crate) fn take_ended(&mut self) -> Vec<ConnectionRow> {
        self.session.take_ended()
    }

    pub(crate) fn take_losses(&mut self) -> Vec<LossRow> {
        self.session.take_losses()
    }

    pub(crate) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Packets do not show when a server read them, so its counters cannot be compared at one point of the stream.
    #[expect(clippy::unused_self, reason = "the contract of sources")]
    pub(crate) fn compare(&self, inquiry: &Inquiry) -> Comparison {
        Comparison {
            statistics_end: inquiry.statistics_end(),
            ..Comparison::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use membench_decode::privacy::KeyHasher;

    use super::*;
    use crate::session::peer::OwnAddresses;
    use crate::{Followed, RecordOptions, SourceSpec};

    /// A feed that gave up before its first packet.
    struct Broken;

    impl Feed for Broken {
        fn describe(&mut self) -> Description {
            Description::new(SourceSpec::Interface("lo".into()), TIME_BASIS)
        }

        fn next_packet(&mut self) -> Option<Packet<'_>> {
            None
        }

        fn look(&mut self) -> Option<Ended> {
            Some(Ended::Source("gone".into()))
        }

        fn now(&self) -> Option<u64> {
            Some(0)
        }

        fn namespace(&self) -> u32 {
            0
        }

        fn losses(&self) -> FeedLosses {
            FeedLosses {
                dropped: 1,
                unreadable: 2,
                malformed: 3,
                damaged: 1,
            }
        }
    }

    #[test]
    fn each_loss_of_a_feed_has_its_own_term() {
        let (mut packets, _) = Packets::new(
            Broken,
            Setup {
                options: &RecordOptions::new(SourceSpec::Interface("lo".into())),
                followed: &Followed::ports(&[1]),
                hasher: KeyHasher::random().unwrap(),
                own: &OwnAddresses::default(),
            },
        );
        let drained = packets.drain(10, &mut |_| {});
        assert_eq!(drained.ended, Some(Ended::Source("gone".into())));
        let ledger = packets.ledger();
        let lost: Vec<_> = ledger
            .losses()
            .into_iter()
            .filter(|(_, lost)| *lost > 0)
            .collect();
        assert_eq!(
            lost,
            [
                ("packets_dropped", 1),
                ("packets_unreadable", 2),
                ("malformed", 3),
                ("file_damaged", 1),
            ]
        );
    }
}
