//! `/proc/PID/net/tcp{,6}` → the sockets that listen on a port, in which network namespace, and whose they are.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::status::ServerStatus;
use super::{Followed, namespaces};

/// A listening socket on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// Inode number of its network namespace.
    pub network_namespace: u32,
    /// Its inode, as in `/proc/PID/fd`.
    pub inode: u64,
    /// The process that holds it, if this user may see it.
    pub pid: Option<u32>,
}

impl Listener {
    /// What is known of its server without asking it.
    pub(super) fn status(&self) -> ServerStatus {
        ServerStatus {
            listening: self.address.to_string(),
            port: self.address.port(),
            pid: self.pid,
            network_namespace: (!self.is_near()).then_some(self.network_namespace),
            ..ServerStatus::default()
        }
    }

    /// Whether it is in the recorder's own network namespace.
    pub fn is_near(&self) -> bool {
        self.network_namespace == namespaces::own()
    }

    /// An address that reaches it from its network namespace.
    pub fn reachable(&self) -> SocketAddr {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, self.address.port())
    }
}

/// State of a connected socket and of a listening one, as `/proc/net/tcp` writes them.
const ESTABLISHED: &str = "01";
const LISTEN: &str = "0A";

/// The listening sockets that are followed, in every network namespace that can be seen: IPv4 before IPv6, one a
/// process, port and namespace.
pub fn find(followed: &Followed) -> Vec<Listener> {
    let mut found: Vec<Listener> = followed_entries(followed, LISTEN)
        .map(|(network_namespace, entry)| Listener {
            address: entry.local,
            network_namespace,
            inode: entry.inode,
            pid: None,
        })
        .collect();
    if !found.is_empty() {
        name_owners(&mut found, &followed.pids);
    }
    let mut unique: Vec<Listener> = Vec::new();
    for listener in found {
        let same = |known: &Listener| {
            known.pid.is_some()
                && known.pid == listener.pid
                && known.address.port() == listener.address.port()
                && known.network_namespace == listener.network_namespace
        };
        let is_wanted = followed.pids.is_empty()
            || listener.pid.is_some_and(|pid| followed.pids.contains(&pid));
        if is_wanted && !unique.iter().any(same) {
            unique.push(listener);
        }
    }
    unique
}

/// The ports on which a process listens.
pub fn ports_of(pid: u32) -> Vec<u16> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let sockets = socket_inodes(&process);
    let listening = entries(&process.join("net"), LISTEN).into_iter();
    let own = listening.filter(|entry| sockets.contains(&entry.inode));
    own.map(|entry| entry.local.port()).collect()
}

/// The peers of connections that are open on followed ports, each with its network namespace.
pub fn clients(followed: &Followed) -> Vec<(u32, SocketAddr)> {
    followed_entries(followed, ESTABLISHED)
        .map(|(network_namespace, entry)| (network_namespace, entry.remote))
        .collect()
}

fn followed_entries(
    followed: &Followed,
    state: &'static str,
) -> impl Iterator<Item = (u32, Entry)> {
    let wanted = &followed.network_namespaces;
    let namespaces = namespaces::all().into_iter();
    let namespaces = namespaces.filter(|one| wanted.is_empty() || wanted.contains(&one.inode));
    let all = namespaces.flat_map(move |one| {
        let entries = entries(&one.tables, state).into_iter();
        entries.map(move |entry| (one.inode, entry))
    });
    all.filter(|(_, entry)| followed.ports.contains(&entry.local.port()))
}

/// One socket of `/proc/net/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    local: SocketAddr,
    remote: SocketAddr,
    inode: u64,
}

/// The sockets in a state that the tables of one network namespace hold.
fn entries(tables: &Path, state: &str) -> Vec<Entry> {
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        if let Ok(text) = fs::read_to_string(tables.join(table)) {
            found.extend(text.lines().skip(1).filter_map(|line| parse(line, state)));
        }
    }
    found
}

/// One line of `/proc/net/tcp`: none unless the socket is in this state.
fn parse(line: &str, wanted: &str) -> Option<Entry> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    if state != wanted {
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

/// Words of 32 bits in host byte order.
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

/// Names a process that holds each listener, one of those `preferred` if it is among them.
fn name_owners(listeners: &mut [Listener], preferred: &[u32]) {
    for process in namespaces::processes() {
        let name = process.file_name().and_then(|name| name.to_str());
        let Some(pid) = name.and_then(|name| name.parse().ok()) else {
            continue;
        };
        for inode in socket_inodes(&process) {
            let of_socket = |listener: &&mut Listener| {
                listener.inode == inode && (listener.pid.is_none() || preferred.contains(&pid))
            };
            for listener in listeners.iter_mut().filter(of_socket) {
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
    fn a_line_is_a_socket_in_the_state_wanted() {
        let line = |state| {
            format!(
                "  0: 0100007F:2BCB 0200007F:9C40 {state} 00000000:00000000 00:00000000 00000000 105 0 4242 1 0 100"
            )
        };
        let entry = parse(&line("0A"), LISTEN).expect("a listener");
        assert_eq!(entry.local, SocketAddr::from(([127, 0, 0, 1], 11211)));
        assert_eq!(entry.remote, SocketAddr::from(([127, 0, 0, 2], 40000)));
        assert_eq!(entry.inode, 4242);
        assert_eq!(parse(&line("01"), ESTABLISHED), Some(entry));
        assert_eq!(parse(&line("01"), LISTEN), None);
    }

    #[test]
    fn other_lines_are_no_sockets() {
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
        assert_eq!(found[0].address, address);
        assert_eq!(found[0].pid, Some(std::process::id()));
        assert!(found[0].is_near());
        assert!(ports_of(std::process::id()).contains(&address.port()));
        assert_eq!(found[0].reachable(), address);
        let client = std::net::TcpStream::connect(address).expect("a connection");
        assert_eq!(
            clients(&followed),
            [(namespaces::own(), client.local_addr().expect("its address"))]
        );
    }
}
