//! What crosses between the kernel programs and user space: ring records, counters, and load-time globals.
//!
//! Everything here is fixed-width and explicitly padded; both sides assert the layout below.
#![no_std]

mod hooks;
mod packet;
mod record;

pub use hooks::{exit, member, program};
pub use packet::{HEADERS, Packet, way};
pub use record::{Close, Datagram, Header, Part, Socket, kind};

/// Most payload bytes one ring record carries.
pub const RECORD_PAYLOAD: usize = 16 * 1024;
/// Most records one call becomes; bytes beyond are one hole, counted [`counter::RECORD_LIMIT`].
pub const RECORDS_PER_CALL: u32 = 17;
/// A read with at most this capacity is kept whole. A larger one goes straight into an item, unless it goes into
/// memcached's read buffer (16 KiB, doubled as long as a multi-get does not fit), which reads of a power of two show.
pub const WHOLE_CAPACITY: u64 = 64 * 1024;
/// Of a larger read (straight into an item) the first bytes that are kept,
pub const HEAD: usize = 512;
/// and the last.
pub const TAIL: usize = 64;
/// Most bytes kept of one part of a response: a `VALUE` line with a 250-byte key fits.
pub const RESPONSE_PART: usize = 320;
/// Of a part of a response longer than that, the last bytes kept: enough for the `END` line of a list.
pub const RESPONSE_TAIL: usize = 64;
/// After so long without a sign of user space the programs only count, ns.
pub const SILENCE_NS: u64 = 2_000_000_000;
/// Most listening ports one capture follows.
pub const PORTS: usize = 16;

/// Most paths of UNIX-domain sockets one capture follows,
pub const SOCKET_PATHS: usize = 8;
/// and the room for each, in 32-bit words: all of `sun_path`.
pub const PATH_WORDS: usize = 27;
/// Most processes, control groups and network namespaces that one capture can be narrowed to, of each.
pub const FILTERS: usize = 16;

/// Values of the global `RESPONSES`: what is kept of what memcached sends.
pub mod responses {
    /// Only counters.
    pub const NONE: u32 = 0;
    /// The length and time of each send.
    pub const LENGTHS: u32 = 1;
    /// Also the bytes that outcomes need.
    pub const BYTES: u32 = 2;
}

/// Values of the global `SIDE`: which end of a connection is followed.
pub mod side {
    /// The server's, by its local port.
    pub const SERVER: u32 = 0;
    /// The client's, by its remote port.
    pub const CLIENT: u32 = 1;
}

/// Names of the load-time globals.
pub mod global {
    /// `[u16; PORTS]`: the ports whose sockets are followed, ended by 0.
    pub const PORTS: &str = "PORTS";
    /// `[u32; FILTERS]`: the processes whose calls are followed, ended by 0; every process if there is none.
    pub const PIDS: &str = "PIDS";
    /// `[u64; 2]`: device and inode of the pid namespace in which [`PIDS`] are counted; the initial one if 0.
    pub const PID_NAMESPACE: &str = "PID_NAMESPACE";
    /// `[u64; FILTERS]`: the control groups (v2) whose tasks are followed, by id, ended by 0; all if there is none.
    pub const CGROUPS: &str = "CGROUPS";
    /// `[u32; FILTERS]`: the network namespaces whose sockets are followed, by inode, ended by 0; all if there is none.
    pub const NAMESPACES: &str = "NAMESPACES";
    /// `[[u32; PATH_WORDS]; SOCKET_PATHS]`: the paths whose UNIX-domain sockets are followed, padded with zeros.
    pub const PATHS: &str = "PATHS";
    /// `[u32; SOCKET_PATHS]`: lengths of the addresses with these paths (family, path, and unless abstract a zero), ended
    /// by 0.
    pub const PATH_LENGTHS: &str = "PATH_LENGTHS";
    /// `u32`: one of [`super::side`].
    pub const SIDE: &str = "SIDE";
    /// `u32`: one of [`super::responses`].
    pub const RESPONSES: &str = "RESPONSES";
    /// `u32`: one connection in so many is followed; 0 and 1 are all.
    pub const SAMPLE: &str = "SAMPLE";
    /// `[u32; field::COUNT]`: offsets of [`super::field::PATHS`] in this kernel's structures.
    pub const FIELDS: &str = "FIELDS";
    /// `[u32; syscall::COUNT]`: this machine's numbers of the calls in [`super::syscall`].
    pub const SYSCALLS: &str = "SYSCALLS";
    /// `u32`: a jiffy's length, ns.
    pub const JIFFY: &str = "JIFFY";
    /// `[u32; member::COUNT]`: offsets of [`super::member::PATHS`] in this kernel's structures.
    pub const MEMBERS: &str = "MEMBERS";
    /// `[u8; 2 * exit::NUMBERS]`: what a system call does, by its number: sets of the bits in [`super::exit`]. First
    /// the numbers of 64-bit tasks, then those of 32-bit ones.
    pub const CALLS: &str = "CALLS";
    /// `u32`: length of the header before the network header, of the interface whose packets are followed: 14, or 0.
    pub const LINK: &str = "LINK";
}

