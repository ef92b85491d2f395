//! Operations → the bytes that go to the target: keys, values, requests.

pub mod bytes;
pub mod keys;
pub mod opaque;
pub mod request;
pub mod values;
