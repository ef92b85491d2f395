//! Objects with small programs of every type: what they hold, and what they do in the kernel.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod assembler;
mod kernel;
mod spec;
