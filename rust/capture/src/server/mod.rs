//! memcached's own counters, by which a recording is checked.

pub(crate) mod client;
pub(crate) mod difference;
pub(crate) mod statistics;
pub(crate) mod status;
