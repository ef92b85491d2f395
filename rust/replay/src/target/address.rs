//! `HOST:PORT` or `unix:PATH` → an address of a target, and sockets that connect to it.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, ipproto, socket_with,
        sockopt,
    },
};

/// Precedes the path of a UNIX-domain socket.
const UNIX: &str = "unix:";

/// An address of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A host's address and port.
    Tcp(SocketAddr),
    /// The path of a socket (`memcached -s`).
    Unix(SocketAddrUnix),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// A socket that connects.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The socket, which does not block.
    pub(crate) socket: OwnedFd,
    /// False while the connection is being made.
    pub(crate) is_connected: bool,
}

impl Address {
    /// Returns every address of a name. The first that answers is the target.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if it is no name of a target, else what the system says.
    pub(crate) fn resolve(name: &str) -> io::Result<Vec<Self>> {
        if let Some(path) = name.strip_prefix(UNIX) {
            let refused = |_| io::Error::from(io::ErrorKind::InvalidInput);
            return match path {
                "" => Err(io::ErrorKind::InvalidInput.into()),
                path => Ok(vec![Self::Unix(
                    SocketAddrUnix::new(path).map_err(refused)?,
                )]),
            };
        }
        if !name.contains(':') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(name.to_socket_addrs()?.map(Self::Tcp).collect())
    }

    /// True for a socket that the network stack stamps: UNIX-domain sockets pass no stamps on.
    pub(crate) fn has_stamps(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// Starts to connect. A UNIX-domain socket whose server's backlog is full fails with `WouldBlock`.
    pub(crate) fn open(&self) -> io::Result<Opened> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (socket, begun) = match self {
            Self::Tcp(address) => {
                let family = if address.is_ipv4() {
                    AddressFamily::INET
                } else {
                    AddressFamily::INET6
                };
                let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
                sockopt::set_tcp_nodelay(&socket, true)?;
                let begun = connect(&socket, address);
                (socket, begun)
            }
            Self::Unix(address) => {
                let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
                let begun = connect(&socket, address);
                (socket, begun)
            }
        };
        let is_connected = match begun {
            Ok(()) => true,
            Err(Errno::INPROGRESS) => false,
            Err(errno) => return Err(errno.into()),
        };
        Ok(Opened {
            socket,
            is_connected,
        })
    }

    /// Connects, and returns a socket that blocks.
    pub(crate) fn connect(&self, patience: Duration) -> io::Result<OwnedFd> {
        let deadline = Instant::now() + patience;
        let Opened {
            socket,
            is_connected,
        } = loop {
            match self.open() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if Instant::now() > deadline {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
                other => break other?,
            }
        };
        if !is_connected {
            wait_until_connected(&socket, deadline)?;
        }
        rustix::io::ioctl_fionbio(&socket, false)?;
        Ok(socket)
    }
}

fn wait_until_connected(socket: &OwnedFd, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut polled = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::OUT)];
        match poll(&mut polled, Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(sockopt::socket_error(socket)??),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_with_a_port_or_the_path_of_a_socket() {
        let long = format!("unix:/{}", "x".repeat(200));
        let table = [
            ("127.0.0.1:11211", true),
            ("[::1]:11211", true),
            ("unix:/run/memcached.sock", true),
            ("unix:memcached.sock", true),
            ("unix:", false),
            ("unix:/a\0b", false),
            (&long, false),
            ("127.0.0.1", false),
            ("127.0.0.1:x", false),
            ("", false),
            ("127.0.0.1:99999", false),
        ];
        for (name, is_target) in table {
            let found = Address::resolve(name);
            assert_eq!(found.is_ok(), is_target, "{name}");
            if let Err(error) = found {
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
            }
        }
    }

    #[test]
    fn a_name_has_every_address_of_its_host() {
        let found = Address::resolve("localhost:11211").unwrap();
        let known = "localhost:11211".to_socket_addrs().unwrap();
        assert_eq!(found, known.map(Address::Tcp).collect::<Vec<_>>());
        assert!(!found.is_empty());
    }
}
