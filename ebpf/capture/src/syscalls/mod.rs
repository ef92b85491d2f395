//! System calls that return → the records that socket tracepoints give on newer kernels.
//!
//! Everything here keeps to what Linux 5.10 accepts: kernel memory is read by probes, loops are bounded, a call with
//! many iovecs continues in further programs, and records are copied into the ring.

pub mod arrival;
pub mod close;
pub mod continuation;
pub mod exit;
pub mod messages;
mod receive;
mod send;
