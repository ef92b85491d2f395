//! The kernel programs' array of counters → [`Counters`] by name, and the ledger's terms that they stand for.

use membench_common::counter;
use membench_event::Ledger;

/// Defines [`Counters`]: each line maps a counter of the kernel programs to the field of [`Ledger`] that it fills.
macro_rules! counters {
    (
        moved { $($moved:ident => $sum:ident,)+ }
        lost { $($lost:ident => $term:ident,)+ }
    ) => {
        /// Sums that a source counts by itself: bytes and calls that moved, and bytes that were lost before they reached the
        /// session. Each field fills the field of [`Ledger`] with its name.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct Counters {
            $(pub(crate) $sum: u64,)+
            $(pub(crate) $term: u64,)+
        }

        impl From<&[u64; counter::COUNT]> for Counters {
            fn from(kernel: &[u64; counter::COUNT]) -> Self {
                Self {
                    $($sum: kernel[counter::$moved as usize],)+
                    $($term: kernel[counter::$lost as usize],)+
                }
            }
        }

        impl Counters {
            /// Returns the number of lost bytes.
            pub(crate) fn lost_bytes(&self) -> u64 {
                [$(self.$term),+].iter().sum()
            }

            /// Returns a ledger with these sums and nothing else.
            pub(crate) fn to_ledger(self) -> Ledger {
                Ledger {
                    $($sum: self.$sum,)+
                    $($term: self.$term,)+
                    ..Ledger::default()
                }
            }
        }

        /// Returns the ledger's term for the bytes that a counter of the kernel programs counts as lost; `None` for
        /// counters of anything else.
        pub(super) fn loss_term(index: u32) -> Option<&'static str> {
            match index {
                $(counter::$lost => Some(stringify!($term)),)+
                _ => None,
            }
        }
    };
}

counters! {
    moved {
        REQUEST_BYTES => request_bytes,
        RESPONSE_BYTES => response_bytes,
        RECOVERED => calls_recovered,
    }
    lost {
        RING_FULL => ring_full,
        MISSED => missed,
        RECORD_LIMIT => record_limit,
        OTHER_SYSCALL => other_syscall,
        IO_URING => io_uring,
        KERNEL_THREAD => kernel_thread,
        COMPAT_TASK => compat_task,
        FAULT => fault,
        NO_STATE => no_state,
        UDP => udp,
        OTHER_FAMILY => other_family,
        UNATTENDED => unattended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_of_lost_bytes_is_a_term_of_the_ledger() {
        for index in (0..).take(counter::COUNT) {
            let is_loss = (counter::RING_FULL..=counter::UNATTENDED).contains(&index);
            let mut kernel = [0; counter::COUNT];
            kernel[index as usize] = 5;
            let counters = Counters::from(&kernel);
            assert_eq!(counters.lost_bytes(), if is_loss { 5 } else { 0 });
            let losses = counters.to_ledger().losses();
            let counted = losses.iter().find(|(_, amount)| *amount > 0);
            let term = loss_term(index);
            assert_eq!(term.is_some(), is_loss, "counter {index}");
            assert_eq!(counted.copied(), term.map(|term| (term, 5)));
        }
    }
}
