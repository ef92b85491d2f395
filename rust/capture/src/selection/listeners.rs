//! `/proc/PID/net/{tcp,tcp6,udp,udp6,unix}` → listening sockets, with their network namespaces and processes.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use crate::selection::followed::{Followed, Side};
use crate::selection::namespaces::{self, NetworkNamespace};
use crate::selection::unix;

/// The address or path at which a socket listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    /// An address.
    Inet(SocketAddr),
    /// A path.
    Unix(PathBuf),
}

impl Endpoint {
    /// Returns the port; 0 for a path.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Inet(address) => address.port(),
            Self::Unix(_) => 0,
        }
    }

    /// Returns the path; `None` for an address.
    pub(crate) fn path(&self) -> Option<String> {
        match self {
            Self::Inet(_) => None,
            Self::Unix(path) => Some(path.display().to_string()),
        }
    }

    /// Returns the endpoint to connect to from inside the network namespace: an unspecified address becomes loopback.
    #[must_use]
    pub(crate) fn reachable(&self) -> Self {
        let Self::Inet(address) = self else {
            return self.clone();
        };
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        Self::Inet(SocketAddr::new(ip, address.port()))
    }

    /// Returns the port or path, which is the same for all addresses on which a server listens.
    fn service(&self) -> (u16, Option<&Path>) {
        match self {
            Self::Inet(address) => (address.port(), None),
            Self::Unix(path) => (0, Some(path)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(to),
            Self::Unix(path) => path.display().fmt(to),
        }
    }
}

/// A listening socket on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Address or path at which it listens.
    pub endpoint: Endpoint,
    /// Inode number of its network namespace.
    pub network_namespace: u32,
    /// Inode number of the socket, as in `/proc/PID/fd`.
    pub inode: u64,
    /// Process that holds the socket; `None` if this user cannot see it.
    pub pid: Option<u32>,
    /// True if every other socket at which the process listens is followed, too; false if this user cannot see it.
    pub is_whole: bool,
}

impl Listener {
    /// True if both listen at the same port or path of a network namespace.
    pub(crate) fn is_at_the_place_of(&self, other: &Self) -> bool {
        self.network_namespace == other.network_namespace
            && self.endpoint.service() == other.endpoint.service()
    }

    /// True if it is in the recorder's own network namespace.
    pub(crate) fn is_near(&self) -> bool {
        self.network_namespace == namespaces::own()
    }
}

/// States of a socket in `/proc/net/tcp` whose connection is open on at least one side: `ESTABLISHED`, `FIN_WAIT1`,
/// `FIN_WAIT2`, `CLOSE_WAIT`.
const OPEN: &[&str] = &["01", "04", "05", "08"];
/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &[&str] = &["0A"];
/// State of an unconnected socket in `/proc/net/udp`.
const UNCONNECTED: &[&str] = &["07"];

/// Returns the listening sockets that are followed, in every network namespace that this user can see, IPv4 before IPv6.
/// Each socket is listed once, and one for each process, port and namespace.
pub(crate) fn find(followed: &Followed) -> Vec<Listener> {
    let inet = followed_entries(followed, LISTEN).map(|(network_namespace, entry)| Listener {
        endpoint: Endpoint::Inet(entry.local),
        network_namespace,
        inode: entry.inode,
        pid: None,
        is_whole: false,
    });
    let mut found: Vec<Listener> = inet.chain(paths(followed)).collect();
    if !found.is_empty() {
        name_owners(&mut found, &followed.pids);
    }
    let mut unique: Vec<Listener> = Vec::new();
    for listener in found {
        let same = |known: &Listener| {
            known.inode == listener.inode
                || known.pid.is_some()
                    && known.pid == listener.pid
                    && known.is_at_the_place_of(&listener)
        };
        let is_wanted = followed.pids.is_empty()
            || listener.pid.is_some_and(|pid| followed.pids.contains(&pid));
        if is_wanted && !unique.iter().any(same) {
            let is_whole = listener.pid.is_some_and(|pid| follows_all(followed, pid));
            unique.push(Listener {
                is_whole,
                ..listener
            });
        }
    }
    unique
}

/// Returns true if every socket at which a process listens is followed.
fn follows_all(followed: &Followed, pid: u32) -> bool {
    let endpoints = of_process(pid);
    let is_followed = |endpoint: &Endpoint| match endpoint {
        Endpoint::Inet(address) => followed.ports.contains(&address.port()),
        Endpoint::Unix(path) => followed.sockets.contains(path),
    };
    let is_narrowed = !followed.pids.is_empty() || !followed.cgroups.is_empty();
    !is_narrowed && !endpoints.is_empty() && endpoints.iter().all(is_followed)
}

