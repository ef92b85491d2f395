//! The contract between kernel programs and user space: ring records, counters, load-time globals, programs by name.
//!
//! Everything here is fixed-width and explicitly padded. Each record asserts its layout when either side is compiled.
#![no_std]

/// Defines kernel structure members: doc, index (the position) and BTF path in one row, so that they cannot drift.
macro_rules! members {
    ($($(#[$doc:meta])+ $name:ident = $structure:literal, $path:literal;)+) => {
        /// Structure and member path of each index, as BTF names them.
        pub const PATHS: [(&str, &str); COUNT] = [$(($structure, $path)),+];
        /// Number of members.
        pub const COUNT: usize = [$($path),+].len();
        members!(@index 0, $($(#[$doc])+ $name)+);
    };
    (@index $index:expr, $(#[$doc:meta])+ $name:ident $($rest:tt)*) => {
        $(#[$doc])+
        pub const $name: usize = $index;
        members!(@index $name + 1, $($rest)*);
    };
    (@index $index:expr,) => {};
}

pub mod counter;
pub mod field;
pub mod global;
mod hooks;
pub mod member;
pub mod observe;
mod packet;
pub mod probe;
mod record;
pub mod trace;

pub use global::{responses, side};
pub use hooks::{exit, program, syscall};
pub use packet::{Packet, SCANNED, way};
pub use record::{Close, Datagram, Header, Part, Socket, kind};

/// Most payload bytes of one ring record.
pub const RECORD_PAYLOAD: usize = 16 * 1024;
/// Most records of one call. The bytes beyond are one gap, counted as [`counter::RECORD_LIMIT`].
pub const RECORDS_PER_CALL: u32 = 17;
/// Capacity up to which a read is kept whole. A larger read goes straight into an item, unless it goes into memcached's
/// read buffer: 16 KiB, doubled as long as a multi-get does not fit. Reads of a power of two show that buffer.
pub const WHOLE_CAPACITY: u64 = 64 * 1024;
/// Bytes kept from the start of a read that goes straight into an item.
pub const HEAD: usize = 512;
/// Bytes kept from the end of a read that goes straight into an item.
pub const TAIL: usize = 64;
/// Bytes kept from the start of one buffer of a response: a `VALUE` line with a 250-byte key fits.
pub const RESPONSE_PART: usize = 320;
/// Bytes kept from the end of a longer buffer of a response: the `END` line of a list fits.
pub const RESPONSE_TAIL: usize = 64;
/// Silence of user space after which the programs only count, ns.
pub const SILENCE_NS: u64 = 2_000_000_000;
/// Most listening ports of one capture.
pub const PORTS: usize = 16;
/// Most paths of UNIX-domain sockets of one capture.
pub const SOCKET_PATHS: usize = 8;
/// Room for one path, in 32-bit words: all of `sun_path`.
pub const PATH_WORDS: usize = 27;
/// Most processes to which a capture can be narrowed, and most control groups, and most network namespaces.
pub const FILTERS: usize = 16;
