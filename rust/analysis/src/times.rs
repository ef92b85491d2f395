//! Operations → the server time and the queue time of requests.

use serde::Serialize;

use super::operation::{Kind, Operation};
use super::quantiles::{Distribution, Quantiles};

/// One histogram per command and quantity, allocated at its first value.
#[derive(Default)]
pub(super) struct TimeCounts {
    server: [Distribution; Kind::COUNT],
    all: Distribution,
    queue: Distribution,
}

/// Times of requests, ns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Times {
    /// Server time, from the read that completed the request to the send with the last byte of its response, ns.
    pub server_ns: Option<Quantiles>,
    /// Server time by command, most requests first, ns.
    pub server_ns_by_command: Vec<CommandTimes>,
    /// Queue time, from arrival to the read, ns; `None` if the source does not know arrivals.
    pub queue_ns: Option<Quantiles>,
}

/// One command's server time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommandTimes {
    /// Name of the command; `mget` for a `get` of several keys.
    pub command: &'static str,
    /// Server time of the command, ns.
    pub server_ns: Quantiles,
}

impl TimeCounts {
    pub(super) fn observe(&mut self, operation: &Operation) {
        if !operation.first {
            return;
        }
        if let Some(time) = operation.event.server_time {
            self.server[operation.kind.index()].record(time);
            self.all.record(time);
        }
        if let Some(time) = operation.event.queue_time {
            self.queue.record(time.saturating_mul(1000));
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
