//! `membench observe`: the settings of its programs, and their sums.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

members! {
    /// Number of a thread, in the initial pid namespace.
    TASK_THREAD = "task_struct", "pid";
    /// Number of a process, in the initial pid namespace.
    TASK_PROCESS = "task_struct", "tgid";
    /// Number of the CPU that a thread runs on, or is queued at.
    TASK_CPU = "task_struct", "thread_info.cpu";
    /// Name of a thread.
    TASK_NAME = "task_struct", "comm";
    /// Pointer to a task's control groups.
    TASK_CGROUPS = "task_struct", "cgroups";
    /// Pointer from these to the one of the unified hierarchy.
    CGROUPS_UNIFIED = "css_set", "dfl_cgrp";
    /// Pointer from a control group to its folder.
    CGROUP_FOLDER = "cgroup", "kn";
    /// Number of the folder, which is the group's id.
    FOLDER_NUMBER = "kernfs_node", "id";
    /// Smoothed round-trip time, 1/8 µs.
    TCP_ROUND_TRIP = "tcp_sock", "srtt_us";
    /// Segments that were sent again.
    TCP_RETRANSMITS = "tcp_sock", "total_retrans";
}

/// Name of the global that holds the offsets of [`PATHS`].
pub const PLACES: &str = "PLACES";
/// Name of the global that holds [`Calls`].
pub const CALLS: &str = "CALLS";
/// Name of the global `u64`: the time from which a request is kept by itself, ns; the largest number to keep none.
pub const SLOWER: &str = "SLOWER";
/// Name of the global `u32`: how requests are grouped, one bit of [`by`] each.
pub const BY: &str = "BY";
/// Name of the global `u32`: the position of `task_struct.in_iowait`, bits.
pub const DISK_BIT: &str = "DISK_BIT";

/// Workers that are observed at most.
pub const WORKERS: u32 = 256;
/// Threads in a block of the map `threads`: a power of two.
pub const BLOCK: usize = 4096;
/// Buckets of a histogram: a power of two, so that a mask bounds an index.
pub const BUCKETS: usize = 512;
/// Buckets of each power of two, as a power of two.
pub const DETAIL: u32 = 3;
/// Runs of a CPU that are remembered: a power of two.
pub const RUNS: usize = 8;
/// Waits for a CPU below this time are charged to nobody: they are the switch itself. ns.
pub const SHORT: u64 = 2_000;
/// Room for states: a power of two, so that a mask bounds an index.
pub const STATES: usize = 16;
/// Size of a thread's name in the kernel.
pub const NAME: usize = 16;

/// Numbers of system calls on this machine. They tell why a thread sleeps, and where the bytes are that it sends.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Calls {
    /// System calls in which a thread waits for events.
    pub events: [u64; 4],
    /// System call in which a thread waits for a lock.
    pub lock: u64,
    /// System call whose second argument is a `struct msghdr` that is sent.
    pub message: u64,
    /// System calls whose second argument is a buffer that is sent.
    pub buffers: [u64; 2],
}

/// States of a thread, of which it is in exactly one at each moment.
pub mod state {
    /// It runs.
    pub const RUNNING: usize = 0;
    /// It was woken, and waits for a CPU.
    pub const WOKEN: usize = 1;
    /// It lost its CPU, and waits for one.
    pub const PREEMPTED: usize = 2;
    /// It waits for events: `epoll_wait` and the like.
    pub const IDLE: usize = 3;
    /// It waits for a lock of its process (futex).
    pub const LOCK: usize = 4;
    /// It waits for a page of memory that comes from no disk.
    pub const FAULT: usize = 5;
    /// It is stopped, by a signal or a debugger.
    pub const STOPPED: usize = 6;
    /// It cannot be interrupted: it waits for a lock of the kernel.
    pub const BLOCKED: usize = 7;
    /// It sleeps in another system call.
    pub const ASLEEP: usize = 8;
    /// It waits for a disk, in a system call or for a page.
    pub const DISK: usize = 9;
    /// Number of states.
    pub const COUNT: usize = 10;
    /// It has ended. No clock counts that.
    pub const ENDED: usize = COUNT;
}

