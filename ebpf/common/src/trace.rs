//! System calls of traced processes: records, counters, globals and reads of the object `trace`.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// System calls have numbers below this.
pub const NUMBERS: usize = 512;
/// Number of a record or thread that is in no call.
pub const NO_CALL: u32 = u32::MAX;
/// Most reads of user memory for one call.
pub const READS: usize = 4;
/// Longest text that is kept of an argument, bytes, its final zero included.
pub const TEXT: usize = 1024;
/// Most bytes that are kept of one read but [`read::DATA`] and [`read::VECTORS`].
pub const STRUCTURE: usize = 1024;
/// Most bytes of a stream that are kept of one buffer.
pub const DATA: usize = 16 * 1024;
/// Most bytes of a stream that are kept of one iovec.
pub const VECTOR_DATA: usize = 512;
/// Most iovecs of one call whose bytes are kept.
pub const VECTORS: usize = 16;
/// Most bytes of a record behind its [`Call`].
pub const PAYLOAD: usize = 24 * 1024;
/// Most pairs of programs at the entry and return of one call's kernel function.
pub const PAIRS: usize = 24;

/// Programs, by their indices in the map of counters.
pub mod program {
    /// `sys_enter`, and the programs at the entries of functions.
    pub const ENTRY: u32 = 0;
    /// `sys_exit`, and the programs at the returns of functions.
    pub const RETURN: u32 = 1;
    /// `signal_deliver`.
    pub const SIGNAL: u32 = 2;
    /// `sched_process_exit`.
    pub const END: u32 = 3;
}

/// Indices of the counters, one u64 each, striped by CPU and program. All but the last two are numbers of calls.
pub mod counter {
    /// Calls that began.
    pub const ENTERED: u32 = 0;
    /// Calls that returned without their beginning having been seen.
    pub const UNENTERED: u32 = 1;
    /// Calls in records, or in the totals.
    pub const SHOWN: u32 = 2;
    /// Calls that a full ring did not take.
    pub const RING_FULL: u32 = 3;
    /// Calls whose return was not seen, because the thread made another one.
    pub const UNRETURNED: u32 = 4;
    /// Calls that took less time than asked for.
    pub const FASTER: u32 = 5;
    /// Calls that failed or succeeded and were not asked for.
    pub const OTHER_OUTCOME: u32 = 6;
    /// Calls on other descriptors than sockets of the ports.
    pub const OTHER_DESCRIPTOR: u32 = 7;
    /// 32-bit calls.
    pub const COMPAT: u32 = 8;
    /// Calls of threads for which there was no state, so that an unfinished one is not known.
    pub const NO_STATE: u32 = 9;
    /// Signals, ends of threads and arguments of programs that start, in records.
    pub const ASIDE: u32 = 10;
    /// Records of these that a full ring did not take.
    pub const ASIDE_RING_FULL: u32 = 11;
    /// Number of counters.
    pub const COUNT: usize = 12;
}

/// Kinds of records: values of [`Call::kind`].
pub mod kind {
    /// A call that returned.
    pub const RETURN: u32 = 1;
    /// Arguments of a call that replaces the memory they are in. Its return follows.
    pub const ENTRY: u32 = 2;
    /// The end of a thread, in the call `number` unless that is [`super::NO_CALL`]. `result` is its exit code.
    pub const END: u32 = 3;
    /// A signal; `result` is its number. A [`super::read::SIGNAL`] follows.
    pub const SIGNAL: u32 = 4;
}

/// Facts about a call: bits of the global `CALLS`.
pub mod flag {
    /// Traced.
    pub const TRACED: u8 = 1;
    /// Takes a file descriptor first.
    pub const DESCRIPTOR: u8 = 2;
    /// Replaces the memory of the process, so that its arguments are read as it begins.
    pub const REPLACES: u8 = 4;
    /// Gives its socket an address, which is therefore looked up when it returns.
    pub const ADDRESSES: u8 = 8;
    /// Returns a descriptor of a socket.
    pub const SOCKET: u8 = 16;
    /// Makes a thread or process, in which it returns 0 a second time.
    pub const FORKS: u8 = 32;
}

/// Reads of user memory for a call. Each is one word of the global `READS`: `what | argument << 8 | other << 12 | size <<
/// 16`. Values of `what`, which are also those of [`Part::what`](super::trace::Part).
pub mod read {
    /// A text that ends with a zero.
    pub const TEXT: u32 = 1;
    /// `size` bytes.
    pub const BYTES: u32 = 2;
    /// As many elements of `size` bytes as the argument `other` says; as the result says if `other` is [`RESULT`].
    pub const ARRAY: u32 = 3;
    /// A buffer with as many bytes of a stream as the result says. Kept for sockets of the ports only.
    pub const DATA: u32 = 4;
    /// As many iovecs as the argument `other` says, and the bytes in them as for [`DATA`].
    pub const VECTORS: u32 = 5;
    /// A `struct msghdr`; its iovecs follow as for [`VECTORS`].
    pub const MESSAGE: u32 = 6;
    /// A socket address, whose length the argument `other` says.
    pub const ADDRESS: u32 = 7;
    /// A socket address, whose length is in the `u32` at the argument `other`.
    pub const ADDRESS_OUT: u32 = 8;
    /// The socket of the argument, or of the result: a [`super::Socket`].
    pub const SOCKET: u32 = 9;
    /// Origin of a signal: the first 48 bytes of a `siginfo_t`.
    pub const SIGNAL: u32 = 10;
    /// Bit of `size` in [`TEXT`] and [`BYTES`], [`ARRAY`]: only if the call succeeded.
    pub const OUT: u32 = 0x8000;
    /// Index of the result where an argument's is expected.
    pub const RESULT: u32 = 15;
}

