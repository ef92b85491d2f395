//! Recordings to replay: events in order, their options strings, and the lifetimes of connections.

use membench_event::{Event, OptionsTable};

use crate::Result;
use crate::plan::extent::Extent;
use crate::plan::routes::Servers;

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
    /// Start of the recording, ns on the clock of the events.
    pub start: u64,
    /// Options strings that the events refer to.
    pub options: OptionsTable,
    /// Lifetimes of the connections. A connection without one is opened with its first request and stays open.
    pub lifetimes: Vec<Lifetime>,
    /// Servers that were recorded.
    pub servers: Servers,
}

/// Opening or closing of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Change {
    /// Time of the change, ns on the clock of the events; 0 for a connection open since before the start.
    pub(crate) time: u64,
    /// Ordinal of the connection.
    pub(crate) connection: u32,
    /// Number of the copy of the clients.
    pub(crate) copy: u32,
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
    /// Returns the part of the recording that an extent names. Connections that are open at its start are open before it.
    pub(crate) fn part(&self, extent: Extent) -> Recording<'_> {
        let start = self.start;
        let lifetimes = self.lifetimes.iter().map(|lifetime| Lifetime {
            connection: lifetime.connection,
            opened: lifetime.opened.filter(|time| extent.has(start, *time)),
            closed: lifetime.closed.filter(|time| !extent.is_over(start, *time)),
        });
        Recording {
            events: Box::new(move || {
                let events = (self.events)()?;
                let until_the_end = events.take_while(move |event| {
                    let event = event.as_ref().ok();
                    event.is_none_or(|event| !extent.is_over(start, event.time))
                });
                Ok(Box::new(until_the_end.filter(move |event| {
                    let event = event.as_ref().ok();
                    event.is_none_or(|event| extent.has(start, event.time))
                })))
            }),
            start,
            options: self.options.clone(),
            lifetimes: lifetimes.collect(),
            servers: Servers::default(),
        }
    }

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
                copy: 0,
                opens: true,
            });
            changes.extend(lifetime.closed.map(|time| Change {
                time,
                connection,
                copy: 0,
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
        start: 0,
        options,
        lifetimes,
        servers: Servers::default(),
    }
}