/// System calls that the programs know: indices into the global `SYSCALLS`.
pub mod syscall {
    /// `read`.
    pub const READ: usize = 0;
    /// `readv`.
    pub const READV: usize = 1;
    /// `recvfrom`.
    pub const RECVFROM: usize = 2;
    /// `recvmsg`.
    pub const RECVMSG: usize = 3;
    /// `write`.
    pub const WRITE: usize = 4;
    /// `writev`.
    pub const WRITEV: usize = 5;
    /// `sendto`.
    pub const SENDTO: usize = 6;
    /// `sendmsg`.
    pub const SENDMSG: usize = 7;
    /// `io_uring_enter`.
    pub const IO_URING_ENTER: usize = 8;
    /// `recvmmsg`.
    pub const RECVMMSG: usize = 9;
    /// `sendmmsg`.
    pub const SENDMMSG: usize = 10;
    /// How many there are.
    pub const COUNT: usize = 11;
}

/// Kernel structure members that the programs read: indices into the global `FIELDS`.
pub mod field {
    /// Local port, host byte order.
    pub const SOCK_LOCAL_PORT: usize = 0;
    /// Remote port, network byte order.
    pub const SOCK_REMOTE_PORT: usize = 1;
    /// Address family.
    pub const SOCK_FAMILY: usize = 2;
    /// Pointer to the network namespace.
    pub const SOCK_NAMESPACE: usize = 3;
    /// Local IPv4 address.
    pub const SOCK_LOCAL: usize = 4;
    /// Remote IPv4 address.
    pub const SOCK_REMOTE: usize = 5;
    /// Local IPv6 address.
    pub const SOCK_LOCAL6: usize = 6;
    /// Remote IPv6 address.
    pub const SOCK_REMOTE6: usize = 7;
    /// IPPROTO_*.
    pub const SOCK_PROTOCOL: usize = 8;
    /// RCV_SHUTDOWN, SEND_SHUTDOWN.
    pub const SOCK_SHUTDOWN: usize = 9;
    /// A network namespace's inode number.
    pub const NAMESPACE_INODE: usize = 10;
    /// Sequence number after the last byte the application has read.
    pub const TCP_COPIED: usize = 11;
    /// Sequence number after the last byte received in order.
    pub const TCP_RECEIVED: usize = 12;
    /// Bytes received in order.
    pub const TCP_BYTES_RECEIVED: usize = 13;
    /// Sequence number after the last byte the application has written.
    pub const TCP_WRITTEN: usize = 14;
    /// Sequence number of the first unacknowledged byte.
    pub const TCP_UNACKNOWLEDGED: usize = 15;
    /// Bytes acknowledged.
    pub const TCP_BYTES_ACKNOWLEDGED: usize = 16;
    /// PF_* flags.
    pub const TASK_FLAGS: usize = 17;
    /// TS_* flags.
    pub const TASK_STATUS: usize = 18;
    /// The system call's number.
    pub const REGISTER_CALL: usize = 19;
    /// Its result; -ENOSYS until it returns.
    pub const REGISTER_RESULT: usize = 20;
    /// Its second argument.
    pub const REGISTER_SECOND: usize = 21;
    /// Its third argument.
    pub const REGISTER_THIRD: usize = 22;
    /// When a TCP socket last dealt with a packet, ns.
    pub const TCP_CLOCK: usize = 23;
    /// When data last arrived, jiffies, 32 bits of them.
    pub const TCP_LAST_DATA: usize = 24;
    /// SOCK_STREAM and the like.
    pub const SOCK_TYPE: usize = 25;
    /// Pointer to the socket's half that the file system knows.
    pub const SOCK_SOCKET: usize = 26;
    /// Pointer to that half's file.
    pub const SOCKET_FILE: usize = 27;
    /// Pointer to a file's inode.
    pub const FILE_INODE: usize = 28;
    /// An inode's number.
    pub const INODE_NUMBER: usize = 29;
    /// The system call's fifth argument.
    pub const REGISTER_FIFTH: usize = 30;
    /// Pointer to a UNIX-domain socket's address.
    pub const UNIX_ADDRESS: usize = 31;
    /// Pointer to its peer.
    pub const UNIX_PEER: usize = 32;
    /// An address's length.
    pub const ADDRESS_LENGTH: usize = 33;
    /// The address itself, a `struct sockaddr_un`.
    pub const ADDRESS_NAME: usize = 34;
    /// How many there are.
    pub const COUNT: usize = 35;
    /// From here on they are those of UNIX-domain sockets, which a kernel can lack.
    pub const FIRST_UNIX: usize = UNIX_ADDRESS;

