//! Lengths of sends → outcomes of open requests, where the length of a response alone implies one.

use membench_event::{Command, Outcome, Protocol, Segment};

use super::context::Context;
use super::open_requests::Open;
use super::pairing::Pairing;

/// Bytes of the shortest hit: `VALUE k 0 0`, an empty value and `END`, with their line ends.
const SHORTEST_HIT: u64 = 20;
/// Bytes of a binary response header.
const HEADER: u64 = 24;
/// Bytes of a binary hit with an empty value: header and flags.
const HIT: u64 = 28;
/// Bytes of a binary response with the text `Not found`.
const NOT_FOUND: u64 = 33;
/// Bytes of a binary response with the text `Out of memory` or `Auth failure.`.
const FAILED: u64 = 37;
/// Bytes of a binary response with the text `Data exists for key.`.
const EXISTS: u64 = 44;

/// Meaning of a response's length for its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Implied {
    /// The length implies this outcome.
    Outcome(Outcome),
    /// The length is possible and implies no outcome.
    Nothing,
    /// No response to the request has the length.
    Impossible,
}

/// Sends since the last barrier that are not paired yet.
#[derive(Debug, Default)]
pub(super) struct Sends {
    /// Length in bytes and time in ns of each send.
    waiting: Vec<(u64, u64)>,
}

impl Sends {
    /// Takes one send. It settles a single open request at once; several are settled at the next barrier.
    pub(super) fn push(
        &mut self,
        context: &mut Context,
        pairing: &mut Pairing,
        segment: &Segment<'_>,
    ) {
        if pairing.suspended() || pairing.len() == 0 {
            return;
        }
        self.waiting.push((segment.length(), segment.time));
        if pairing.len() == 1 && self.waiting.len() == 1 {
            self.settle(context, pairing);
        }
    }

    /// Pairs sends with open requests one to one and forgets the sends.
    ///
    /// Pairs none unless there are as many sends as requests, every request must have been answered, and every length
    /// is possible for its command.
    pub(super) fn settle(&mut self, context: &mut Context, pairing: &mut Pairing) {
        if self.waiting.is_empty() {
            return;
        }
        if self.waiting.len() == pairing.len()
            && pairing.all_answered()
            && self.all_plausible(pairing)
        {
            for (length, time) in self.waiting.drain(..) {
                let outcome = match pairing.oldest().map(|open| implied(open, length)) {
                    Some(Implied::Outcome(outcome)) => Some(outcome),
                    Some(Implied::Nothing | Implied::Impossible) | None => None,
                };
                pairing.finish(context, outcome, time);
            }
        }
        self.waiting.clear();
    }

    fn all_plausible(&self, pairing: &Pairing) -> bool {
        let sends = self.waiting.iter().map(|(length, _)| *length);
        pairing
            .open_requests()
            .zip(sends)
            .all(|(open, length)| implied(open, length) != Implied::Impossible)
    }

    /// Forgets all waiting sends.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

/// Returns the meaning of a response of `length` bytes to an open request.
fn implied(open: &Open, length: u64) -> Implied {
    if open.asked.protocol == Protocol::Binary {
        return implied_by_message(open, length);
    }
    if open.events > 1 || open.asked.refused || open.command().is_meta() {
        return Implied::Nothing;
    }
    implied_by_lines(open.command(), length)
}

/// Returns the outcome of a classic command with at most one key from the length of its response.
fn implied_by_lines(command: Command, length: u64) -> Implied {
    use Command::{Add, Append, Delete, Get, Prepend, Replace, Set, Touch};
    Implied::Outcome(match (command, length) {
        (Get, 5) => Outcome::Miss,
        (Get, SHORTEST_HIT..) => Outcome::Hit,
        (Set | Add | Replace | Append | Prepend, 8) => Outcome::Stored,
        (Add | Replace | Append | Prepend, 12) => Outcome::NotStored,
        (Delete, 9) => Outcome::Deleted,
        (Touch, 9) => Outcome::Touched,
        (Delete | Touch, 11) => Outcome::NotFound,
        (Get | Set | Add | Replace | Append | Prepend | Delete | Touch, _) => {
            return Implied::Impossible;
        }
        _ => return Implied::Nothing,
    })
}

/// Returns the outcome of a binary command from the length of its response. A miss is as long as a hit with a value of
/// five bytes. If the response echoes the key, a miss may be as long as any hit.
fn implied_by_message(open: &Open, length: u64) -> Implied {
    use Command::{Add, Append, Cas, Decr, Delete, Gat, Get, Incr, Prepend, Replace, Set, Touch};
    if length < HEADER {
        return Implied::Impossible;
    }
    if open.asked.refused || open.asked.returns_key() {
        return Implied::Nothing;
    }
    Implied::Outcome(match (open.command(), length) {
        (Get | Gat, NOT_FOUND | FAILED) => return Implied::Nothing,
        (Get | Gat, HIT..) => Outcome::Hit,
        (Set | Add | Replace | Append | Prepend | Cas, HEADER) => Outcome::Stored,
        (Add, EXISTS) | (Replace, NOT_FOUND) => Outcome::NotStored,
        (Cas | Delete, EXISTS) => Outcome::Exists,
        (Cas | Delete | Incr | Decr | Touch, NOT_FOUND) => Outcome::NotFound,
        (Delete, HEADER) => Outcome::Deleted,
        (Touch, HIT) => Outcome::Touched,
        _ => return Implied::Nothing,
    })
}
