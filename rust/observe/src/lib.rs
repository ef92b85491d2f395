//! Requests of live memcacheds → the parts of their time, and who had the CPU while a worker waited.
//!
//! ```text
//! Selection ─▶ programs, attached ─▶ workers' sums, histograms ─▶ Tally ─▶ Interval
//! ```
//!
//! The programs (`ebpf/observe`) aggregate in the kernel: nothing is read but sums, and records of slow requests if these
//! are asked for.

mod commands;
mod connections;
mod culprits;
mod entries;
mod error;
mod hindsight;
mod interval;
mod kernel;
mod observer;
mod options;
mod quantiles;
mod slow;
mod sums;
mod tally;
mod timeline;

pub use error::{Error, Result};
pub use interval::{
    Account, BusyConnections, Command, Connection, Culprit, Interval, Misses, Quantiles,
    SlowRequest, TcpEvents, Worker,
};
pub use observer::Observer;
pub use options::{Keep, Options};
