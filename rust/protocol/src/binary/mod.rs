//! The binary protocol: bytes → requests and responses; operations → bytes of requests.
//!
//! Each message is a header of 24 bytes, followed by extras, a key and a value. Numbers are big-endian. The rules are
//! those of memcached's [`proto_bin.c`](https://github.com/memcached/memcached/blob/1.6.18/proto_bin.c). On a
//! connection, later versions of 1.6 differ from it only in one limit: see [`BODY_SIZE_MAX`].

mod encode;
mod header;
mod opcode;
mod request;
mod response;

pub use encode::{Arithmetic, Item, Tag};
pub use header::{HEADER_SIZE, REQUEST_MAGIC, RESPONSE_MAGIC};
pub use opcode::Opcode;
pub use request::{BODY_SIZE_MAX, begins_request, parse as parse_request};
pub use response::{Answer, Code, parse as parse_response, parse_header};

#[cfg(test)]
mod tests;
