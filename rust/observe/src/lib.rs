//! Requests of live memcacheds → the parts of their time, and who had the CPU while a worker waited.
//!
//! ```text
//! Selection ─▶ programs, attached ─▶ workers' sums, histograms ─▶ Tally ─▶ Interval
//! ```
//!
//! The programs (`ebpf/observe`) aggregate in the kernel: a request costs no record, and nothing is read but sums.

mod culprits;
mod error;
mod interval;
mod kernel;
mod observer;
mod quantiles;
mod tally;

pub use error::{Error, Result};
pub use interval::{Account, Culprit, Interval, Misses, Quantiles, Worker};
pub use observer::Observer;
