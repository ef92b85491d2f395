//! Tracepoints of sockets → records of the call that runs.
//!
//! The hooks pass the socket as a pointer that the verifier trusts, and the call's arguments are in the task's
//! registers.

pub mod arrival;
pub mod close;
mod datagram;
pub mod receive;
pub mod send;
mod standby;
mod walk;
mod whole;
