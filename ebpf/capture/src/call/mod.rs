//! A finished call → where its bytes are, in user space.

pub mod iovec;
pub mod messages;
pub mod registers;
pub mod returned;

pub use registers::{Arguments, Shape, receiving, sending};
