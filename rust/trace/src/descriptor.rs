//! Descriptors of traced processes → their names: addresses of sockets, and paths.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::ffi::OsStrExt,
};

use membench_common::trace::Socket;

/// Most names that are remembered. Beyond that all are looked up again.
const NAMES: usize = 65_536;

/// Names of descriptors by process and number. Paths come from `/proc` when a descriptor is first seen, which can be after
/// it was closed; a name that is not found stays unknown until the number is opened again.
#[derive(Debug, Default)]
pub(crate) struct Descriptors(RefCell<HashMap<(u32, i32), String>>);

impl Descriptors {
    /// Returns a descriptor's name in angle brackets.
    pub(crate) fn name(&self, pid: u32, number: i32, socket: Option<&Socket>) -> String {
        if let Some(socket) = socket.filter(|socket| has_address(socket)) {
            return format!("<{}>", addresses(socket));
        }
        let mut names = self.0.borrow_mut();
        if names.len() >= NAMES {
            names.clear();
        }
        names
            .entry((pid, number))
            .or_insert_with(|| look_up(pid, number))
            .clone()
    }

    /// Forgets a name: the number was closed, or stands for another file now.
    pub(crate) fn forget(&self, pid: u32, number: i32) {
        self.0.borrow_mut().remove(&(pid, number));
    }
}

fn look_up(pid: u32, number: i32) -> String {
    match fs::read_link(format!("/proc/{pid}/fd/{number}")) {
        Ok(path) => {
            let quoted = crate::escape::quoted(path.as_os_str().as_bytes());
            // Angle brackets enclose a name instead of quotes.
            let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
            format!("<{}>", inner.replace('<', "\\74").replace('>', "\\76"))
        }
        Err(_) => String::new(),
    }
}

fn has_address(socket: &Socket) -> bool {
    matches!(i32::from(socket.family), libc::AF_INET | libc::AF_INET6)
}

/// Writes the addresses of a socket, such as `tcp:127.0.0.1:11211->127.0.0.1:40000`.
pub(crate) fn addresses(socket: &Socket) -> String {
    let protocol = match i32::from(socket.protocol) {
        libc::IPPROTO_TCP => "tcp",
        libc::IPPROTO_UDP => "udp",
        libc::IPPROTO_MPTCP => "mptcp",
        _ => "ip",
    };
    let local = address(socket, &socket.local, socket.local_port);
    if socket.remote_port == 0 {
        return format!("{protocol}:{local}");
    }
    let remote = address(socket, &socket.remote, socket.remote_port);
    format!("{protocol}:{local}->{remote}")
}

fn address(socket: &Socket, bytes: &[u8; 16], port: u16) -> SocketAddr {
    let ip = if i32::from(socket.family) == libc::AF_INET {
        let &[a, b, c, d, ..] = bytes;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        // A socket for both families has IPv4 addresses in this form.
        Ipv6Addr::from(*bytes).to_canonical()
    };
    SocketAddr::new(ip, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_named_by_their_addresses_and_files_by_their_paths() {
        let mut socket = Socket {
            family: 2,
            protocol: 6,
            local_port: 11211,
            local: [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ..Socket::default()
        };
        let names = Descriptors::default();
        assert_eq!(names.name(1, 3, Some(&socket)), "<tcp:127.0.0.1:11211>");
        (socket.remote, socket.remote_port) = (socket.local, 9);
        assert_eq!(
            names.name(1, 3, Some(&socket)),
            "<tcp:127.0.0.1:11211->127.0.0.1:9>"
        );
        socket.family = 10;
        assert!(
            names
                .name(1, 3, Some(&socket))
                .starts_with("<tcp:[7f00:1::")
        );
        let file = fs::File::open("/dev/null").unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&file);
        assert_eq!(names.name(std::process::id(), number, None), "</dev/null>");
        drop(file);
        names.forget(std::process::id(), number);
        assert_eq!(names.name(std::process::id(), 1_000_000, None), "");
    }
}
