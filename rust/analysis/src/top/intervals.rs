//! Events of a stored source → intervals of its own time.

use std::collections::VecDeque;
use std::time::Duration;

use membench_event::Event;

use super::Top;

/// Events that are counted interval by interval, by their own times. An interval without events is passed over.
///
/// ```
/// use std::time::Duration;
///
/// use membench_analysis::top::{Intervals, Top};
/// use membench_event::{Command, Event};
///
/// let at = |second: u64| Event { time: second * 1_000_000_000, ..Event::new(Command::Get) };
/// let (mut intervals, mut top) = (Intervals::default(), Top::new(16));
/// intervals.take([10, 10, 11, 12, 40, 41].map(at));
/// let mut counted = Vec::new();
/// let mut more = true;
/// while more {
///     more = intervals.count(&mut top, Duration::from_secs(2));
///     counted.push(top.take(0).events);
/// }
/// assert_eq!(counted, [3, 1, 2]);
/// assert_eq!(intervals.covered(), Duration::from_secs(31));
/// ```
#[derive(Debug, Default)]
pub struct Intervals {
    /// Events that were not counted yet.
    waiting: VecDeque<Event>,
    /// Time of the first event, ns.
    first: Option<u64>,
    /// End of the current interval, ns.
    end: u64,
    /// Time of the latest event that was counted, ns.
    latest: u64,
}

impl Intervals {
    /// Takes events that follow those so far.
    pub fn take(&mut self, events: impl IntoIterator<Item = Event>) {
        self.waiting.extend(events);
    }

    /// Time that the events counted so far cover.
    pub fn covered(&self) -> Duration {
        let first = self.first.unwrap_or(self.latest);
        Duration::from_nanos(self.latest.saturating_sub(first))
    }

    /// Counts the events of the current interval. Returns true if one of a later interval waits, and begins that one.
    pub fn count(&mut self, top: &mut Top, interval: Duration) -> bool {
        let interval = u64::try_from(interval.as_nanos())
            .unwrap_or(u64::MAX)
            .max(1);
        if let (None, Some(event)) = (self.first, self.waiting.front()) {
            self.first = Some(event.time);
            self.end = event.time.saturating_add(interval);
        }
        let within = self
            .waiting
            .iter()
            .position(|event| event.time >= self.end)
            .unwrap_or(self.waiting.len());
        let rest = self.waiting.split_off(within);
        let events = Vec::from(std::mem::replace(&mut self.waiting, rest));
        let latest = events.iter().map(|event| event.time).max();
        self.latest = self.latest.max(latest.unwrap_or(0));
        top.feed(&events);
        let Some(next) = self.waiting.front() else {
            return false;
        };
        let passed = (next.time - self.end) / interval + 1;
        self.end = self.end.saturating_add(passed.saturating_mul(interval));
        true
    }
}
