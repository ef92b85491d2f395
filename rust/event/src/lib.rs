//! The types that flow through membench and belong to no stage: segments, events, connections, losses, the ledger.
//!
//! ```text
//! source ─▶ Segment ─▶ decode ─▶ Event ─▶ profile ─▶ analysis | replay
//! ```
//!
//! Nothing here does I/O or reads a clock.

#![forbid(unsafe_code)]

mod anchor;
pub mod answer;
pub mod assignment;
pub mod backlog;
mod connection;
mod event;
mod failure;
mod generations;
pub mod ledger;
mod number;
mod options;
mod read;
mod sample;
mod segment;
mod server_run;
mod text;
mod timeline;

pub use anchor::Anchor;
pub use connection::{CloseSide, ConnectionRow, LossRow, Transport};
pub use event::{Command, Event, Outcome, Protocol};
pub use failure::{Class, Failure, Hint, Setting, io_class, io_hint, regular};
pub use generations::Generations;
pub use ledger::{Flow, Ledger, Packets, Server, Totals};
pub use number::{NumberHasher, NumberMap, digits, float, ratio, share, size};
pub use options::{Options, OptionsTable};
pub use read::{Lookup, Reads};
pub use sample::Sample;
pub use segment::{Direction, Piece, Segment};
pub use server_run::ServerRun;
pub use text::printable;
pub use timeline::Timeline;
