//! Kernel programs by name, and system calls by what they do.

/// Programs: their indices in the map of counters, and the names under which they are loaded and attached.
///
/// The map `counters` has [`COUNT`](program::COUNT) entries a CPU. Each entry has one writer: a program never runs
/// inside itself, so plain additions suffice.
pub mod program {
    /// `sock_recv_length`, or `sys_exit`.
    pub const RECEIVE: u32 = 0;
    /// `sock_send_length`.
    pub const SEND: u32 = 1;
    /// `inet_sock_set_state`.
    pub const CLOSE: u32 = 2;
    /// `tcp_rcv_space_adjust`.
    pub const ARRIVAL: u32 = 3;
    /// `membench_in`: packets that come in through an interface.
    pub const PACKET_IN: u32 = 4;
    /// `membench_out`: packets that go out through an interface.
    pub const PACKET_OUT: u32 = 5;
    /// `standby_receive`.
    pub const RECEIVE_STANDBY: u32 = 6;
    /// `standby_send`.
    pub const SEND_STANDBY: u32 = 7;
    /// Number of programs that count.
    pub const COUNT: u32 = 8;

    /// An attached program: its name and its tracepoint's.
    pub type Hooked = (&'static str, &'static str);
    /// The `sockets` hooks, in the order in which they are attached. Sends come before receives: a send without its
    /// receive is known to be an edge, a receive without its sends is not.
    pub const SOCKETS: [Hooked; 4] = [
        ("tcp_rcv_space_adjust", "tcp_rcv_space_adjust"),
        ("inet_sock_set_state", "inet_sock_set_state"),
        ("sock_send_length", "sock_send_length"),
        ("sock_recv_length", "sock_recv_length"),
    ];
    /// Second copies of programs of the `sockets` hooks. Each is attached behind the first copy, and deals with the calls
    /// for which the kernel has skipped that.
    pub const STANDBY: [Hooked; 2] = [
        ("standby_send", "sock_send_length"),
        ("standby_receive", "sock_recv_length"),
    ];
    /// The `syscalls` hooks, in the order in which they are attached.
    pub const SYSCALLS: [Hooked; 3] = [
        ("walked_arrival", "tcp_rcv_space_adjust"),
        ("walked_closed", "inet_sock_set_state"),
        ("sys_exit", "sys_exit"),
    ];

    /// Defines programs that `sys_exit` continues in: doc, index (the position) and name in one row.
    macro_rules! continuations {
        ($($(#[$doc:meta])+ $constant:ident = $name:literal;)+) => {
            /// Programs that `sys_exit` continues in, by their index in the map `continuations`.
            pub const CONTINUATIONS: [Hooked; [$($name),+].len()] = [$(($name, "sys_exit")),+];

            /// Indices into the map `continuations`.
            pub mod continuation {
                continuations!(@index 0, $($(#[$doc])+ $constant)+);
            }
        };
        (@index $index:expr, $(#[$doc:meta])+ $constant:ident $($rest:tt)*) => {
            $(#[$doc])+
            pub const $constant: u32 = $index;
            continuations!(@index $constant + 1, $($rest)*);
        };
        (@index $index:expr,) => {};
    }

    continuations! {
        /// A receive into many iovecs.
        MORE_RECEIVED = "more_received";
        /// A send of many iovecs.
        MORE_SENT = "more_sent";
        /// A call with datagrams or several messages.
        MESSAGES = "messages";
        /// Messages that were received.
        MESSAGES_RECEIVED = "messages_received";
        /// Messages that were sent.
        MESSAGES_SENT = "messages_sent";
    }
}

/// Effects of a system call on the socket whose descriptor it is passed: bits of the global `CALLS`. 0 for calls that
/// move no bytes of a socket.
pub mod exit {
    /// Receives.
    pub const RECEIVE: u8 = 1;
    /// Sends.
    pub const SEND: u8 = 2;
    /// Takes the address and capacity of a buffer as its second and third arguments.
    pub const BUFFER: u8 = 4;
    /// Takes an array of iovecs and its length as its second and third arguments.
    pub const VECTORS: u8 = 8;
    /// Takes the address of a `struct msghdr` as its second argument. Without a bit from [`BUFFER`] to here or
    /// [`MESSAGES`], a call's bytes are not located.
    pub const MESSAGE: u8 = 16;
    /// Takes `MSG_*` flags as its third argument.
    pub const FLAGS_THIRD: u8 = 32;
    /// Takes `MSG_*` flags as its fourth argument.
    pub const FLAGS_FOURTH: u8 = 64;
    /// Takes an array of `struct mmsghdr` as its second argument, and returns how many of them were moved.
    pub const MESSAGES: u8 = 128;
    /// System calls have numbers below this.
    pub const NUMBERS: usize = 512;
}

/// System calls whose buffers socket hooks can locate, and `io_uring_enter`: indices into the global `SYSCALLS`.
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
    /// Number of calls.
    pub const COUNT: usize = 11;
}
