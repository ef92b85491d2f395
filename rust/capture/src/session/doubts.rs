//! Events of connections whose responses may be paired with the wrong requests → events, once that is ruled out.
//!
//! Packets do not tell when the server reads. A connection whose beginning was captured is paired by order alone, and
//! that is certain. Where the beginning is missing, or something was lost, pairing begins anew at rest, and its events
//! are held back until their content proves it right; else they go without their outcome.

use std::collections::{HashMap, VecDeque};

use membench_decode::Decoder;
use membench_event::{Command, Event, OptionsTable, Outcome, Protocol};

/// Responses that repeat the key of the request they were paired with, and of no other nearby, until that is proof.
const PROOFS: u32 = 2;
/// Requests before, of those whose response can repeat their key, among which the key must be the only one.
const NEARBY: usize = 16;
/// Events held back on a connection at most.
const HELD: usize = 4096;
/// A server that owes a response sends it within this time, ns.
pub(crate) const PAUSE: u64 = 1_000_000_000;

/// One connection in doubt.
#[derive(Debug, Default)]
struct Doubt {
    held: Vec<Event>,
    nearby: VecDeque<u64>,
    proofs: u32,
    /// When payload of it passed last, ns.
    active: u64,
}

/// The connections in doubt, and the events that are settled.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    open: HashMap<u32, Doubt>,
    released: Vec<Event>,
    withheld: u64,
}

impl Doubts {
    /// The settled events.
    pub(crate) fn released(&self) -> &[Event] {
        &self.released
    }

    /// Forgets the settled events; their room is kept.
    pub(crate) fn clear_released(&mut self) {
        self.released.clear();
    }

    /// Drops settled events; returns how many.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Event) -> bool) -> u64 {
        let before = self.released.len();
        self.released.retain(keep);
        (before - self.released.len()) as u64
    }

    /// Requests whose outcome was withheld.
    pub(crate) fn withheld(&self) -> u64 {
        self.withheld
    }

    /// From here on the pairing of a connection is in doubt.
    pub(crate) fn begin(&mut self, connection: u32) {
        self.open.entry(connection).or_default();
    }

    /// The pairing of a connection has proved right.
    pub(crate) fn confirm(&mut self, connection: u32) {
        if let Some(doubt) = self.open.remove(&connection) {
            self.released.extend(doubt.held);
        }
    }

    /// Takes what a connection's decoding has yielded. `paired`: its responses can be told apart.
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
            // The loss ends what was certain up to here.
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

    /// The recording ends: what is settled since long enough is right.
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

    /// Hands events on as they are.
    pub(crate) fn release(&mut self, events: &[Event]) {
        self.released.extend_from_slice(events);
    }

    /// Hands events on without what their response said.
    fn withhold(&mut self, held: Vec<Event>) {
        for mut event in held {
            let told = withhold(&mut event);
            self.withheld += u64::from(told && event.request_size.is_some());
            self.released.push(event);
        }
    }
}

impl Doubt {
    /// Counts a response that names its request's key, when none nearby could be another request's for the same.
    fn weigh(&mut self, event: &Event, options: &OptionsTable) {
        let asked = event.key.filter(|_| repeats_its_key(event, options));
        let Some(key) = asked else { return };
        if event.outcome == Some(Outcome::Hit) && !self.nearby.contains(&key) {
            self.proofs += 1;
        }
        self.note(key);
    }

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

/// Whether the key is repeated in the response of such an event, if that is a hit.
fn repeats_its_key(event: &Event, options: &OptionsTable) -> bool {
    let is_retrieval = matches!(
        event.command,
        Command::Get | Command::Gets | Command::Gat | Command::Gats
    );
    let mut names = options.name(event.options).split(' ');
    (is_retrieval && event.protocol == Protocol::Text) || names.any(|name| name == "k")
}

/// Takes out of an event what its response said; whether there was anything. `noreply` is certain without one.
fn withhold(event: &mut Event) -> bool {
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