    /// Structure and member of each, as BTF names them.
    pub const PATHS: [(&str, &str); COUNT] = [
        ("sock_common", "skc_num"),
        ("sock_common", "skc_dport"),
        ("sock_common", "skc_family"),
        ("sock_common", "skc_net.net"),
        ("sock_common", "skc_rcv_saddr"),
        ("sock_common", "skc_daddr"),
        ("sock_common", "skc_v6_rcv_saddr"),
        ("sock_common", "skc_v6_daddr"),
        ("sock", "sk_protocol"),
        ("sock", "sk_shutdown"),
        ("net", "ns.inum"),
        ("tcp_sock", "copied_seq"),
        ("tcp_sock", "rcv_nxt"),
        ("tcp_sock", "bytes_received"),
        ("tcp_sock", "write_seq"),
        ("tcp_sock", "snd_una"),
        ("tcp_sock", "bytes_acked"),
        ("task_struct", "flags"),
        ("task_struct", "thread_info.status"),
        ("pt_regs", "orig_ax"),
        ("pt_regs", "ax"),
        ("pt_regs", "si"),
        ("pt_regs", "dx"),
        ("tcp_sock", "tcp_clock_cache"),
        ("inet_connection_sock", "icsk_ack.lrcvtime"),
        ("sock", "sk_type"),
        ("sock", "sk_socket"),
        ("socket", "file"),
        ("file", "f_inode"),
        ("inode", "i_ino"),
        ("pt_regs", "r8"),
        ("unix_sock", "addr"),
        ("unix_sock", "peer"),
        ("unix_address", "len"),
        ("unix_address", "name"),
    ];
}

/// Indices of the counters, one u64 each, striped by CPU and program.
pub mod counter {
    /// Positive receives on matching sockets.
    pub const REQUEST_CALLS: u32 = 0;
    /// Their bytes: what memcached adds to `bytes_read`.
    pub const REQUEST_BYTES: u32 = 1;
    /// Positive sends on matching sockets.
    pub const RESPONSE_CALLS: u32 = 2;
    /// Their bytes: what memcached adds to `bytes_written`.
    pub const RESPONSE_BYTES: u32 = 3;
    /// Records that reached the ring.
    pub const RECORDS: u32 = 4;
    /// Records that did not: the ring was full.
    pub const RECORDS_RING_FULL: u32 = 5;
    /// Bytes lost to a full ring, requests and responses; from here to [`UNATTENDED`] each is a loss term in bytes.
    pub const RING_FULL: u32 = 6;
    /// Bytes the TCP sequence shows were read without a call we saw.
    pub const MISSED: u32 = 7;
    /// Bytes of calls longer than [`super::RECORDS_PER_CALL`] records.
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
    /// Bytes on sockets with a matching port number or path that are neither IPv4 nor IPv6 nor a UNIX-domain stream.
    pub const OTHER_FAMILY: u32 = 16;
    /// Bytes not looked at because user space had been silent for [`super::SILENCE_NS`].
    pub const UNATTENDED: u32 = 17;
    /// Sockets at whose address another one was before, of which no end was seen: a program did not run.
    pub const REPLACED: u32 = 18;
    /// Packets of the ports that passed an interface.
    pub const PACKETS: u32 = 19;
    /// Of those, packets that did not reach the ring whole: it was full, or user space silent.
    pub const PACKETS_DROPPED: u32 = 20;
    /// Packets whose headers are too many or contradict themselves.
    pub const PACKETS_UNREADABLE: u32 = 21;
    /// How many there are.
    pub const COUNT: usize = 22;
    /// Room for them: a power of two, so that an index is bounded by a mask.
    pub const STRIDE: usize = 32;
}

const _: () = assert!(counter::COUNT <= counter::STRIDE && counter::STRIDE == 32);
