//! The choice of servers or clients, in the numbers that the kernel programs compare.

use std::path::PathBuf;

/// The end of connections that is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// Sockets of servers: bytes that memcached reads and sends.
    #[default]
    Server,
    /// Sockets of clients: bytes that applications on this machine send to a port and get back.
    Client,
}

impl Side {
    /// Returns the name used on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    /// Returns the meaning of an event's `time`, as manifests name it.
    pub(crate) const fn time_basis(self) -> &'static str {
        match self {
            Self::Server => "read",
            Self::Client => "send",
        }
    }
}

/// Servers or clients to follow, in the kernel's numbers. Each list that is not empty narrows the choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// End of connections to follow.
    pub side: Side,
    /// Listening ports.
    pub ports: Vec<u16>,
    /// True if packets of any port are looked at, and content tells which are memcached's; `ports` is then empty.
    pub any_port: bool,
    /// Paths of UNIX-domain sockets, as they are bound.
    pub sockets: Vec<PathBuf>,
    /// Processes, in the pid namespace `pid_namespace`.
    pub pids: Vec<u32>,
    /// Device and inode number of the pid namespace in which `pids` are counted; zeros for the initial one.
    pub pid_namespace: [u64; 2],
    /// Ids of control groups.
    pub cgroups: Vec<u64>,
    /// Inode numbers of network namespaces.
    pub network_namespaces: Vec<u32>,
}

impl Followed {
    /// Follows every server that listens on one of these ports.
    pub fn ports(ports: &[u16]) -> Self {
        Self {
            ports: ports.to_vec(),
            ..Self::default()
        }
    }

    /// True if every process of this machine can be seen: the recorder is in the initial pid namespace.
    pub(crate) fn sees_all_processes(&self) -> bool {
        self.pid_namespace == [0; 2]
    }
}
