//! System calls that return (tier T2) → the records that the socket tracepoints of newer kernels give.
//!
//! Everything here keeps to what Linux 5.10 takes: kernel memory is reached by probes, loops are bounded, a call with
//! many iovecs goes on in further programs, and records are copied into the ring.

pub mod arrival;
pub mod close;
mod continuation;
pub mod message;
pub mod messages;
mod places;
mod receive;
mod send;
pub mod syscall;
mod table;
pub mod walk;

pub use continuation::{more_received, more_sent};
