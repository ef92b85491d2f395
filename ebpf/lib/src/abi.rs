//! Constants of the Linux ABI, as the kernel's headers define them.

/// Address family of UNIX-domain sockets.
pub const AF_UNIX: u16 = 1;
/// Address family of IPv4.
pub const AF_INET: u16 = 2;
/// Address family of IPv6.
pub const AF_INET6: u16 = 10;

/// TCP, in `sk_protocol` and in IP headers.
pub const IPPROTO_TCP: u16 = 6;
/// UDP, in `sk_protocol` and in IP headers.
pub const IPPROTO_UDP: u16 = 17;
/// Multipath TCP, in `sk_protocol`.
pub const IPPROTO_MPTCP: u16 = 262;

/// Socket type of byte streams.
pub const SOCK_STREAM: u16 = 1;
/// Bit of `sk_shutdown`: nothing more will be received.
pub const RCV_SHUTDOWN: u8 = 1;
/// State of a TCP socket that is closed.
pub const TCP_CLOSE: i32 = 7;
/// States of a TCP socket that has sent a FIN, a bit each: FIN_WAIT1, FIN_WAIT2, LAST_ACK, CLOSING.
pub const HAS_SENT_FIN: u32 = 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11;
/// States of a TCP socket that has got a FIN, a bit each: CLOSE_WAIT, LAST_ACK, CLOSING.
pub const HAS_GOT_FIN: u32 = 1 << 8 | 1 << 9 | 1 << 11;

/// Receives out-of-band data.
pub const MSG_OOB: i32 = 1;
/// Leaves the received bytes in the socket.
pub const MSG_PEEK: i32 = 2;
/// On a TCP receive: discards the bytes instead of copying them.
pub const MSG_TRUNC: i32 = 0x20;
/// Receives from the socket's error queue.
pub const MSG_ERRQUEUE: i32 = 0x2000;

/// Task flag: an io_uring worker.
pub const PF_IO_WORKER: u32 = 0x10;
/// Task flag: a kernel thread.
pub const PF_KTHREAD: u32 = 0x0020_0000;
/// Thread status: a 32-bit system call is running.
pub const TS_COMPAT: u32 = 2;
/// Code segment of 32-bit tasks on x86-64.
pub const USER32_CS: u16 = 0x23;
/// A system call's result until the call returns, negated.
pub const ENOSYS: i64 = 38;

/// Size of a `struct iovec`.
pub const IOVEC: u64 = 16;
/// Most iovecs, or messages, of one call: `IOV_MAX`, `UIO_MAXIOV`.
pub const IOVECS: usize = 1024;
/// Offset of `msg_iov` in a `struct msghdr`; `msg_iovlen` follows it.
pub const MSGHDR_IOV: u64 = 16;
/// Size of a `struct msghdr`.
pub const MSGHDR: u64 = 56;
/// Size of a `struct mmsghdr`, which begins with a `struct msghdr`.
pub const MMSGHDR: u64 = 64;
/// Offset of `msg_len`, the bytes moved, in a `struct mmsghdr`.
pub const MMSGHDR_LEN: u64 = MSGHDR;

/// Size of a `struct sockaddr_in`.
pub const SOCKADDR_IN: u64 = 16;
/// Size of a `struct sockaddr_in6`.
pub const SOCKADDR_IN6: u64 = 28;
/// Size of the address family that begins every socket address.
pub const SA_FAMILY: u32 = 2;
