//! Operations → how long the server took, and how long requests waited for it.

use serde::Serialize;

use super::operation::{Kind, Operation};
use super::quantiles::{Distribution, Quantiles};

/// One histogram a command and quantity, 190 kB each, from its first value on.
#[derive(Default)]
pub(super) struct TimeCounts {
    server: [Distribution; Kind::COUNT],
    all: Distribution,
    queue: Distribution,
}

/// Times of requests, ns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Times {
    /// From the read that completed the request to the send with the last byte of its response, ns.
    pub server_ns: Option<Quantiles>,
    /// The same by command, most requests first.
    pub server_ns_by_command: Vec<CommandTimes>,
    /// From arrival to the read, ns; where the source knows arrivals.
    pub queue_ns: Option<Quantiles>,
}

/// One command's server time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommandTimes {
    /// The verb; `mget` for a `get` of several keys.
    pub command: &'static str,
    /// Its server time, ns.
    pub server_ns: Quantiles,
}

impl TimeCounts {
    pub(super) fn observe(&mut self, operation: &Operation) {
        if !operation.first {
            return;
        }
        if let Some(time) = operation.event.server_time {
            self.server[operation.kind.index()].record(u64::from(time));
            self.all.record(u64::from(time));
        }
        if let Some(time) = operation.event.queue_time {
            self.queue.record(u64::from(time) * 1000);
        }
    }

    pub(super) fn finish(&self) -> Times {
        let times = Kind::all().zip(&self.server);
        let mut by_command: Vec<_> = times
            .filter_map(|(kind, times)| {
                Some(CommandTimes {
                    command: kind.name(),
                    server_ns: times.finish()?,
                })
            })
            .collect();
        by_command.sort_by_key(|times| std::cmp::Reverse(times.server_ns.count));
        Times {
            server_ns: self.all.finish(),
            server_ns_by_command: by_command,
            queue_ns: self.queue.finish(),
        }
    }
}
