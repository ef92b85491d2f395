//! A profile's events → a running memcached, with the recorded timing → what it took.

mod answer;
pub mod clock;
pub mod connection;
pub mod connections;
pub mod histogram;
pub mod keys;
pub mod measures;
pub mod operation;
pub mod outcomes;
mod outstanding;
pub mod poller;
pub mod request;
pub mod schedule;
pub mod shard;
pub mod template;
pub mod values;