members! {
    /// Exit code of a task, as `wait` reports it.
    TASK_EXIT_CODE = "task_struct", "exit_code";
    /// Sixth argument of a system call.
    REGISTER_SIXTH = "pt_regs", "r9";
}

/// Load-time globals.
pub mod global {
    /// `[u8; NUMBERS]`: sets of the bits in [`super::flag`].
    pub const CALLS: &str = "CALLS";
    /// `[[u32; READS]; NUMBERS]`: reads for each call, ended by 0.
    pub const READS: &str = "CALL_READS";
    /// `u32`: 1 to leave out calls on other descriptors than sockets of the ports.
    pub const ONLY_PORTS: &str = "ONLY_PORTS";
    /// `u32`: 1 to tell the addresses of every socket.
    pub const SOCKETS: &str = "SOCKETS";
    /// `u64`: time below which calls are left out, ns.
    pub const SLOWER: &str = "SLOWER";
    /// `u32`: outcomes that are asked for, one of [`super::outcome`].
    pub const OUTCOME: &str = "OUTCOME";
    /// `u32`: 1 to add calls up instead of recording each.
    pub const TOTALS: &str = "TOTALS";
    /// `[u32; COUNT]`: offsets of [`super::PATHS`].
    pub const MEMBERS: &str = "TRACE_MEMBERS";
}

/// Outcomes of calls that are asked for.
pub mod outcome {
    /// Every one.
    pub const ANY: u32 = 0;
    /// Success.
    pub const SUCCEEDED: u32 = 1;
    /// Failure.
    pub const FAILED: u32 = 2;
}

/// Totals of one call on one CPU: indices of a value of the map `totals`.
pub mod total {
    /// Calls.
    pub const CALLS: usize = 0;
    /// Calls that failed.
    pub const ERRORS: usize = 1;
    /// Time of all calls, ns.
    pub const TIME: usize = 2;
    /// Time of the longest call, ns.
    pub const LONGEST: usize = 3;
    /// Number of totals.
    pub const COUNT: usize = 4;
}

/// The head of every record. `parts` [`Part`]s follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Call {
    /// Time at which the call returned, or at which anything else happened, CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// Time at which the call began, CLOCK_MONOTONIC, ns; 0 if that was not seen.
    pub began: u64,
    /// Result of the call.
    pub result: i64,
    /// Arguments of the call.
    pub arguments: [u64; 6],
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// One of [`kind`].
    pub kind: u32,
    /// Number of the call.
    pub number: u32,
    /// Number of parts that follow.
    pub parts: u32,
    /// Bytes of the parts.
    pub length: u32,
}

/// Bytes of user memory, which follow padded to a multiple of 8.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Part {
    /// One of [`read`].
    pub what: u16,
    /// Index of the argument, or [`read::RESULT`].
    pub argument: u16,
    /// True length, of which `kept` bytes follow.
    pub length: u32,
    /// Bytes that follow.
    pub kept: u32,
    /// Padding: zero.
    pub padding: u32,
}

/// A socket's identity.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Socket {
    /// Number of its inode, as in `/proc/PID/fd`.
    pub inode: u64,
    /// AF_INET (2), AF_INET6 (10), AF_UNIX (1) or another.
    pub family: u16,
    /// `IPPROTO_*`.
    pub protocol: u16,
    /// Local port, host byte order.
    pub local_port: u16,
    /// Remote port, host byte order.
    pub remote_port: u16,
    /// Local address: IPv4 in the first 4 bytes, or IPv6.
    pub local: [u8; 16],
    /// Remote address.
    pub remote: [u8; 16],
    /// 1 if the local or remote port is one of those followed.
    pub followed: u32,
    /// 1 if the remote port is the one that is followed: the socket is a client's.
    pub client: u32,
}

/// The call that a thread is in.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Entered {
    /// Time at which the call began, ns.
    pub began: u64,
    /// Arguments.
    pub arguments: [u64; 6],
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Number of the call; [`NO_CALL`] between calls.
    pub number: u32,
    /// 1 if `socket` is the descriptor's.
    pub has_socket: u32,
    /// The socket of a call on one.
    pub socket: Socket,
}

const _: () = {
    assert!(size_of::<Call>() == 96 && offset_of!(Call, length) == 92);
    assert!(size_of::<Part>() == 16 && offset_of!(Part, kept) == 8);
    assert!(size_of::<Socket>() == 56 && offset_of!(Socket, client) == 52);
    assert!(size_of::<Entered>() == 128 && offset_of!(Entered, socket) == 72);
    assert!(counter::COUNT <= crate::counter::STRIDE);
};