/// Parts of a request's time.
pub mod part {
    /// From the bytes in the socket until the sleeping worker is woken.
    pub const WAKE_UP: usize = 0;
    /// A connection's first request: from the bytes in the socket until a worker has read them.
    pub const ACCEPT: usize = 1;
    /// The woken worker waits for a CPU.
    pub const WOKEN: usize = 2;
    /// The worker lost its CPU, and waits for one.
    pub const PREEMPTED: usize = 3;
    /// The worker runs, for requests ahead of this one.
    pub const AHEAD: usize = 4;
    /// The worker runs, until it has read the request.
    pub const READ: usize = 5;
    /// The worker runs, between the read and the packet of the answer.
    pub const MEMCACHED: usize = 6;
    /// The worker runs, and sends the answer.
    pub const SEND: usize = 7;
    /// The worker had read the request, and waits for events: for a disk (extstore), or for room in the socket.
    pub const PARKED: usize = 8;
    /// The worker waits for a lock of memcached.
    pub const LOCK: usize = 9;
    /// The worker waits for a page of memory that comes from no disk.
    pub const FAULT: usize = 10;
    /// The worker waits for a disk.
    pub const DISK: usize = 11;
    /// The worker is stopped.
    pub const STOPPED: usize = 12;
    /// The worker waits in the kernel.
    pub const BLOCKED: usize = 13;
    /// The worker sleeps in another system call.
    pub const ASLEEP: usize = 14;
    /// Nothing is known of this part.
    pub const UNEXPLAINED: usize = 15;
    /// All of the request's time.
    pub const WHOLE: usize = 16;
    /// Number of parts, with the whole.
    pub const COUNT: usize = 17;
}

/// Groups of requests that are summed apart.
pub mod by {
    /// By class of command.
    pub const COMMAND: u32 = 1;
    /// By connection.
    pub const CONNECTION: u32 = 2;
}

/// Classes of commands, as far as answers tell them.
pub mod class {
    /// The answer does not tell: `NOT_FOUND`, an error, or one that cannot be read.
    pub const OTHER: usize = 0;
    /// get, gets, gat, gats.
    pub const GET: usize = 1;
    /// set, add, replace, append, prepend, cas.
    pub const STORE: usize = 2;
    /// delete.
    pub const DELETE: usize = 3;
    /// touch.
    pub const TOUCH: usize = 4;
    /// incr, decr.
    pub const COUNT: usize = 5;
    /// mg, ms, md, ma, mn, me.
    pub const META: usize = 6;
    /// stats.
    pub const STATS: usize = 7;
    /// version.
    pub const VERSION: usize = 8;
    /// Room for classes: a power of two, so that a mask bounds an index.
    pub const STRIDE: usize = 16;
}

/// Counters, by CPU: requests that are not in the account, and reads without one.
pub mod counter {
    /// Requests whose read or send was not seen: bytes moved without a run of the programs.
    pub const BROKEN: usize = 0;
    /// Requests whose arrival was not seen: before the start, mostly.
    pub const UNSEEN: usize = 1;
    /// Requests of workers beyond the most that are observed.
    pub const UNLISTED: usize = 2;
    /// Requests that one thread read and another answered.
    pub const MOVED: usize = 3;
    /// Reads that no send followed: quiet commands, and all but the last read of a long request.
    pub const UNANSWERED: usize = 4;
    /// Sends that went on with an answer, after the worker had waited for room in the socket.
    pub const CONTINUED: usize = 5;
    /// Sockets for which no state could be allocated, each time.
    pub const NO_STATE: usize = 6;
    /// Time that a worker waited for a CPU, without a known task on it, ns.
    pub const UNKNOWN: usize = 7;
    /// Time of waits for a CPU that are shorter than [`super::SHORT`], ns.
    pub const BRIEF: usize = 8;
    /// Requests that took as long as [`super::SLOWER`] says.
    pub const SLOW: usize = 9;
    /// Slow requests for which the ring had no room.
    pub const SLOW_LOST: usize = 10;
    /// Switches to workers of which the kernel did not tell.
    pub const UNTOLD: usize = 11;
    /// Segments that a followed server sent again.
    pub const RETRANSMITTED: usize = 12;
    /// Connections that a followed server reset.
    pub const RESET_SENT: usize = 13;
    /// Connections that a followed server's client reset.
    pub const RESET_RECEIVED: usize = 14;
    /// Room for the counters: a power of two, so that a mask bounds an index.
    pub const STRIDE: usize = 16;
}

