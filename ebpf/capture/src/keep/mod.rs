//! A call's bytes in user space → the records that keep them.

pub mod composer;
pub mod datagram;
pub mod hit;
pub mod inline;
pub mod response;
pub mod rules;
