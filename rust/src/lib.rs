//! Records what a live memcached does, replays it with the same timing, and explains it.
//!
//! The flow, each arrow one module:
//!
//! ```text
//! ring (capture) ─▶ Segment ─▶ decode ─▶ Event ─▶ profile ─▶ analysis | replay
//! ```

pub mod analysis;
mod answer;
mod aside;
pub mod capture;
pub mod decode;
mod error;
pub mod event;
pub mod packet;
pub mod privacy;
pub mod profile;
pub mod replay;
pub mod segment;
mod sys;
pub mod top;

#[cfg(feature = "python")]
mod py;

pub use error::{Class, Error, KernelError, ReplayError, Result};
