//! Events of connections whose responses may be paired with the wrong requests → events, once that is ruled out.
//!
//! Packets do not show when the server reads. A connection that was captured from its start is paired by order alone,
//! which is certain. After a missing start or a loss, pairing restarts when the connection is at rest, and its events are
//! held back until their content proves the pairing right. Events that are never proved are released without their
//! outcome.

use std::collections::{HashMap, VecDeque};

use membench_decode::Decoder;
use membench_event::{Command, Event, OptionsTable, Outcome, Protocol};

/// Number of responses that prove a pairing: each repeats the key of its request, and no request nearby has that key.
const PROOFS: u32 = 2;
/// Number of preceding requests that count as nearby. Only requests whose response can repeat their key are counted.
const NEARBY: usize = 16;
/// Most events held back on a connection.
const HELD: usize = 4096;
/// Time within which a server sends a response that it owes, ns.
pub(crate) const PAUSE: u64 = 1_000_000_000;

/// One connection in doubt.
#[derive(Debug, Default)]
struct Doubt {
    held: Vec<Event>,
    /// Keys of the requests nearby, the oldest first.
    nearby: VecDeque<u64>,
    proofs: u32,
    /// Time of the latest payload, ns.
    active: u64,
}

/// The connections in doubt, and the events that were released.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    open: HashMap<u32, Doubt>,
    released: Vec<Event>,
    /// Number of requests released without their outcome.
    withheld: u64,
}

impl Doubts {
    /// Events released since they were last cleared.
    pub(crate) fn released(&self) -> &[Event] {
        &self.released
    }

    /// Forgets the released events. Their memory is reused.
    pub(crate) fn clear_released(&mut self) {
        self.released.clear();
    }

    /// Number of requests released without their outcome.
    pub(crate) fn withheld(&self) -> u64 {
        self.withheld
    }

    /// Starts to doubt the pairing of a connection.
    pub(crate) fn start(&mut self, connection: u32) {
        self.open.entry(connection).or_default();
    }

    /// Releases the events of a connection whose pairing has proved right.
    pub(crate) fn confirm(&mut self, connection: u32) {
        if let Some(doubt) = self.open.remove(&connection) {
            self.released.extend(doubt.held);
        }
    }

    /// Takes the events that decoding a connection has just yielded, at `time`, ns. `paired` is true while its responses
    /// are being paired.
    pub(crate) fn take(
        &mut self,
        connection: u32,
        events: &[Event],
        options: &OptionsTable,
        paired: bool,
        time: u64,
    ) {
        if paired && !self.open.contains_key(&connection) {
            self.released.extend_from_slice(events);
            return;
        }
        let new = !self.open.contains_key(&connection);
        let doubt = self.open.entry(connection).or_default();
        doubt.active = doubt.active.max(time);
        if new {
            // Pairing was certain up to the loss.
            doubt.remember(events);
            self.released.extend_from_slice(events);
            return;
        }
        for event in events {
            doubt.weigh(event, options);
        }
        doubt.held.extend_from_slice(events);
        let proved = doubt.proofs >= PROOFS;
        let too_many = doubt.held.len() > HELD;
        if !paired || (too_many && !proved) {
            doubt.proofs = 0;
            let held = std::mem::take(&mut doubt.held);
            self.withhold(held);
        } else if proved {
            self.confirm(connection);
        }
    }

    /// Ends the doubt about a connection at the end of its capture, `now`, ns. The pairing is right if every request has
    /// had its response for long enough.
    pub(crate) fn end(&mut self, decoder: &Decoder, connection: u32, now: u64) {
        let Some(doubt) = self.open.get(&connection) else {
            return;
        };
        if decoder.settled(connection) && now.saturating_sub(doubt.active) >= PAUSE {
            self.confirm(connection);
        } else if let Some(doubt) = self.open.remove(&connection) {
            self.withhold(doubt.held);
        }
    }

    /// Releases events as they are.
    pub(crate) fn release(&mut self, events: &[Event]) {
        self.released.extend_from_slice(events);
    }

    /// Releases events without the facts from their responses.
    fn withhold(&mut self, held: Vec<Event>) {
        for mut event in held {
            let had_outcome = forget_response(&mut event);
            self.withheld += u64::from(had_outcome && event.request_size.is_some());
            self.released.push(event);
        }
    }
}

impl Doubt {
    /// Counts a proof if the response repeats its request's key and no request nearby has the same.
    fn weigh(&mut self, event: &Event, options: &OptionsTable) {
        let key = event.key.filter(|_| can_repeat_key(event, options));
        let Some(key) = key else { return };
        if event.outcome == Some(Outcome::Hit) && !self.nearby.contains(&key) {
            self.proofs += 1;
        }
        self.note(key);
    }

    /// Notes the keys of events that were released before the doubt.
    fn remember(&mut self, events: &[Event]) {
        let start = events.len().saturating_sub(NEARBY);
        for key in events[start..].iter().filter_map(|event| event.key) {
            self.note(key);
        }
    }

    fn note(&mut self, key: u64) {
        if self.nearby.len() >= NEARBY {
            self.nearby.pop_front();
        }
        self.nearby.push_back(key);
    }
}

/// Returns true if a hit would repeat the key in the response to such an event.
fn can_repeat_key(event: &Event, options: &OptionsTable) -> bool {
    let is_retrieval = matches!(
        event.command,
        Command::Get | Command::Gets | Command::Gat | Command::Gats
    );
    let mut names = options.name(event.options).split(' ');
    (is_retrieval && event.protocol == Protocol::Text) || names.any(|name| name == "k")
}

/// Removes the facts of an event that came from its response. Returns false if there were none. The outcome of `noreply`
/// stays: it is certain without a response.
fn forget_response(event: &mut Event) -> bool {
    let certain = event.outcome == Some(Outcome::Suppressed) && event.protocol == Protocol::Text;
    if event.outcome.is_none() || certain {
        return false;
    }
    let returned = matches!(
        event.outcome,
        Some(Outcome::Hit | Outcome::Won | Outcome::Stale)
    );
    if returned {
        event.value_size = None;
    }
    if event.command != Command::Cas {
        event.cas = None;
    }
    event.outcome = None;
    event.server_time = None;
    true
}
