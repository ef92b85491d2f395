//! A memcached asked for its own counters, and how they differ from what was recorded.

pub(crate) mod client;
pub(crate) mod difference;
pub(crate) mod statistics;