/// Returns the listening sockets at followed paths.
fn paths(followed: &Followed) -> impl Iterator<Item = Listener> {
    let sockets = path_entries(followed).filter(|(_, entry)| entry.listens);
    sockets.map(|(network_namespace, entry)| Listener {
        endpoint: Endpoint::Unix(entry.path),
        network_namespace,
        inode: entry.inode,
        pid: None,
        is_whole: false,
    })
}

/// Returns the inode numbers of the servers' sockets of connections that are open at followed paths.
pub(crate) fn accepted(followed: &Followed) -> Vec<u64> {
    let sockets = path_entries(followed).filter(|(_, entry)| !entry.listens);
    sockets.map(|(_, entry)| entry.inode).collect()
}

fn path_entries(followed: &Followed) -> impl Iterator<Item = (u32, unix::Entry)> {
    let namespaces = if followed.sockets.is_empty() {
        Vec::new()
    } else {
        followed_namespaces(followed)
    };
    let all = namespaces.into_iter().flat_map(|one| {
        let entries = unix::entries(&one.tables).into_iter();
        entries.map(move |entry| (one.inode, entry))
    });
    all.filter(|(_, entry)| followed.sockets.contains(&entry.path))
}

/// Returns the addresses and paths at which a process listens.
pub(crate) fn of_process(pid: u32) -> Vec<Endpoint> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let (sockets, tables) = (socket_inodes(&process), process.join("net"));
    let inet = entries(&tables, LISTEN).into_iter();
    let inet = inet.map(|entry| (entry.inode, Endpoint::Inet(entry.local)));
    let unix = unix::entries(&tables).into_iter();
    let unix = unix.filter(|entry| entry.listens);
    let unix = unix.map(|entry| (entry.inode, Endpoint::Unix(entry.path)));
    inet.chain(unix)
        .filter(|(inode, _)| sockets.contains(inode))
        .map(|(_, endpoint)| endpoint)
        .collect()
}

/// Returns the clients' ends of connections that are open to followed ports, each with its network namespace.
pub(crate) fn clients(followed: &Followed) -> Vec<(u32, SocketAddr)> {
    let client = |entry: Entry| match followed.side {
        Side::Server => entry.remote,
        Side::Client => entry.local,
    };
    followed_entries(followed, OPEN)
        .map(|(network_namespace, entry)| (network_namespace, client(entry)))
        .collect()
}

/// Returns the network namespaces of which [`clients`] lists every connection; none if calls are followed by process,
/// since others may then move a connection's bytes.
pub(crate) fn visible(followed: &Followed) -> Vec<u32> {
    if !followed.pids.is_empty() || !followed.cgroups.is_empty() {
        return Vec::new();
    }
    let mut found = followed_namespaces(followed);
    found.retain(|one| fs::read(one.tables.join("tcp")).is_ok());
    found.into_iter().map(|one| one.inode).collect()
}

fn followed_entries(
    followed: &Followed,
    states: &'static [&str],
) -> impl Iterator<Item = (u32, Entry)> {
    let namespaces = if followed.ports.is_empty() {
        Vec::new()
    } else {
        followed_namespaces(followed)
    };
    let all = namespaces.into_iter().flat_map(move |one| {
        let entries = entries(&one.tables, states).into_iter();
        entries.map(move |entry| (one.inode, entry))
    });
    all.filter(move |(_, entry)| {
        let server = match followed.side {
            Side::Client if states == OPEN => entry.remote,
            Side::Client | Side::Server => entry.local,
        };
        followed.ports.contains(&server.port())
    })
}

fn followed_namespaces(followed: &Followed) -> Vec<NetworkNamespace> {
    let wanted = &followed.network_namespaces;
    let mut found = namespaces::all();
    found.retain(|one| wanted.is_empty() || wanted.contains(&one.inode));
    found
}

/// A socket in `/proc/net/tcp` or `/proc/net/udp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Entry {
    local: SocketAddr,
    remote: SocketAddr,
    inode: u64,
}

/// Returns the sockets in these states from the tables of a network namespace, each once. Unconnected UDP sockets count as
/// listening.
///
/// The kernel prints a table page by page. Where connections begin and end meanwhile, it prints some sockets twice: on
/// Linux 6.18, beside a client that connected and closed all the time, 42 of 130 readings held a socket twice and none
/// missed one.
fn entries(tables: &Path, states: &'static [&str]) -> Vec<Entry> {
    let datagrams = (states == LISTEN).then_some([("udp", UNCONNECTED), ("udp6", UNCONNECTED)]);
    let tables_read = [("tcp", states), ("tcp6", states)].into_iter();
    let mut found = Vec::new();
    for (table, states) in tables_read.chain(datagrams.into_iter().flatten()) {
        if let Ok(text) = fs::read_to_string(tables.join(table)) {
            found.extend(sockets(&text, states));
        }
    }
    found
}

