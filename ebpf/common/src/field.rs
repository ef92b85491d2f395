//! Kernel structure members that every set of hooks reads: indices into the global `FIELDS`.

members! {
    /// Local port, host byte order.
    SOCK_LOCAL_PORT = "sock_common", "skc_num";
    /// Remote port, network byte order.
    SOCK_REMOTE_PORT = "sock_common", "skc_dport";
    /// Address family.
    SOCK_FAMILY = "sock_common", "skc_family";
    /// Pointer to the network namespace.
    SOCK_NAMESPACE = "sock_common", "skc_net.net";
    /// Local IPv4 address.
    SOCK_LOCAL = "sock_common", "skc_rcv_saddr";
    /// Remote IPv4 address.
    SOCK_REMOTE = "sock_common", "skc_daddr";
    /// Local IPv6 address.
    SOCK_LOCAL6 = "sock_common", "skc_v6_rcv_saddr";
    /// Remote IPv6 address.
    SOCK_REMOTE6 = "sock_common", "skc_v6_daddr";
    /// `IPPROTO_*`.
    SOCK_PROTOCOL = "sock", "sk_protocol";
    /// `RCV_SHUTDOWN`, `SEND_SHUTDOWN`.
    SOCK_SHUTDOWN = "sock", "sk_shutdown";
    /// Inode number of a network namespace.
    NAMESPACE_INODE = "net", "ns.inum";
    /// Sequence number after the last byte the application has read.
    TCP_COPIED = "tcp_sock", "copied_seq";
    /// Sequence number after the last byte received in order.
    TCP_RECEIVED = "tcp_sock", "rcv_nxt";
    /// Bytes received in order.
    TCP_BYTES_RECEIVED = "tcp_sock", "bytes_received";
    /// Sequence number after the last byte the application has written.
    TCP_WRITTEN = "tcp_sock", "write_seq";
    /// Sequence number of the first unacknowledged byte.
    TCP_UNACKNOWLEDGED = "tcp_sock", "snd_una";
    /// Bytes acknowledged.
    TCP_BYTES_ACKNOWLEDGED = "tcp_sock", "bytes_acked";
    /// `PF_*` flags.
    TASK_FLAGS = "task_struct", "flags";
    /// `TS_*` flags.
    TASK_STATUS = "task_struct", "thread_info.status";
    /// Number of the system call.
    REGISTER_CALL = "pt_regs", "orig_ax";
    /// Result of the system call; -ENOSYS until it returns.
    REGISTER_RESULT = "pt_regs", "ax";
    /// Second argument of the system call.
    REGISTER_SECOND = "pt_regs", "si";
    /// Third argument of the system call.
    REGISTER_THIRD = "pt_regs", "dx";
    /// Time at which a TCP socket last dealt with a packet, ns.
    TCP_CLOCK = "tcp_sock", "tcp_clock_cache";
    /// Time at which data last arrived, the lower 32 bits of jiffies.
    TCP_LAST_DATA = "inet_connection_sock", "icsk_ack.lrcvtime";
    /// `SOCK_STREAM` and the like.
    SOCK_TYPE = "sock", "sk_type";
    /// Pointer to the `struct socket`.
    SOCK_SOCKET = "sock", "sk_socket";
    /// Pointer from a `struct socket` to its file.
    SOCKET_FILE = "socket", "file";
    /// Pointer from a file to its inode.
    FILE_INODE = "file", "f_inode";
    /// Number of an inode.
    INODE_NUMBER = "inode", "i_ino";
    /// Fifth argument of the system call.
    REGISTER_FIFTH = "pt_regs", "r8";
    /// Most connections that wait to be accepted. An accepted socket has its listener's number, one that connected 0.
    SOCK_BACKLOG = "sock", "sk_max_ack_backlog";
    /// `SOCK_BINDPORT_LOCK` and the like; on some kernels a bit field. See the global [`crate::global::PORT_LOCK`].
    SOCK_LOCKS = "sock", "sk_userlocks";
    /// Pointer to what all sockets with a local port share.
    SOCK_BUCKET = "inet_connection_sock", "icsk_bind_hash";
    /// Negative if no socket of the port was bound to it, as far as `SO_REUSEADDR` is concerned.
    BUCKET_REUSE = "inet_bind_bucket", "fastreuse";
    /// Negative if no socket of the port was bound to it, as far as `SO_REUSEPORT` is concerned.
    BUCKET_REUSE_PORT = "inet_bind_bucket", "fastreuseport";
    /// Pointer to a UNIX-domain socket's address.
    UNIX_ADDRESS = "unix_sock", "addr";
    /// Pointer to a UNIX-domain socket's peer.
    UNIX_PEER = "unix_sock", "peer";
    /// Length of a UNIX-domain socket's address.
    ADDRESS_LENGTH = "unix_address", "len";
    /// A UNIX-domain socket's address, a `struct sockaddr_un`.
    ADDRESS_NAME = "unix_address", "name";
}

/// First of the members of UNIX-domain sockets, which a kernel can lack.
pub const FIRST_UNIX: usize = UNIX_ADDRESS;
