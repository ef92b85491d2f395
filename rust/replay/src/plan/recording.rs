//! Recordings to replay: events in order, their options strings, and the lifetimes of connections.

use membench_event::{Event, OptionsTable};

use crate::Result;

/// Events ordered by (time, connection, batch, request).
pub type Events<'a> = Box<dyn Iterator<Item = membench_profile::Result<Event>> + Send + 'a>;

/// Lifetime of one connection, ns on the clock of the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Ordinal of the connection.
    pub connection: u32,
    /// Time at which the connection was opened; `None` if that was before the recording started.
    pub opened: Option<u64>,
    /// Time at which the connection was closed; `None` if it was open when the recording ended.
    pub closed: Option<u64>,
}

/// Recording that can be read more than once.
pub struct Recording<'a> {
    /// Reads the events from the first one on, each time it is called.
    pub events: Box<dyn Fn() -> Result<Events<'a>> + Sync + 'a>,
    /// Options strings that the events refer to.
    pub options: OptionsTable,
    /// Lifetimes of the connections. A connection without one is opened with its first request and stays open.
    pub lifetimes: Vec<Lifetime>,
}

/// Opening or closing of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Change {
    /// Time of the change, ns on the clock of the events; 0 for a connection open since before the start.
    pub(crate) time: u64,
    /// Ordinal of the connection.
    pub(crate) connection: u32,
    /// True for an opening, false for a closing.
    pub(crate) opens: bool,
}

impl Change {
    /// True if the change precedes a read at `time`. At equal times an opening precedes the read, and a closing
    /// follows it.
    pub(crate) fn is_before(&self, time: u64) -> bool {
        self.time < time || (self.opens && self.time == time)
    }
}

impl Recording<'_> {
    /// Returns the openings and closings of the connections that `used` accepts, in order of time.
    pub(crate) fn changes(&self, used: impl Fn(u32) -> bool) -> Vec<Change> {
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

/// Makes a recording of events held in memory.
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
