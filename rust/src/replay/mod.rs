//! A profile's events → a running memcached, with the recorded timing → what it took.

pub mod clock;
pub mod histogram;
pub mod keys;
pub mod operation;
pub mod poller;
pub mod schedule;
pub mod values;
