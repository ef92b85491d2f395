//! The hooks: their programs, and what those of tier T2 are told about system calls and the way to a socket.

/// The map `counters` has [`COUNT`](program::COUNT) entries a CPU, of which each has one writer: a program never runs
/// inside itself, so plain additions suffice.
pub mod program {
    /// `sock_recv_length`; on tier T2 `sys_exit`.
    pub const RECEIVE: u32 = 0;
    /// `sock_send_length`.
    pub const SEND: u32 = 1;
    /// `inet_sock_set_state`.
    pub const CLOSE: u32 = 2;
    /// `tcp_rcv_space_adjust`.
    pub const ARRIVAL: u32 = 3;
    /// What comes in through an interface.
    pub const PACKET_IN: u32 = 4;
    /// What goes out.
    pub const PACKET_OUT: u32 = 5;
    /// How many there are.
    pub const COUNT: u32 = 6;

    /// A program that is attached: its name and its tracepoint's.
    pub type Hooked = (&'static str, &'static str);
    /// Those of tier T1, in the order in which they are attached. Sends before receives: a send without its receive is
    /// known to be an edge, a receive without its sends is not.
    pub const T1: [Hooked; 4] = [
        ("tcp_rcv_space_adjust", "tcp_rcv_space_adjust"),
        ("inet_sock_set_state", "inet_sock_set_state"),
        ("sock_send_length", "sock_send_length"),
        ("sock_recv_length", "sock_recv_length"),
    ];
    /// Those of tier T2.
    pub const T2: [Hooked; 3] = [
        ("walked_arrival", "tcp_rcv_space_adjust"),
        ("walked_closed", "inet_sock_set_state"),
        ("sys_exit", "sys_exit"),
    ];
    /// Programs that `sys_exit` continues in, by their index in the map `continuations`.
    pub const CONTINUATIONS: [Hooked; 5] = [
        ("more_received", "sys_exit"),
        ("more_sent", "sys_exit"),
        ("messages", "sys_exit"),
        ("messages_received", "sys_exit"),
        ("messages_sent", "sys_exit"),
    ];
}

/// What a system call does to the socket whose descriptor it is passed: bits of the global `CALLS`. 0 for the others.
pub mod exit {
    /// It receives.
    pub const RECEIVE: u8 = 1;
    /// It sends.
    pub const SEND: u8 = 2;
    /// Its second and third arguments are a buffer's address and capacity,
    pub const BUFFER: u8 = 4;
    /// an array of iovecs and its length,
    pub const VECTORS: u8 = 8;
    /// or the address of a `struct msghdr`. With none of these its bytes are not located.
    pub const MESSAGE: u8 = 16;
    /// Its third argument holds `MSG_*` flags;
    pub const FLAGS_THIRD: u8 = 32;
    /// or its fourth does.
    pub const FLAGS_FOURTH: u8 = 64;
    /// Its second argument is an array of `struct mmsghdr`, and its result says how many of them were moved.
    pub const MESSAGES: u8 = 128;
    /// System calls have numbers below this.
    pub const NUMBERS: usize = 512;
}

/// Kernel structure members on the way from a system call to its socket: indices into the global `MEMBERS`.
pub mod member {
    /// Pointer to a task's open files.
    pub const TASK_FILES: usize = 0;
    /// Pointer to the table of them.
    pub const FILES_TABLE: usize = 1;
    /// Pointer to the table's array of pointers to files.
    pub const TABLE_FILES: usize = 2;
    /// Of a socket's file: pointer to the socket.
    pub const FILE_SOCKET: usize = 3;
    /// Pointer to a socket's protocol half.
    pub const SOCKET_SOCK: usize = 4;
    /// A system call's first argument.
    pub const REGISTER_FIRST: usize = 5;
    /// Its fourth argument.
    pub const REGISTER_FOURTH: usize = 6;
    /// The first argument of a 32-bit task's call; its fourth is in [`REGISTER_SECOND`](crate::field::REGISTER_SECOND).
    pub const REGISTER_FIRST_COMPAT: usize = 7;
    /// Code segment: tells 32-bit tasks.
    pub const REGISTER_SEGMENT: usize = 8;
    /// How many there are.
    pub const COUNT: usize = 9;

    /// Structure and member of each, as BTF names them.
    pub const PATHS: [(&str, &str); COUNT] = [
        ("task_struct", "files"),
        ("files_struct", "fdt"),
        ("fdtable", "fd"),
        ("file", "private_data"),
        ("socket", "sk"),
        ("pt_regs", "di"),
        ("pt_regs", "r10"),
        ("pt_regs", "bx"),
        ("pt_regs", "cs"),
    ];
}
