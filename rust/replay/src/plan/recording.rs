//! What a replay reads of a profile: events in order, options, and the life of connections.

use crate::Result;
use membench_event::{Event, OptionsTable};

/// Events in order of (time, connection, batch, request).
pub type Events<'a> = Box<dyn Iterator<Item = membench_profile::Result<Event>> + Send + 'a>;

/// When a connection was opened and closed, ns on the events' clock; none: before the start, after the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Ordinal of the connection.
    pub connection: u32,
    /// Opened.
    pub opened: Option<u64>,
    /// Closed.
    pub closed: Option<u64>,
}

/// A recording that can be read more than once.
pub struct Recording<'a> {
    /// Starts reading.
    pub events: Box<dyn Fn() -> Result<Events<'a>> + Sync + 'a>,
    /// Options strings.
    pub options: OptionsTable,
    /// Connections.
    pub lifetimes: Vec<Lifetime>,
}

/// What happens to a connection, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// ns on the events' clock; 0 before the start.
    pub time: u64,
    /// Ordinal of the connection.
    pub connection: u32,
    /// Opened, or closed.
    pub opens: bool,
}

impl Change {
    /// Whether it comes before a read at `time`: an opening does, a closing at the same instant comes after.
    pub fn is_before(&self, time: u64) -> bool {
        self.time < time || (self.opens && self.time == time)
    }
}

impl Recording<'_> {
    /// Openings and closings of the connections `used`, in order of time.
    pub fn changes(&self, used: impl Fn(u32) -> bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for lifetime in self
            .lifetimes
            .iter()
            .filter(|lifetime| used(lifetime.connection))
        {
            let connection = lifetime.connection;
            let opened = lifetime.opened.unwrap_or(0);
            changes.push(Change {
                time: opened,
                connection,
                opens: true,
            });
            changes.extend(lifetime.closed.map(|time| Change {
                time,
                connection,
                opens: false,
            }));
        }
        changes.sort_unstable();
        changes
    }
}

/// A recording held in memory.
pub fn in_memory(
    events: Vec<Event>,
    options: OptionsTable,
    lifetimes: Vec<Lifetime>,
) -> Recording<'static> {
    let events = std::sync::Arc::new(events);
    Recording {
        events: Box::new(move || {
            let events = std::sync::Arc::clone(&events);
            let count = events.len();
            Ok(Box::new((0..count).map(move |index| Ok(events[index]))))
        }),
        options,
        lifetimes,
    }
}
