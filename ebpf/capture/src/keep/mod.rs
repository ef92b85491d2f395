//! A call's bytes → the records that keep them.

pub mod composer;
pub mod hit;
pub mod inline;
pub mod response;
