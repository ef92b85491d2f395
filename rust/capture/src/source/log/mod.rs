//! memcached's own log stream (`watch`), live or stored → events: no privileges, no kernel, and less to know.

mod ending;
mod origin;
mod running;

pub(crate) use origin::Origin;
pub(crate) use running::Running;

/// What `time` is in a profile made from a log, as its manifest says it.
pub(crate) const TIME_BASIS: &str = "log";
