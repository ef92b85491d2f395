//! `membench probe`: the settings of its programs, and their counts.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::PORTS;

/// Most names of threads that a probe can be narrowed to.
pub const COMMS: usize = 8;
/// Size of a thread's name in the kernel.
pub const COMM: usize = 16;
/// Buckets of a histogram: a power of two, so that a mask bounds an index.
pub const BUCKETS: usize = 128;
/// Most steps of a linear histogram. A bucket below and one above hold the rest.
pub const STEPS: u64 = BUCKETS as u64 - 2;
/// Frames of a stack at most.
pub const FRAMES: usize = 127;
/// Name of the global that holds [`Settings`].
pub const SETTINGS: &str = "SETTINGS";

/// Settings of the programs, made before they are loaded. The verifier knows each member as a constant.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Settings {
    /// Names of the threads that are observed, padded with zeros, ended by an empty one; none to observe all.
    pub comms: [[u64; 2]; COMMS],
    /// Least value of a linear histogram.
    pub least: i64,
    /// Width of a bucket of a linear histogram; 0 for a histogram of powers of two.
    pub step: u64,
    /// Number of buckets of a linear histogram, without the first and the last.
    pub steps: u64,
    /// A constant, or what is added to a register to get an address: see [`operand`].
    pub addend: i64,
    /// Ports of which one is the socket's, ended by 0; none to observe all.
    pub ports: [u16; PORTS],
    /// The origin of the value in the histogram, one of [`operand`].
    pub operand: u32,
    /// Index of an argument, or offset in the context, bytes.
    pub place: u32,
    /// Size of the value: 1, 2, 4 or 8 bytes.
    pub size: u32,
    /// 1 if the value has a sign.
    pub signed: u32,
    /// The way from the context to the ports, one of [`socket`].
    pub socket: u32,
    /// Index or offset of the socket, or of the local port.
    pub socket_place: u32,
    /// Offset of the remote port.
    pub remote_place: u32,
    /// 1 if a program at the beginning and one at the end of a call belong together.
    pub paired: u32,
    /// 1 if the histogram is of the time between beginning and end.
    pub latency: u32,
    /// The thing whose counts are kept apart, one of [`by`].
    pub by: u32,
    /// 1 if stacks are counted.
    pub stacks: u32,
    /// 1 if programs measure their own time.
    pub timed: u32,
}

/// Origins of a value.
pub mod operand {
    /// There is no value.
    pub const NONE: u32 = 0;
    /// An argument by its index, or a field of the context by its offset.
    pub const CONTEXT: u32 = 1;
    /// A constant.
    pub const CONSTANT: u32 = 2;
    /// User memory, at the sum of a register in the context and the addend.
    pub const MEMORY: u32 = 3;
}

/// Ways from a context to the ports of a socket.
pub mod socket {
    /// There is no socket.
    pub const NONE: u32 = 0;
    /// A pointer to a `struct sock`.
    pub const SOCK: u32 = 1;
    /// A pointer to a `struct socket`.
    pub const SOCKET: u32 = 2;
    /// Ports in host byte order among the fields.
    pub const FIELDS: u32 = 3;
}

/// Things whose counts are kept apart in the map `groups`. Those of CPUs are apart anyway.
pub mod by {
    /// Nothing.
    pub const NOTHING: u32 = 0;
    /// Processes.
    pub const PROCESS: u32 = 1;
    /// Threads.
    pub const THREAD: u32 = 2;
}

/// Indices of the totals of a CPU, in the map `totals`.
pub mod total {
    /// Hits that were observed; of pairs, ends.
    pub const COUNT: u32 = 0;
    /// Sum of the values.
    pub const SUM: u32 = 1;
    /// Ends without a known beginning.
    pub const UNPAIRED: u32 = 2;
    /// Hits that the full map `groups` did not take.
    pub const UNGROUPED: u32 = 3;
    /// Hits whose stack could not be kept.
    pub const UNSTACKED: u32 = 4;
    /// Values that could not be read.
    pub const UNREADABLE: u32 = 5;
    /// Runs of programs that measure their own time.
    pub const RUNS: u32 = 6;
    /// Time of these runs, ns.
    pub const RUN_TIME: u32 = 7;
    /// Number of totals: a power of two, so that a mask bounds an index.
    pub const STRIDE: usize = 8;
}

/// A key of the map `groups`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Group {
    /// Number of the process or thread.
    pub id: u32,
    /// Bucket of the histogram; 0 without one.
    pub bucket: u32,
}

/// A value of the map `groups`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Grouped {
    /// Hits.
    pub count: u64,
    /// Sum of the values.
    pub sum: u64,
    /// Name of the thread that was seen first.
    pub comm: [u8; COMM],
}

/// A key of the map `stacks`: numbers in the map `frames`, negative for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Stack {
    /// The process; 0 for a kernel stack alone.
    pub process: u32,
    /// The kernel's part.
    pub kernel: i32,
    /// The program's part.
    pub user: i32,
    /// Zero.
    pub padding: u32,
}

const _: () = assert!(size_of::<Settings>() == 8 * 20 + 2 * PORTS + 4 * 12);
const _: () =
    assert!(size_of::<Group>() == 8 && size_of::<Grouped>() == 32 && size_of::<Stack>() == 16);
