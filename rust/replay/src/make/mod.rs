//! Operations → the bytes that go to the target: keys, values, requests.

pub(crate) mod bytes;
pub(crate) mod content;
pub(crate) mod keys;
pub(crate) mod opaque;
pub(crate) mod request;
pub(crate) mod template;
pub(crate) mod values;
