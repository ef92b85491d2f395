//! Lengths of sends → the outcomes that lengths alone settle.

use membench_event::Segment;
use membench_event::{Command, Outcome};

use super::context::Context;
use super::open::Open;
use super::pairing::Pairing;

/// The shortest `VALUE k 0 1`, value and `END`, with their line ends.
const SHORTEST_HIT: u64 = 21;
/// Header of a binary response.
const HEADER: u64 = 24;
/// Header and flags of a binary hit.
const HIT: u64 = 28;
/// `Not found` behind its header,
const NOT_FOUND: u64 = 33;
/// `Out of memory` or `Auth failure.`,
const FAILED: u64 = 37;
/// and `Data exists for key.`
const EXISTS: u64 = 44;

/// What a length says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Outcome(Outcome),
    /// It is possible, and may mean several things.
    Nothing,
    /// The request has no response of this length.
    Impossible,
}

/// Sends since the last barrier that are not paired yet.
#[derive(Debug, Default)]
pub(super) struct Sends {
    waiting: Vec<(u64, u64)>,
}

impl Sends {
    /// Takes one send. A single open request is settled at once; more are settled at the next barrier.
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

    /// Pairs sends and requests one to one where their numbers agree and every length is one its command can have;
    /// otherwise no length can be assigned.
    pub(super) fn settle(&mut self, context: &mut Context, pairing: &mut Pairing) {
        if self.waiting.is_empty() {
            return;
        }
        if self.waiting.len() == pairing.len()
            && pairing.all_answered()
            && self.all_plausible(pairing)
        {
            for (length, time) in self.waiting.drain(..) {
                let outcome = match pairing.oldest().map(|open| told(open, length)) {
                    Some(Told::Outcome(outcome)) => Some(outcome),
                    Some(Told::Nothing | Told::Impossible) | None => None,
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
            .all(|(open, length)| told(open, length) != Told::Impossible)
    }

    /// Forgets what is waiting.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

fn told(open: &Open, length: u64) -> Told {
    if open.is_binary {
        return told_by_message(open, length);
    }
    if open.events > 1 || open.refused || open.command.is_meta() {
        return Told::Nothing;
    }
    told_by_lines(open.command, length)
}

/// The outcome of a one-key classic command, from the length of its response.
fn told_by_lines(command: Command, length: u64) -> Told {
    use Command::{Add, Append, Delete, Get, Prepend, Replace, Set, Touch};
    Told::Outcome(match (command, length) {
        (Get, 5) => Outcome::Miss,
        (Get, SHORTEST_HIT..) => Outcome::Hit,
        (Set | Add | Replace | Append | Prepend, 8) => Outcome::Stored,
        (Add | Replace | Append | Prepend, 12) => Outcome::NotStored,
        (Delete, 9) => Outcome::Deleted,
        (Touch, 9) => Outcome::Touched,
        (Delete | Touch, 11) => Outcome::NotFound,
        (Get | Set | Add | Replace | Append | Prepend | Delete | Touch, _) => {
            return Told::Impossible;
        }
        _ => return Told::Nothing,
    })
}

/// The outcome of a binary command, from the length of its response. A miss is as long as a hit of five bytes, and with a
/// key in it as one of any length.
fn told_by_message(open: &Open, length: u64) -> Told {
    use Command::{Add, Append, Cas, Decr, Delete, Gat, Get, Incr, Prepend, Replace, Set, Touch};
    if length < HEADER {
        return Told::Impossible;
    }
    if open.refused || open.returns_key {
        return Told::Nothing;
    }
    Told::Outcome(match (open.command, length) {
        (Get | Gat, NOT_FOUND | FAILED) => return Told::Nothing,
        (Get | Gat, HIT..) => Outcome::Hit,
        (Set | Add | Replace | Append | Prepend | Cas, HEADER) => Outcome::Stored,
        (Add, EXISTS) | (Replace, NOT_FOUND) => Outcome::NotStored,
        (Cas | Delete, EXISTS) => Outcome::Exists,
        (Cas | Delete | Incr | Decr | Touch, NOT_FOUND) => Outcome::NotFound,
        (Delete, HEADER) => Outcome::Deleted,
        (Touch, HIT) => Outcome::Touched,
        _ => return Told::Nothing,
    })
}