/// A thread that reads requests.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Worker {
    /// Odd while the times change.
    pub changes: u64,
    /// The state, one of [`state`].
    pub state: u64,
    /// Begin of the state, CLOCK_MONOTONIC, ns.
    pub since: u64,
    /// Time in each state since the thread was first seen, but for the current one, ns.
    pub times: [u64; STATES],
    /// Running time at the end of the last read or send, ns.
    pub done: u64,
    /// 1 more than the number of the CPU for which it waits; 0 if it does not.
    pub waits_for: u64,
    /// Number in the initial pid namespace.
    pub thread: u32,
    /// Number of the process there.
    pub process: u32,
    /// Number in the observer's pid namespace; 0 if it lives in another one.
    pub own_thread: u32,
    /// Number of the process there.
    pub own_process: u32,
    /// Name.
    pub name: [u8; NAME],
    /// Times at which it was woken from waiting for events.
    pub wake_ups: u64,
    /// Reads of requests.
    pub reads: u64,
    /// The requests that it answered.
    pub account: Account,
}

/// The time of requests. Also a value of the map `commands`, by CPU and [`class`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Account {
    /// Requests.
    pub requests: u64,
    /// Sums of their parts, ns.
    pub sums: [u64; part::COUNT],
    /// By part: numbers of requests, by time. Those without any of a part's time are left out.
    pub histograms: [[u32; BUCKETS]; part::COUNT],
}

/// A connection: a key of the map `connections`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Connection {
    /// The client's address, network byte order; of IPv4 the first four bytes.
    pub remote: [u8; 16],
    /// Address family.
    pub family: u16,
    /// The client's port.
    pub remote_port: u16,
    /// The server's port.
    pub local_port: u16,
    /// Zero.
    pub padding: u16,
}

/// A value of the map `connections`: the requests of one, but for the histograms of their parts.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Connected {
    /// Requests.
    pub requests: u64,
    /// Sums of their parts, ns.
    pub sums: [u64; part::COUNT],
    /// Bytes that were read for them.
    pub read: u64,
    /// Bytes of their answers' first sends.
    pub sent: u64,
    /// Index of the worker that answered last.
    pub worker: u32,
    /// Smoothed round-trip time at the last answer, as TCP measures it, 1/8 µs.
    pub round_trip: u32,
    /// Segments sent again since the connection began.
    pub retransmits: u32,
    /// Zero.
    pub padding: u32,
    /// Numbers of requests, by the whole time.
    pub histogram: [u32; BUCKETS],
}

/// A request that took long: a record of the ring `slow`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Slow {
    /// Time of the answer, CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// Time in each part, with the whole, ns.
    pub parts: [u64; part::COUNT],
    /// The connection.
    pub connection: Connection,
    /// Index of the worker in the map `workers`.
    pub worker: u32,
    /// Bytes that were read since the answer before.
    pub read: u32,
    /// Bytes of the answer's first send.
    pub sent: u32,
    /// How the answer begins: see [`answer`].
    pub answer: u32,
}

