//! A socket → what is known of its streams.

pub mod state;
pub mod table;
