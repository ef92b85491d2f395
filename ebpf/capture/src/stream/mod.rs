//! A followed socket → its state: where its streams are, what was lost, what the ring holds of it.

pub mod announce;
pub mod close;
pub mod place;
pub mod state;
pub mod storage;
pub mod table;
