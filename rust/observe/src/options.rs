//! The choice of figures that an observation takes.

use std::time::Duration;

/// A choice of figures. Rare events of TCP are always counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// True to account for each request. The other options choose among requests.
    pub requests: bool,
    /// Slow requests that are kept.
    pub keep: Option<Keep>,
    /// True to account for each class of commands, too.
    pub by_command: bool,
    /// True to sum requests by connection, too.
    pub by_connection: bool,
    /// Length of the time before it is asked for that a timeline shows; `None` for all that came.
    pub hindsight: Option<Duration>,
}

/// Slow requests that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Time from which a request is slow.
    pub slower_than: Duration,
    /// The most that are kept of an interval: the longest.
    pub most: usize,
}

impl Keep {
    /// Returns the time from which a request is slow, ns.
    pub(crate) fn slower_ns(self) -> u64 {
        u64::try_from(self.slower_than.as_nanos()).unwrap_or(u64::MAX)
    }
}
