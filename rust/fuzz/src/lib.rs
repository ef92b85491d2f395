//! Harnesses that several targets share.

pub mod profiles;
pub mod servers;
mod streams;

pub use streams::{LIMITS, Streams, close};
