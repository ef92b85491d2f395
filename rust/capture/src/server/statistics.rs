//! `stats` → a server's own counters, read over a connection of ours.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::selection::listeners::Endpoint;
use crate::session::peer::{OwnAddresses, Peer};

/// Longest wait for a server to accept a connection or to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Times at which `stats` is asked for, and the pause between them. A worker between a call and its counter makes one
/// answer differ from the recording; it does not make all.
const LOOKS: (u32, Duration) = (3, Duration::from_millis(20));

/// Longest reply that is read, bytes: `stats conns` with 100,000 clients takes some 20 MB.
const LONGEST_REPLY: u64 = 64 << 20;
/// Longest line of a reply that is read, bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// Counters that only `stats reset` makes smaller.
const GROWING: [&str; 12] = [
    "bytes_read",
    "bytes_written",
    "cmd_get",
    "cmd_meta",
    "cmd_set",
    "cmd_touch",
    "delete_misses",
    "get_hits",
    "get_misses",
    "rejected_connections",
    "total_connections",
    "total_items",
];

/// Names and values of one `stats` reply, as memcached wrote them.
pub(crate) type Table = BTreeMap<String, String>;

/// A server's counters and settings at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Statistics {
    /// `stats`.
    pub general: Table,
    /// `stats settings`.
    pub settings: Table,
    /// `stats items`.
    pub items: Table,
    /// `stats slabs`.
    pub slabs: Table,
}

impl Statistics {
    /// True if the server set its counters to 0 after `start`, as far as they show it.
    pub(crate) fn is_reset_since(&self, start: &Self) -> bool {
        GROWING
            .iter()
            .any(|name| self.counter(name) < start.counter(name))
    }

    /// Returns a counter of `stats`; `None` if it is missing or not a number.
    pub(crate) fn counter(&self, name: &str) -> Option<u64> {
        self.general.get(name)?.parse().ok()
    }
}

/// A server's answer to all questions, and its counters at every look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// Everything; `general` is of the look that is nearest to the middle of the recording.
    pub statistics: Statistics,
    /// `stats` of each look, in order.
    pub looks: Vec<Statistics>,
}

/// A connection over which a server is asked for its counters.
pub(crate) struct Asker {
    stream: BufReader<Box<dyn Stream>>,
}

impl fmt::Debug for Asker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Asker")
    }
}

/// A stream to a server.
trait Stream: Read + Write + Send {}

impl Stream for TcpStream {}
impl Stream for UnixStream {}

impl Asker {
    /// Connects. Our end, as the server sees it, is also returned; it is added to `own` before a byte is sent.
    pub(crate) fn connect(endpoint: &Endpoint, own: &OwnAddresses) -> io::Result<(Self, Peer)> {
        let (stream, peer) = match endpoint {
            Endpoint::Inet(address) => connect_tcp(*address)?,
            Endpoint::Unix(path) => connect_unix(path)?,
        };
        own.add(peer);
        let asker = Self {
            stream: BufReader::new(stream),
        };
        Ok((asker, peer))
    }

    /// Asks for everything, `stats` last: the bytes after its answer are those that count until [`Asker::after`] asks.
    pub(crate) fn before(&mut self) -> io::Result<Answer> {
        let settings = self.table("stats settings")?;
        let items = self.table("stats items")?;
        let slabs = self.table("stats slabs")?;
        let looks = self.looks()?;
        let general = looks.last().map(|last| last.general.clone());
        let statistics = Statistics {
            general: general.unwrap_or_default(),
            settings,
            items,
            slabs,
        };
        Ok(Answer { statistics, looks })
    }

    /// Asks for everything, `stats` first.
    pub(crate) fn after(&mut self) -> io::Result<Answer> {
        let looks = self.looks()?;
        let general = looks.first().map(|first| first.general.clone());
        let settings = self.table("stats settings")?;
        let items = self.table("stats items")?;
        let slabs = self.table("stats slabs")?;
        let statistics = Statistics {
            general: general.unwrap_or_default(),
            settings,
            items,
            slabs,
        };
        Ok(Answer { statistics, looks })
    }

    fn looks(&mut self) -> io::Result<Vec<Statistics>> {
        let mut looks = Vec::new();
        for number in 0..LOOKS.0 {
            if number > 0 {
                thread::sleep(LOOKS.1);
            }
            looks.push(self.general()?);
        }
        Ok(looks)
    }

    /// Asks for `stats` alone.
    pub(crate) fn general(&mut self) -> std::io::Result<Statistics> {
        Ok(Statistics {
            general: self.table("stats")?,
            ..Statistics::default()
        })
    }

    /// Asks for the open connections: file descriptor and the client's IP address of each, from `stats conns`.
    pub(crate) fn connections(&mut self) -> io::Result<Vec<(u32, String)>> {
        let table = self.table("stats conns")?;
        let client = |(name, value): (&String, &String)| {
            let descriptor = name.strip_suffix(":addr")?.parse().ok()?;
            let (address, _) = value.split_once(':')?.1.rsplit_once(':')?;
            let address = address.trim_start_matches('[').trim_end_matches(']');
            Some((descriptor, address.to_owned()))
        };
        Ok(table.iter().filter_map(client).collect())
    }

    fn table(&mut self, question: &str) -> io::Result<Table> {
        self.stream
            .get_mut()
            .write_all(format!("{question}\r\n").as_bytes())?;
        let mut table = Table::new();
        let mut line = String::new();
        let mut read = 0;
        loop {
            line.clear();
            let taken = (&mut self.stream).take(LONGEST_LINE).read_line(&mut line)?;
            if taken == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            read += taken as u64;
            if !line.ends_with('\n') || read > LONGEST_REPLY {
                return Err(io::Error::other(
                    "its answer to `stats` is longer than memcached's",
                ));
            }
            match line.trim_end().split(' ').collect::<Vec<_>>().as_slice() {
                ["STAT", name, value @ ..] => table.insert((*name).to_owned(), value.join(" ")),
                ["END"] => return Ok(table),
                _ => {
                    return Err(io::Error::other(
                        "it does not answer `stats` like memcached",
                    ));
                }
            };
        }
    }
}

fn connect_tcp(address: SocketAddr) -> io::Result<(Box<dyn Stream>, Peer)> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let peer = Peer::Address(stream.local_addr()?);
    Ok((Box::new(stream), peer))
}

fn connect_unix(path: &Path) -> io::Result<(Box<dyn Stream>, Peer)> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let inode = rustix::fs::fstat(stream.as_fd())?.st_ino;
    Ok((Box::new(stream), Peer::Inode(inode)))
}
