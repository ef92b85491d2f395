//! Indices of the counters, one u64 each, striped by CPU and program.
//!
//! The terms from [`RING_FULL`] to [`UNATTENDED`] are losses in bytes.

/// Receives of at least one byte on followed sockets.
pub const REQUEST_CALLS: u32 = 0;
/// Bytes of these receives: what memcached adds to `bytes_read`.
pub const REQUEST_BYTES: u32 = 1;
/// Sends of at least one byte on followed sockets.
pub const RESPONSE_CALLS: u32 = 2;
/// Bytes of these sends: what memcached adds to `bytes_written`.
pub const RESPONSE_BYTES: u32 = 3;
/// Records that reached the ring.
pub const RECORDS: u32 = 4;
/// Records that a full ring did not take.
pub const RECORDS_RING_FULL: u32 = 5;
/// Bytes of requests and responses lost to a full ring.
pub const RING_FULL: u32 = 6;
/// Bytes that TCP sequence numbers show to have moved without a call that was seen.
pub const MISSED: u32 = 7;
/// Bytes of calls longer than [`crate::RECORDS_PER_CALL`] records.
pub const RECORD_LIMIT: u32 = 8;
/// Bytes moved by a system call whose buffers are not located.
pub const OTHER_SYSCALL: u32 = 9;
/// Bytes moved by io_uring.
pub const IO_URING: u32 = 10;
/// Bytes moved by a kernel thread.
pub const KERNEL_THREAD: u32 = 11;
/// Bytes moved by a 32-bit task.
pub const COMPAT_TASK: u32 = 12;
/// Bytes whose buffer could not be read.
pub const FAULT: u32 = 13;
/// Bytes on sockets for which no state could be allocated.
pub const NO_STATE: u32 = 14;
/// Bytes of UDP datagrams that are not decoded.
pub const UDP: u32 = 15;
/// Bytes on sockets with a followed port or path that are neither IPv4 nor IPv6 nor a UNIX-domain stream.
pub const OTHER_FAMILY: u32 = 16;
/// Bytes that were only counted because user space had been silent for [`crate::SILENCE_NS`].
pub const UNATTENDED: u32 = 17;
/// Sockets at the address of an earlier socket whose end was not seen: a program did not run.
pub const REPLACED: u32 = 18;
/// Packets that passed an interface, of followed ports or in tunnels that may hold some.
pub const PACKETS: u32 = 19;
/// Packets counted in [`PACKETS`] that did not reach the ring whole: it was full, or user space silent.
pub const PACKETS_DROPPED: u32 = 20;
/// Packets counted in [`PACKETS`] that could not be read.
pub const PACKETS_UNREADABLE: u32 = 21;
/// Calls that a standby program recorded, because the kernel had skipped the first program.
pub const RECOVERED: u32 = 22;
/// Number of counters.
pub const COUNT: usize = 23;
/// Room for the counters: a power of two, so that a mask bounds an index.
pub const STRIDE: usize = 32;

const _: () = assert!(COUNT <= STRIDE && STRIDE == 32);
