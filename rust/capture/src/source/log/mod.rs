//! memcached's own log stream (`watch`), live or stored → events: no privileges, no kernel, and less to know.

mod clock;
mod connections;
mod difference;
mod ending;
mod line;
mod log;
mod operations;
mod order;
mod origin;
mod running;
#[cfg(test)]
mod tests;

pub use line::{Action, Entry, KEY_ROOM, Line, decode_key, parse};
pub use log::{Counts, Log};
pub use origin::Origin;
pub(super) use running::Running;

/// What `time` is in a profile made from a log, as its manifest says it.
pub const TIME_BASIS: &str = "log";
