//! Tracepoints of sockets → records.

pub mod arrival;
pub mod close;
pub mod datagram;
pub mod receive;
pub mod send;
