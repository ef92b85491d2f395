//! A server's counters before and after → what they grew by, beside what its log held.

use crate::recorder::Difference;
use crate::server::statistics::Statistics;

/// Each look-up grows one of these, and no other.
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

/// What a log held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Look-ups, those of deletions included and those of stores not.
    pub lookups: u64,
    /// Stores, successful or not, but for those refused before they began.
    pub stores: u64,
}

/// By how much a counter grew.
pub(crate) fn growth(start: &Statistics, end: &Statistics, name: &str) -> u64 {
    let value = |of: &Statistics| of.counter(name).unwrap_or(0);
    value(end).saturating_sub(value(start))
}

/// The comparison; `cmd_get` is in it only where other commands looked keys up as well.
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
