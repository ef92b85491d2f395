//! Events ↔ a profile on disk: Parquet parts, an open tail, a manifest.

#![forbid(unsafe_code)]

mod clocks;
mod content;
mod create;
mod decode;
mod encode;
mod encoding;
mod error;
mod events;
mod folder;
mod manifest;
mod part;
mod reader;
mod repair;
mod room;
mod scan;
mod schema;
mod seal;
mod summary;
mod tables;
mod tail;
mod writer;

pub use encode::record_batch;
pub use error::{Error, Result, require_all};
pub use events::{Batches, Events};
pub use folder::Owner;
pub use manifest::{Counts, Filters, Header, Manifest, Part, SCHEMA_VERSION, State};
pub use reader::Profile;
pub use repair::repair;
pub use schema::schema;
pub use summary::Summary;
pub use tables::{connection_schema, loss_schema};
pub use writer::{End, Writer};

#[cfg(test)]
mod tests;
