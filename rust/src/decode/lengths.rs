//! Lengths of sends → the outcomes that lengths alone settle.

use crate::event::{Command, Outcome};
use crate::segment::Segment;

use super::context::Context;
use super::open::Open;
use super::pairing::Pairing;

/// The shortest `VALUE k 0 1`, value and `END`, with their line ends.
const SHORTEST_HIT: u64 = 21;

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
        if self.waiting.len() == pairing.len()
            && pairing.all_answered()
            && self.all_plausible(pairing)
        {
            for (length, time) in self.waiting.drain(..) {
                let outcome = pairing.oldest().and_then(|open| outcome(open, length));
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
            .all(|(open, length)| !is_settled(open) || outcome(open, length).is_some())
    }

    /// Forgets what is waiting.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

/// Whether a length alone tells this request's outcome.
fn is_settled(open: &Open) -> bool {
    use Command::{Add, Append, Delete, Get, Prepend, Replace, Set, Touch};
    let command = matches!(
        open.command,
        Get | Set | Add | Replace | Append | Prepend | Delete | Touch
    );
    command && open.events == 1 && !open.refused
}

/// The outcome of a one-key classic command, from the length of its response.
fn outcome(open: &Open, length: u64) -> Option<Outcome> {
    use Command::{Add, Append, Delete, Get, Prepend, Replace, Set, Touch};
    if !is_settled(open) {
        return None;
    }
    match (open.command, length) {
        (Get, 5) => Some(Outcome::Miss),
        (Get, SHORTEST_HIT..) => Some(Outcome::Hit),
        (Set | Add | Replace | Append | Prepend, 8) => Some(Outcome::Stored),
        (Add | Replace | Append | Prepend, 12) => Some(Outcome::NotStored),
        (Delete, 9) => Some(Outcome::Deleted),
        (Touch, 9) => Some(Outcome::Touched),
        (Delete | Touch, 11) => Some(Outcome::NotFound),
        _ => None,
    }
}