/// How an answer begins: 1 more than an index in [`answer::WORDS`], or [`answer::BINARY`] and an opcode. 0 if it begins
/// otherwise, or cannot be read.
pub mod answer {
    use super::class;

    /// An answer of the binary protocol, whose opcode is added.
    pub const BINARY: u32 = 0x100;
    /// First byte of such an answer.
    pub const MAGIC: u8 = 0x81;
    /// Index in [`WORDS`] of the answer to `incr` and `decr`, which begins with any digit.
    pub const DIGIT: u32 = 0;
    /// Classes of commands, by the same index.
    pub const CLASSES: [usize; WORDS.len()] = [
        class::COUNT,
        class::GET,
        class::GET,
        class::STORE,
        class::STORE,
        class::STORE,
        class::OTHER,
        class::DELETE,
        class::TOUCH,
        class::OTHER,
        class::META,
        class::META,
        class::META,
        class::META,
        class::META,
        class::META,
        class::META,
        class::META,
        class::STATS,
        class::VERSION,
        class::OTHER,
        class::OTHER,
        class::OTHER,
        class::OTHER,
    ];
    /// Opcodes of the binary protocol have classes below this: a power of two.
    pub const OPCODES: usize = 64;

    /// Returns the class of an opcode of the binary protocol.
    pub const fn class_of(opcode: usize) -> usize {
        match opcode {
            0x00 | 0x09 | 0x0c | 0x0d | 0x1d | 0x1e | 0x23 | 0x24 => class::GET,
            0x01..=0x03 | 0x0e | 0x0f | 0x11..=0x13 | 0x19 | 0x1a => class::STORE,
            0x04 | 0x14 => class::DELETE,
            0x05 | 0x06 | 0x15 | 0x16 => class::COUNT,
            0x1c => class::TOUCH,
            0x10 => class::STATS,
            0x0b => class::VERSION,
            _ => class::OTHER,
        }
    }
    /// Begins of the answers of memcached's text protocol, of at most eight bytes. They hold nothing of a key.
    pub const WORDS: [&[u8]; 24] = [
        b"0",
        b"VALUE ",
        b"END\r",
        b"STORED",
        b"NOT_S",
        b"EXISTS",
        b"NOT_F",
        b"DELETED",
        b"TOUCHED",
        b"OK\r",
        b"HD",
        b"VA ",
        b"EN\r",
        b"NF",
        b"NS",
        b"EX",
        b"ME ",
        b"MN",
        b"STAT ",
        b"VERSION",
        b"RESET",
        b"ERROR",
        b"CLIENT_E",
        b"SERVER_E",
    ];
}

/// A value of the map `culprits`, whose keys are numbers of processes: tasks that had a CPU for which a worker waited. The
/// process 0 is an idle CPU.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Culprit {
    /// Time that workers waited, ns.
    pub time: u64,
    /// Waits.
    pub waits: u64,
    /// Id of the control group; 0 if it was not known.
    pub cgroup: u64,
    /// Name of the thread that was first seen; empty if it was not known.
    pub name: [u8; NAME],
}

const _: () = assert!(size_of::<Calls>() == 64);
const _: () = assert!(size_of::<Account>() == 8 * (1 + part::COUNT) + 4 * BUCKETS * part::COUNT);
const _: () =
    assert!(size_of::<Worker>() == 8 * (3 + STATES + 2) + 16 + NAME + 16 + size_of::<Account>());
const _: () = assert!(size_of::<Culprit>() == 40);
const _: () = assert!(size_of::<Connection>() == 24);
const _: () = assert!(size_of::<Connected>() == 8 * (3 + part::COUNT) + 16 + 4 * BUCKETS);
const _: () = assert!(size_of::<Slow>() == 8 * (1 + part::COUNT) + 24 + 16);
const _: () = assert!(state::ENDED < STATES && BUCKETS == 64 << DETAIL);
const _: () = assert!(class::VERSION < class::STRIDE);
