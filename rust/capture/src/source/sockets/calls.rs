//! Calls on sockets, as the kernel's hooks report them → a session.

use std::time::Duration;

use membench_decode::{Connections, Responses};
use membench_event::{ConnectionRow, Ledger, LossRow};

use crate::selection::listeners;
use crate::session::Session;
use crate::session::counters::Counters;
use crate::session::decoded::Decoded;
use crate::session::peer::OpenBefore;
use crate::source::inquiry::Inquiry;
use crate::source::{Comparison, Description, Drained, Lost, Setup};
use crate::{Hooks, Kernel, Misses, Record, Side, SourceSpec, clock};

/// Protocol of sockets whose bytes have sequence numbers.
const IPPROTO_TCP: u16 = 6;

/// The kernel's hooks, attached, and the session that they fill.
pub(crate) struct Calls {
    kernel: Kernel,
    session: Session,
    /// True if the servers' counters speak of the same connections as the recording.
    is_comparable: bool,
    /// True if sequence numbers count every byte of the followed sockets, so that a call which nobody saw leaves a gap.
    are_numbered: bool,
}

impl Calls {
    /// Follows what `kernel` reports.
    pub(crate) fn new(kernel: Kernel, setup: Setup<'_>) -> (Self, Description) {
        let (options, followed) = (setup.options, setup.followed);
        let description = Description {
            anchor: kernel.begun(),
            buffer_bytes: kernel.facts().ring_bytes,
            kernel: Some(kernel.facts().clone()),
            ..Description::new(SourceSpec::Sockets, followed.side.time_basis())
        };
        let is_comparable =
            options.statistics && options.sample.connections == 1 && followed.side == Side::Server;
        let open_before =
            OpenBefore::new(listeners::clients(followed), listeners::accepted(followed));
        let open_before =
            open_before.complete_at(clock::monotonic_ns(), listeners::visible(followed));
        let calls = Self {
            kernel,
            session: setup.session(description.anchor, open_before, 0),
            is_comparable,
            // Without records of responses, no program follows their sequence.
            are_numbered: options.responses != Responses::None,
        };
        (calls, description)
    }

    pub(crate) fn drain(&mut self, limit: usize, sink: &mut impl FnMut(&Decoded<'_>)) -> Drained {
        let mut oldest = u64::MAX;
        let now = clock::monotonic_ns();
        let (session, are_numbered) = (&mut self.session, &mut self.are_numbered);
        let taken = self.kernel.drain(limit, &mut |record: Record<'_>| {
            oldest = oldest.min(record.time());
            if let Record::Socket { socket, .. } = &record {
                *are_numbered &= socket.protocol == IPPROTO_TCP;
            }
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
        self.session.bound_open_requests();
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
            bytes: Counters::from(&self.kernel.counters()).lost_bytes()
                + self.session.missed_at_edges(),
            ..Lost::default()
        }
    }

    pub(crate) fn ledger(&mut self) -> Ledger {
        let misses = self.kernel.misses().unwrap_or_default();
        let rings = self.kernel.ring_full_by_ring();
        let skipped = Skipped {
            misses,
            are_numbered: self.are_numbered,
        };
        let counters = Counters::from(&self.kernel.counters());
        ledger(
            &self.session,
            counters,
            skipped,
            rings,
            self.kernel.malformed(),
        )
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

/// Runs of the kernel programs that the kernel skipped.
#[derive(Clone, Copy, Default)]
struct Skipped {
    misses: Misses,
    are_numbered: bool,
}

impl Skipped {
    /// Returns how many of the runs may have been calls on followed sockets, without a gap that tells.
    fn unexplained(self, recovered: u64) -> u64 {
        if self.are_numbered {
            return 0;
        }
        self.misses.calls.saturating_sub(recovered)
    }
}

/// Adds to a session's ledger what only the kernel's side knows.
fn ledger(
    session: &Session,
    counters: Counters,
    skipped: Skipped,
    ring_full_by_ring: Vec<u64>,
    malformed: u64,
) -> Ledger {
    let mut ledger = Ledger {
        misses_aside: skipped.misses.aside,
        runs_skipped: skipped.misses.calls,
        ring_full_by_ring,
        malformed,
        ..session.ledger(counters, skipped.unexplained(counters.calls_recovered))
    };
    ledger.complete = Some(ledger.nothing_lost());
    ledger
}

#[cfg(test)]
mod tests {
    use membench_decode::{Decoder, privacy::KeyHasher};

    use super::*;
    use crate::session::peer::OwnAddresses;
    use crate::session::sockets::Sockets;

    #[test]
    fn skipped_runs_are_a_loss_only_where_no_gap_would_tell_and_nobody_recovered_the_call() {
        let misses = Misses { calls: 9, aside: 2 };
        for (are_numbered, recovered, unexplained) in [(true, 0, 0), (false, 7, 2), (false, 9, 0)] {
            let skipped = Skipped {
                misses,
                are_numbered,
            };
            assert_eq!(skipped.unexplained(recovered), unexplained);
        }
    }

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
        let ledger = ledger(&session, counters, Skipped::default(), vec![0], malformed);
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
