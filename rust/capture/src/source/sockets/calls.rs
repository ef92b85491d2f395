//! Calls on sockets, as the kernel's hooks report them → a session.

use std::time::Duration;

use membench_event::{ConnectionRow, Ledger, LossRow};

use crate::recorder::inquiry::Inquiry;
use crate::selection::listeners;
use crate::session::Session;
use crate::session::counters::Counters;
use crate::session::peer::OpenBefore;
use crate::source::decoded::Decoded;
use crate::source::{Comparison, Description, Drained, Lost, Setup};
use crate::{Hooks, Kernel, Misses, Record, Side, SourceSpec, clock};

/// The kernel's hooks, attached, and the session that they fill.
pub(crate) struct Calls {
    kernel: Kernel,
    session: Session,
    /// True if the servers' counters speak of the same connections as the recording.
    is_comparable: bool,
}

impl Calls {
    /// Follows what `kernel` reports.
    pub(crate) fn new(kernel: Kernel, setup: Setup<'_>) -> (Self, Description) {
        let (options, followed) = (setup.options, setup.followed);
        let description = Description {
            buffer_bytes: kernel.facts().ring_bytes,
            kernel: Some(kernel.facts().clone()),
            ..Description::new(SourceSpec::Sockets, followed.side.time_basis())
        };
        let is_comparable =
            options.statistics && options.sample.connections == 1 && followed.side == Side::Server;
        let open_before =
            OpenBefore::new(listeners::clients(followed), listeners::accepted(followed));
        let calls = Self {
            kernel,
            session: setup.session(description.anchor, open_before, 0),
            is_comparable,
        };
        (calls, description)
    }

    pub(crate) fn drain(&mut self, limit: usize, sink: &mut impl FnMut(&Decoded<'_>)) -> Drained {
        let mut oldest = u64::MAX;
        let now = clock::monotonic_ns();
        let session = &mut self.session;
        let taken = self.kernel.drain(limit, &mut |record: Record<'_>| {
            oldest = oldest.min(record.time());
            session.take(&record);
        });
        session.hand_on(sink);
        Drained {
            fill: self.kernel.fill(),
            lag: Duration::from_nanos(now.saturating_sub(oldest)),
            more: taken >= limit,
            ended: None,
        }
    }

    pub(crate) fn settle(&mut self, now: u64, sink: &mut impl FnMut(&Decoded<'_>)) {
        self.session.let_go(now);
        self.session.hand_on(sink);
    }

    pub(crate) fn beat(&self) {
        self.kernel.beat();
    }

    pub(crate) fn detach(&mut self) -> Option<String> {
        self.session.start_detaching(clock::monotonic_ns());
        self.kernel.detach();
        None
    }

    pub(crate) fn end(&mut self, sink: &mut impl FnMut(&Decoded<'_>)) -> Option<Duration> {
        self.session.end(0);
        self.session.hand_on(sink);
        None
    }

    pub(crate) fn lost(&self) -> Lost {
        Lost {
            bytes: Counters::from(&self.kernel.counters()).lost_bytes(),
            lines: 0,
        }
    }

    pub(crate) fn ledger(&mut self) -> Ledger {
        let misses = self.kernel.misses().unwrap_or_default();
        let rings = self.kernel.ring_full_by_ring();
        let counters = Counters::from(&self.kernel.counters());
        ledger(
            &self.session,
            counters,
            misses,
            rings,
            self.kernel.malformed(),
        )
    }

    pub(crate) fn connections(&self) -> &[ConnectionRow] {
        self.session.sockets().connections()
    }

    pub(crate) fn connection_counts(&self) -> (usize, usize) {
        self.session.sockets().counts()
    }

    pub(crate) fn take_losses(&mut self) -> Vec<LossRow> {
        self.session.take_losses()
    }

    pub(crate) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    pub(crate) fn compare(&self, inquiry: &Inquiry) -> Comparison {
        if !self.is_comparable {
            return Comparison {
                statistics_end: inquiry.statistics_end(),
                ..Comparison::default()
            };
        }
        let found = inquiry.compare(&self.session);
        // With the other hooks, the sequence numbers show all that moved.
        let unseen = match self.kernel.facts().hooks {
            hooks if hooks == Hooks::Syscalls.name() => found.unseen,
            _ => 0,
        };
        Comparison { unseen, ..found }
    }
}

/// Adds to a session's ledger what only the kernel's side knows.
fn ledger(
    session: &Session,
    counters: Counters,
    misses: Misses,
    ring_full_by_ring: Vec<u64>,
    malformed: u64,
) -> Ledger {
    let mut ledger = Ledger {
        misses_aside: misses.aside,
        ring_full_by_ring,
        malformed,
        ..session.ledger(counters, misses.calls)
    };
    ledger.complete = Some(ledger.nothing_lost());
    ledger
}

#[cfg(test)]
mod tests {
    use membench_decode::{Decoder, Responses, privacy::KeyHasher};

    use super::*;
    use crate::session::peer::OwnAddresses;
    use crate::session::sockets::Sockets;

    #[test]
    fn a_malformed_record_is_a_loss_of_its_own_and_nothing_else() {
        let (mut malformed, mut taken) = (0, 0);
        let records: [&[u8]; 3] = [&[], &[0xff; 7], &[0xff; 200]];
        for bytes in records {
            Record::parse_or_count(bytes, &mut malformed, &mut |_| taken += 1);
        }
        assert_eq!((malformed, taken), (3, 0));
        let decoder = Decoder::new(KeyHasher::random().unwrap(), Responses::Bytes, 0);
        let own = OwnAddresses::default();
        let sockets = Sockets::new(own, 1, OpenBefore::default(), Vec::new());
        let session = Session::new(decoder, sockets);
        let counters = Counters::default();
        let ledger = ledger(&session, counters, Misses::default(), vec![0], malformed);
        let lost: Vec<_> = ledger
            .losses()
            .into_iter()
            .filter(|(_, lost)| *lost > 0)
            .collect();
        assert_eq!(
            (lost, ledger.complete),
            (vec![("malformed", 3)], Some(false))
        );
    }
}
