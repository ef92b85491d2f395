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
    queue_by_command: [Distribution; Kind::COUNT],
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
    /// Queue time of the command, ns; `None` if the source does not know arrivals.
    pub queue_ns: Option<Quantiles>,
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
            let time = time.saturating_mul(1000);
            self.queue_by_command[operation.kind.index()].record(time);
            self.queue.record(time);
        }
    }

    pub(super) fn finish(&self) -> Times {
        let queue = &self.queue_by_command;
        let times = Kind::all().zip(self.server.iter().zip(queue));
        let mut by_command: Vec<_> = times
            .filter_map(|(kind, (server, queue))| {
                Some(CommandTimes {
                    command: kind.name(),
                    server_ns: server.finish()?,
                    queue_ns: queue.finish(),
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
