//! `/proc/net/tcp{,6}` → the sockets that listen on a port, and whose they are.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::status::ServerStatus;

/// A listening socket on this machine, in this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
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
            ..ServerStatus::default()
        }
    }

    /// An address that reaches it from this machine.
    pub fn reachable(&self) -> SocketAddr {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, self.address.port())
    }
}

/// The sockets listening on any of `ports`; IPv4 before IPv6, one a process and port.
pub fn find(ports: &[u16]) -> Vec<Listener> {
    let mut found: Vec<Listener> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|text| text.lines().skip(1).filter_map(parse).collect::<Vec<_>>())
        .filter(|listener| ports.contains(&listener.address.port()))
        .collect();
    if !found.is_empty() {
        name_owners(&mut found);
    }
    let mut unique: Vec<Listener> = Vec::new();
    for listener in found {
        let same = |known: &Listener| {
            known.pid.is_some()
                && known.pid == listener.pid
                && known.address.port() == listener.address.port()
        };
        if !unique.iter().any(same) {
            unique.push(listener);
        }
    }
    unique
}

/// One line of `/proc/net/tcp`: none unless it listens (state 0A).
fn parse(line: &str) -> Option<Listener> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    if *state != "0A" {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let address = SocketAddr::new(parse_ip(ip)?, u16::from_str_radix(port, 16).ok()?);
    Some(Listener {
        address,
        inode: inode.parse().ok()?,
        pid: None,
    })
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

fn name_owners(listeners: &mut [Listener]) {
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        for inode in socket_inodes(&process.path()) {
            for listener in listeners
                .iter_mut()
                .filter(|listener| listener.inode == inode)
            {
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
    fn a_listening_line_is_its_address_and_inode() {
        let line = "  0: 0100007F:2BCB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 105 0 4242 1 0 100 0 0 10 0";
        let listener = parse(line).expect("a listener");
        assert_eq!(listener.address, SocketAddr::from(([127, 0, 0, 1], 11211)));
        assert_eq!(listener.inode, 4242);
    }

    #[test]
    fn other_lines_are_not_listeners() {
        let connected = "  1: 0100007F:2BCB 0100007F:9C40 01 00000000:00000000 00:00000000 00000000 105 0 4243 1";
        for line in [
            connected,
            "",
            "sl local_address",
            "0: zz:2BCB 0:0 0A 0 0 0 0 0 1",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_socket_of_this_process_is_found_with_its_owner() {
        let listening = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listening.local_addr().expect("its address");
        let found = find(&[address.port()]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].address, address);
        assert_eq!(found[0].pid, Some(std::process::id()));
        assert_eq!(found[0].reachable(), address);
    }
}