/// Parses a table; a socket that it holds twice is returned once.
fn sockets(table: &str, wanted: &[&str]) -> Vec<Entry> {
    let mut known = HashSet::new();
    let found = table.lines().skip(1).filter_map(|line| parse(line, wanted));
    found.filter(|entry| known.insert(*entry)).collect()
}

/// Parses a line of `/proc/net/tcp`; `None` unless the socket is in one of the states `wanted`.
fn parse(line: &str, wanted: &[&str]) -> Option<Entry> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    if !wanted.contains(&state) {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    Some(Entry {
        local: parse_address(local)?,
        remote: parse_address(remote)?,
        inode,
    })
}

fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    Some(SocketAddr::new(
        parse_ip(ip)?,
        u16::from_str_radix(port, 16).ok()?,
    ))
}

/// Parses an IP address, which is written as 32-bit words in host byte order.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let word = |start: usize| {
        let word = u32::from_str_radix(hex.get(start..start + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    if hex.len() == 8 {
        return Some(IpAddr::from(word(0)?));
    }
    let mut bytes = [0; 16];
    for index in 0..4 {
        bytes[index * 4..index * 4 + 4].copy_from_slice(&word(index * 8)?);
    }
    Some(IpAddr::from(bytes))
}

/// Sets the process of each listener. If several processes hold one, a `preferred` process is chosen.
fn name_owners(listeners: &mut [Listener], preferred: &[u32]) {
    for process in namespaces::processes() {
        let name = process.file_name().and_then(|name| name.to_str());
        let Some(pid) = name.and_then(|name| name.parse().ok()) else {
            continue;
        };
        for inode in socket_inodes(&process) {
            let is_held = |listener: &&mut Listener| {
                listener.inode == inode && (listener.pid.is_none() || preferred.contains(&pid))
            };
            for listener in listeners.iter_mut().filter(is_held) {
                listener.pid = Some(pid);
            }
        }
    }
}

fn socket_inodes(process: &Path) -> Vec<u64> {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else {
        return Vec::new();
    };
    descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .filter_map(|target| {
            target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?
                .parse()
                .ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_a_socket_if_it_is_in_the_wanted_state() {
        let line = |state| {
            format!(
                "  0: 0100007F:2BCB 0200007F:9C40 {state} 00000000:00000000 00:00000000 00000000 105 0 4242 1 0 100"
            )
        };
        let entry = parse(&line("0A"), LISTEN).expect("a listener");
        assert_eq!(entry.local, SocketAddr::from(([127, 0, 0, 1], 11211)));
        assert_eq!(entry.remote, SocketAddr::from(([127, 0, 0, 2], 40000)));
        assert_eq!(entry.inode, 4242);
        for state in ["01", "08"] {
            assert_eq!(parse(&line(state), OPEN), Some(entry));
        }
        assert_eq!(parse(&line("01"), LISTEN), None);
    }

    #[test]
    fn a_socket_that_the_table_holds_twice_is_found_once() {
        let line = |port, inode| {
            format!(
                "  0: 0100007F:{port} 0200007F:9C40 01 00000000:00000000 00:00000000 00000000 105 0 {inode} 1 0 100\n"
            )
        };
        let (one, other) = (line("2BCB", 4242), line("2BCC", 4243));
        let table = format!("  sl  local_address\n{one}{other}{one}");
        let found = sockets(&table, OPEN);
        let inodes: Vec<u64> = found.iter().map(|entry| entry.inode).collect();
        assert_eq!(inodes, [4242, 4243]);
    }

    #[test]
    fn malformed_lines_are_left_out() {
        for line in ["", "sl local_address", "0: zz:2BCB 0:0 0A 0 0 0 0 0 1"] {
            assert_eq!(parse(line, LISTEN), None, "{line}");
        }
    }

    #[test]
    fn a_socket_of_this_process_is_found_with_its_owner() {
        let listening = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listening.local_addr().expect("its address");
        let followed = Followed::ports(&[address.port()]);
        let found = find(&followed);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].endpoint, Endpoint::Inet(address));
        assert_eq!(found[0].pid, Some(std::process::id()));
        assert!(found[0].is_near());
        assert!(of_process(std::process::id()).contains(&Endpoint::Inet(address)));
        assert_eq!(found[0].endpoint.reachable(), Endpoint::Inet(address));
        let client = std::net::TcpStream::connect(address).expect("a connection");
        assert_eq!(
            clients(&followed),
            [(namespaces::own(), client.local_addr().expect("its address"))]
        );
    }
}
