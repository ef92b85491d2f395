//! `stats` → a server's own counters, read over a connection of ours.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use serde::{Deserialize, Serialize};

use crate::selection::listeners::Endpoint;
use crate::session::peer::{OwnAddresses, Peer};

/// Longest wait for a server to accept a connection, or to answer a question completely.
const PATIENCE: Duration = Duration::from_secs(2);

/// Times at which `stats` is asked for, and the pause between them. A worker between a call and its counter makes one
/// answer differ from the recording; it does not make all.
const LOOKS: (u32, Duration) = (3, Duration::from_millis(20));

/// Longest reply that is read, bytes. `stats slabs` with 64 classes takes some 30 kB.
const LONGEST_REPLY: u64 = 1 << 20;
/// Longest reply to `stats conns`, bytes: with 100,000 clients it takes some 20 MB.
const LONGEST_LIST: u64 = 64 << 20;
/// Longest line of a reply that is read, bytes.
const LONGEST_LINE: usize = 64 << 10;

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
trait Stream: Read + Write + Send {
    /// Sets how long a read waits.
    fn wait_for_reads(&self, patience: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn wait_for_reads(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

impl Stream for UnixStream {
    fn wait_for_reads(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

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
        let client = |name: &str, value: &str| {
            let descriptor = name.strip_suffix(":addr")?.parse().ok()?;
            let (address, _) = value.split_once(':')?.1.rsplit_once(':')?;
            let address = address.trim_start_matches('[').trim_end_matches(']');
            Some((descriptor, address.to_owned()))
        };
        let mut clients = Vec::new();
        self.rows("stats conns", LONGEST_LIST, |name, value| {
            clients.extend(client(name, value));
        })?;
        Ok(clients)
    }

    fn table(&mut self, question: &str) -> io::Result<Table> {
        let mut table = Table::new();
        self.rows(question, LONGEST_REPLY, |name, value| {
            table.insert(name.to_owned(), value.to_owned());
        })?;
        Ok(table)
    }

    /// Asks, and hands on name and value of each line of the answer, which ends within the patience and `longest` bytes.
    fn rows(
        &mut self,
        question: &str,
        longest: u64,
        mut take: impl FnMut(&str, &str),
    ) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        self.stream
            .get_mut()
            .write_all(format!("{question}\r\n").as_bytes())?;
        let (mut line, mut read) = (Vec::new(), 0);
        loop {
            line.clear();
            self.line(&mut line, deadline)?;
            read += line.len() as u64;
            if read > longest {
                return Err(too_long());
            }
            let text = std::str::from_utf8(line.trim_ascii_end()).unwrap_or_default();
            let mut words = text.splitn(3, ' ');
            match (words.next(), words.next()) {
                (Some("STAT"), Some(name)) => take(name, words.next().unwrap_or_default()),
                (Some("END"), None) => return Ok(()),
                _ => {
                    return Err(io::Error::other(
                        "it does not answer `stats` like memcached",
                    ));
                }
            }
        }
    }

    /// Appends the next line with its end to `line`. A server that sends a byte now and then gains no time by it.
    fn line(&mut self, line: &mut Vec<u8>, deadline: Instant) -> io::Result<()> {
        loop {
            if self.stream.buffer().is_empty() {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                self.stream.get_ref().wait_for_reads(left)?;
            }
            let bytes = match self.stream.fill_buf() {
                Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = memchr::memchr(b'\n', bytes).map(|end| end + 1);
            let taken = end.unwrap_or(bytes.len());
            line.extend_from_slice(&bytes[..taken]);
            self.stream.consume(taken);
            if line.len() > LONGEST_LINE {
                return Err(too_long());
            }
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

fn too_long() -> io::Error {
    io::Error::other("its answer to `stats` is longer than memcached's")
}

fn connect_tcp(address: SocketAddr) -> io::Result<(Box<dyn Stream>, Peer)> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let peer = Peer::Address(stream.local_addr()?);
    Ok((Box::new(stream), peer))
}

fn connect_unix(path: &Path) -> io::Result<(Box<dyn Stream>, Peer)> {
    // Connecting waits while the server's queue is full, for as long as a send may take.
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let stream = UnixStream::from(socket);
    let inode = rustix::fs::fstat(stream.as_fd())?.st_ino;
    Ok((Box::new(stream), Peer::Inode(inode)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Asks a server that answers the first question with what `answer` writes.
    fn asked(
        answer: impl FnOnce(TcpStream) + Send + 'static,
    ) -> (io::Result<Statistics>, Duration) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::Inet(listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 7];
            stream.read_exact(&mut question).unwrap();
            answer(stream);
        });
        let (mut asker, _) = Asker::connect(&endpoint, &OwnAddresses::default()).unwrap();
        let begun = Instant::now();
        let answered = asker.general();
        let took = begun.elapsed();
        drop(asker);
        server.join().unwrap();
        (answered, took)
    }

    /// Writes the bytes again and again, until the other side hangs up.
    fn without_end(bytes: &'static [u8], pause: Duration) -> impl FnOnce(TcpStream) {
        move |mut stream| {
            while stream.write_all(bytes).is_ok() {
                thread::sleep(pause);
            }
        }
    }

    #[test]
    fn an_answer_is_read_with_its_values_as_they_are() {
        let (answered, _) = asked(|mut stream| {
            stream
                .write_all(b"STAT pid 7\r\nSTAT version 1.6 x  y\r\nSTAT empty\r\nEND\r\n")
                .unwrap();
        });
        let general = answered.unwrap().general;
        let wanted = [("empty", ""), ("pid", "7"), ("version", "1.6 x  y")];
        assert!(
            general
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .eq(wanted)
        );
    }

    #[test]
    fn an_answer_without_end_is_an_error_soon() {
        let at_once = Duration::ZERO;
        let now_and_then = Duration::from_millis(300);
        for (bytes, pause) in [
            (&b"STAT a b\r\n"[..], at_once),
            (b"STAT aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", at_once),
            (b"STAT a b\r\n", now_and_then),
            (b"S", now_and_then),
        ] {
            let (answered, took) = asked(without_end(bytes, pause));
            assert!(answered.is_err(), "{bytes:?}");
            assert!(took < PATIENCE * 15, "{took:?}");
        }
    }

    #[test]
    fn an_answer_unlike_memcacheds_or_none_is_an_error() {
        for bytes in [&b"\xff\xfe\r\n"[..], b"HTTP/1.1 400\r\n", b"STAT\r\n", b""] {
            let (answered, _) = asked(move |mut stream| stream.write_all(bytes).unwrap());
            assert!(answered.is_err(), "{bytes:?}");
        }
    }
}
