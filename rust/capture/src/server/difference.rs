//! A server's counters at the start and the end of its log → their growth, beside the counts of the log.

use serde::Serialize;

use crate::server::statistics::Statistics;

/// Counters of look-ups: each look-up increments exactly one of them.
const LOOKUPS: [&str; 8] = [
    "cmd_get",
    "cmd_touch",
    "delete_hits",
    "delete_misses",
    "incr_hits",
    "incr_misses",
    "decr_hits",
    "decr_misses",
];

/// One of a server's own counters over the recording, beside what was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The server's port; 0 at a path.
    pub port: u16,
    /// The server's path, if it has one.
    pub path: Option<String>,
    /// The counter's name in `stats`.
    pub counter: &'static str,
    /// Its growth, as the server says.
    pub server: u64,
    /// Its growth between the server's two answers, as recorded.
    pub recorded: u64,
}

/// Counts of the operations in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Look-ups, including those of deletions but not those of stores.
    pub lookups: u64,
    /// Stores, successful or not, without those refused before they began.
    pub stores: u64,
}

/// Returns the growth of a counter.
pub(crate) fn growth(start: &Statistics, end: &Statistics, name: &str) -> u64 {
    let value = |of: &Statistics| of.counter(name).unwrap_or(0);
    value(end).saturating_sub(value(start))
}

/// Compares a server's counters with its log. `cmd_get` is compared only if other commands looked keys up as well.
pub(crate) fn differences(
    port: u16,
    start: &Statistics,
    end: &Statistics,
    recorded: Recorded,
) -> Vec<Difference> {
    let grown = |name| growth(start, end, name);
    let lookups: u64 = LOOKUPS.iter().map(|name| grown(name)).sum();
    let difference = |counter, server, recorded| Difference {
        port,
        path: None,
        counter,
        server,
        recorded,
    };
    let mut all = vec![
        difference("look-ups", lookups, recorded.lookups),
        difference("cmd_set", grown("cmd_set"), recorded.stores),
    ];
    if grown("cmd_get") != lookups {
        all.push(difference("cmd_get", grown("cmd_get"), recorded.lookups));
    }
    all
}
