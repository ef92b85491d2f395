//! The programs of the `syscalls` hooks, on kernels that would prefer others too, against the same servers.

#[path = "kernel.rs"]
mod kernel;
