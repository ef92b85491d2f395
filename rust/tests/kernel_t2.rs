//! The kernel programs of tier T2, whichever tier this kernel would be captured with, against the same servers.

#[path = "kernel.rs"]
mod kernel;
