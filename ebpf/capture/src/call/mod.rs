//! A finished call → where its bytes are in user space.

pub mod iovec;
pub mod messages;
pub mod registers;
