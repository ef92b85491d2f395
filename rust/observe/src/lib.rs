//! Requests of live memcacheds → the parts of their time, and who had the CPU while a worker waited.
//!
//! ```text
//! Selection ─▶ programs, attached ─▶ workers' sums, histograms ─▶ Tally ─▶ Interval
//! ```
//!
//! The programs (`ebpf/observe`) aggregate in the kernel: nothing is read but sums, and records of slow requests if these
//! are asked for.

mod culprits;
mod error;
mod interval;
mod kernel;
mod observer;
mod quantiles;
mod slow;
mod tally;
mod timeline;

pub use error::{Error, Result};
pub use interval::{Account, Culprit, Interval, Misses, Quantiles, SlowRequest, Worker};
pub use observer::Observer;
pub use slow::Keep;
