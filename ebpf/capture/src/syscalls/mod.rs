//! System calls that return (tier T2) → the records that the socket tracepoints of newer kernels give.
//!
//! Everything here keeps to what Linux 5.10 takes: kernel memory is reached by probes, loops are bounded, a call with
//! many iovecs goes on in further programs, and records are copied into the ring.

pub mod arrival;
pub mod close;
mod continuation;
pub mod exit;
pub mod fd;
pub mod message;
pub mod messages;
mod receive;
mod send;

use crate::{call::returned as places, stream::table};
use fd as walk;

pub use continuation::{more_received, more_sent};
