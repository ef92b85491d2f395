//! Load-time globals: their names, and the values of those that are choices.

/// `[u16; PORTS]`: the followed ports, ended by 0.
pub const PORTS: &str = "PORTS";
/// `[u32; FILTERS]`: the followed processes, ended by 0; empty to follow all.
pub const PIDS: &str = "PIDS";
/// `[u64; 2]`: device and inode of the pid namespace in which [`PIDS`] are counted; 0 for the initial one.
pub const PID_NAMESPACE: &str = "PID_NAMESPACE";
/// `[u64; FILTERS]`: ids of the control groups (v2) whose tasks are followed, ended by 0; empty to follow all.
pub const CGROUPS: &str = "CGROUPS";
/// `[u32; FILTERS]`: inodes of the network namespaces whose sockets are followed, ended by 0; empty to follow all.
pub const NAMESPACES: &str = "NAMESPACES";
/// `[[u32; PATH_WORDS]; SOCKET_PATHS]`: the paths of the followed UNIX-domain sockets, padded with zeros.
pub const PATHS: &str = "PATHS";
/// `[u32; SOCKET_PATHS]`: lengths of the addresses with these paths, ended by 0. An address is the family, the path
/// and, unless it is abstract, a zero.
pub const PATH_LENGTHS: &str = "PATH_LENGTHS";
/// `u32`: the end of a connection that is followed, one of [`side`].
pub const SIDE: &str = "SIDE";
/// `u32`: the detail in which responses are kept, one of [`responses`].
pub const RESPONSES: &str = "RESPONSES";
/// `u32`: N to follow one connection in N; 0 and 1 follow all.
pub const SAMPLE: &str = "SAMPLE";
/// `[u32; field::COUNT]`: offsets of [`crate::field::PATHS`] in this kernel's structures.
pub const FIELDS: &str = "FIELDS";
/// `u32`: the bit of [`crate::field::SOCK_LOCKS`] that says that a socket was bound to its port.
pub const PORT_LOCK: &str = "PORT_LOCK";
/// `[u32; syscall::COUNT]`: this machine's numbers of the calls in [`crate::syscall`].
pub const SYSCALLS: &str = "SYSCALLS";
/// `u32`: length of a jiffy, ns.
pub const JIFFY: &str = "JIFFY";
/// `[u32; member::COUNT]`: offsets of [`crate::member::PATHS`] in this kernel's structures.
pub const MEMBERS: &str = "MEMBERS";
/// `[u8; 2 * exit::NUMBERS]`: effects of system calls, by their numbers: sets of the bits in [`crate::exit`]. First the
/// numbers of 64-bit tasks, then those of 32-bit tasks.
pub const CALLS: &str = "CALLS";
/// `u32`: 1 if standby programs are attached behind those that see bytes.
pub const STANDBY: &str = "STANDBY";
/// `u32`: bytes before the network header of the interface's packets: 14, or 0.
pub const LINK: &str = "LINK";
/// `u32`: 1 if packets of every port are followed.
pub const ANY_PORT: &str = "ANY_PORT";

/// Detail in which responses are kept: values of the global [`RESPONSES`].
pub mod responses {
    /// Counters only.
    pub const NONE: u32 = 0;
    /// Length and time of each send.
    pub const LENGTHS: u32 = 1;
    /// Also the bytes that tell the outcome.
    pub const BYTES: u32 = 2;
}

/// The end of a connection that is followed: values of the global [`SIDE`].
pub mod side {
    /// The server's end, by its local port.
    pub const SERVER: u32 = 0;
    /// The client's end, by its remote port.
    pub const CLIENT: u32 = 1;
}
