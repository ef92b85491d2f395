//! Events in order of time → the seconds in which requests took longest.

use std::collections::BTreeMap;

use serde::Serialize;

use super::operation::Kind;
use super::quantiles::Distribution;
use crate::Result;
use membench_event::Event;
use membench_profile::Profile;

const SECOND_NS: u64 = 1_000_000_000;

/// A second of a recording, by the times at which requests were read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Second {
    /// Its place in the recording; 0 is the first.
    pub second: u64,
    /// Requests.
    pub requests: u64,
    /// Requests by command; a `get` of several keys is an `mget`.
    pub commands: BTreeMap<&'static str, u64>,
    /// Server time.
    pub server_ns: Spread,
    /// Queue time; `None` if the source does not know arrivals.
    pub queue_ns: Option<Spread>,
    /// Command of the request with the longest server time.
    pub slowest: &'static str,
}

/// Quantiles of a time, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Longest.
    pub max: u64,
}

/// Finds the seconds with the highest 99th percentiles of the server time, at most this many, the slowest first.
pub fn slowest_seconds(profile: &Profile, most: usize) -> Result<Vec<Second>> {
    let start = profile.manifest().header.anchor.monotonic_ns;
    let mut slowest = Slowest::new(start, most);
    for event in profile.events()? {
        slowest.event(event?);
    }
    Ok(slowest.finish())
}

/// The slowest seconds so far, and the one that is being read.
struct Slowest {
    start: u64,
    most: usize,
    found: Vec<Second>,
    current: Current,
    /// First event of the current request, and the number of its events.
    request: Option<(Event, u32)>,
}

#[derive(Default)]
struct Current {
    second: u64,
    commands: BTreeMap<&'static str, u64>,
    server: Distribution,
    queue: Distribution,
    longest: Option<(u64, &'static str)>,
}

impl Slowest {
    fn new(start: u64, most: usize) -> Self {
        Self {
            start,
            most,
            found: Vec::new(),
            current: Current::default(),
            request: None,
        }
    }

    fn event(&mut self, event: Event) {
        match &mut self.request {
            Some((first, keys))
                if first.connection == event.connection && first.request == event.request =>
            {
                *keys = keys.saturating_add(1);
            }
            _ => {
                self.end_request();
                self.request = Some((event, 1));
            }
        }
    }

    fn end_request(&mut self) {
        let Some((event, keys)) = self.request.take() else {
            return;
        };
        let second = event.time.saturating_sub(self.start) / SECOND_NS;
        if second != self.current.second {
            self.end_second();
            self.current.second = second;
        }
        self.current
            .add(&event, Kind::new(event.command, keys).name());
    }

    fn end_second(&mut self) {
        self.found
            .extend(std::mem::take(&mut self.current).finish());
        // Room for as many again saves sorting at each second.
        if self.found.len() > 2 * self.most {
            self.keep_slowest();
        }
    }

    fn keep_slowest(&mut self) {
        self.found
            .sort_by_key(|one| (std::cmp::Reverse(one.server_ns.p99), one.second));
        self.found.truncate(self.most);
    }

    fn finish(mut self) -> Vec<Second> {
        self.end_request();
        self.end_second();
        self.keep_slowest();
        self.found
    }
}

impl Current {
    fn add(&mut self, event: &Event, command: &'static str) {
        *self.commands.entry(command).or_default() += 1;
        if let Some(time) = event.server_time {
            self.server.record(time);
            if self.longest.is_none_or(|(longest, _)| time > longest) {
                self.longest = Some((time, command));
            }
        }
        if let Some(time) = event.queue_time {
            self.queue.record(time.saturating_mul(1000));
        }
    }

    /// Sums up the second; `None` if no server time was seen in it.
    fn finish(self) -> Option<Second> {
        Some(Second {
            second: self.second,
            requests: self.commands.values().sum(),
            commands: self.commands,
            server_ns: spread(&self.server)?,
            queue_ns: spread(&self.queue),
            slowest: self.longest?.1,
        })
    }
}

fn spread(times: &Distribution) -> Option<Spread> {
    let found = times.finish()?;
    Some(Spread {
        p50: found.p50,
        p99: found.p99,
        max: found.max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use membench_event::Command;

    fn seconds(events: &[(u64, u32, Command, u64)], most: usize) -> Vec<Second> {
        let mut slowest = Slowest::new(SECOND_NS, most);
        for (number, (time, request, command, server_time)) in (0..).zip(events) {
            slowest.event(Event {
                time: SECOND_NS + time * 1_000_000,
                connection: 1,
                request: *request,
                batch: number,
                server_time: Some(*server_time),
                queue_time: Some(3),
                ..Event::new(*command)
            });
        }
        slowest.finish()
    }

    #[test]
    fn the_slowest_seconds_come_first_and_the_rest_is_left_out() {
        let found = seconds(
            &[
                (100, 1, Command::Get, 100),
                (900, 2, Command::Set, 500),
                (1_100, 3, Command::Get, 900),
                (7_200, 4, Command::Get, 200),
            ],
            2,
        );
        let told: Vec<_> = found.iter().map(|one| (one.second, one.requests)).collect();
        assert_eq!(told, [(1, 1), (0, 2)]);
        let last = found.last().expect("two are kept");
        assert_eq!((last.slowest, last.server_ns.max), ("set", 500));
        // 3 µs, within what a histogram rounds.
        assert_eq!(last.queue_ns.expect("arrivals are known").p50 / 10, 300);
    }

    #[test]
    fn a_get_of_several_keys_is_one_request() {
        let found = seconds(&[(0, 1, Command::Get, 10), (0, 1, Command::Get, 10)], 9);
        let commands: Vec<_> = found.iter().flat_map(|one| &one.commands).collect();
        assert_eq!(commands, [(&"mget", &1)]);
    }

    #[test]
    fn many_seconds_leave_the_slowest() {
        let events: Vec<_> = (0..100_u32)
            .map(|second| {
                (
                    u64::from(second) * 1000,
                    second,
                    Command::Get,
                    u64::from(second) + 1,
                )
            })
            .collect();
        let found: Vec<_> = seconds(&events, 3).iter().map(|one| one.second).collect();
        assert_eq!(found, [99, 98, 97]);
    }
}
