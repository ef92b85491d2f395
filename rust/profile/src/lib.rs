//! Events ↔ a profile on disk: Parquet parts, an open tail, a manifest.

#![forbid(unsafe_code)]

mod checksum;
mod clocks;
mod connections;
mod content;
mod create;
mod decode;
mod encode;
mod encoding;
mod error;
mod events;
mod folder;
mod guarded;
mod manifest;
mod messages;
mod observation;
mod observation_rows;
mod ordinals;
mod owner;
mod pages;
mod part;
mod place;
mod reader;
mod repair;
mod room;
mod rows;
mod scan;
mod schema;
mod seal;
mod stored;
mod stored_table;
mod streams;
mod summary;
mod tables;
mod tail;
mod verify;
mod writer;

pub use checksum::Checksum;
pub use encode::record_batch;
pub use error::{Error, Result, require_all};
pub use events::{Batches, Events};
pub use manifest::{Counts, Filters, Header, Manifest, Part, SCHEMA_VERSION, State, TableFile};
pub use observation::{Observation, observation_tables};
pub use observation_rows::ObservationRows;
pub use ordinals::Ordinals;
pub use owner::Owner;
pub use reader::Profile;
pub use repair::repair;
pub use rows::Rows;
pub use schema::schema;
pub use stored_table::{Table, TableBatches};
pub use summary::Summary;
pub use tables::{connection_schema, loss_schema};
pub use verify::Verification;
pub use writer::{End, Writer};

#[cfg(test)]
mod tests;
