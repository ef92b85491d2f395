//! A source → the bytes of a log: a server asked to send it, a file, or standard input.

use std::io::{self, Cursor, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use membench_decode::log::{Line, parse};
use membench_event::{Anchor, ratio};

use crate::selection::listeners::Endpoint;
use crate::server::statistics::{Asker, Statistics};
use crate::session::peer::OwnAddresses;
use crate::source::stored;
use crate::{Error, Result, SourceSpec};

/// Time that a server may take to accept a connection, and to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most bytes read at once.
const BLOCK: usize = 1 << 16;
/// Blocks read ahead: 16 MiB, so that a slow disk does not make memcached skip lines.
const BLOCKS: usize = 256;
/// Bytes of a file that are read to recognise it.
const BEGINNING: u64 = 1 << 16;
/// Longest answer of a server worth showing, bytes.
const ANSWER_MAX: usize = 200;
/// The streams to ask for, best first: memcached before 1.6.13 knows no `connevents`, and only later versions `deletions`.
const STREAMS: [&str; 3] = [
    "fetchers mutations connevents deletions",
    "fetchers mutations connevents",
    "fetchers mutations",
];

/// The origin of a log.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A server that has begun to send it.
    Server(Box<Server>),
    /// A stored log.
    Stored(Stored),
}

/// A server that sends its log.
#[derive(Debug)]
pub(crate) struct Server {
    /// `HOST:PORT`, as asked for.
    pub(crate) name: String,
    pub(crate) port: u16,
    /// The streams that it sends.
    pub(crate) streams: &'static str,
    /// The connection on which it is asked for counters, and its first answer.
    pub(crate) asked: Option<(Asker, Statistics)>,
    /// Connections that were open: descriptor and address.
    pub(crate) connections: Vec<(u32, String)>,
    stream: TcpStream,
    first: Vec<u8>,
}

/// A stored log, begun to be read.
pub(crate) struct Stored {
    /// Its beginning, already read.
    beginning: Vec<u8>,
    rest: Box<dyn Read + Send>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Stored")
    }
}

/// A block of a log, and when it was read.
type Block = io::Result<(Vec<u8>, Instant)>;

/// The blocks of a log, which a thread reads ahead; an error ends them.
pub(super) struct Blocks {
    receiver: Receiver<Block>,
    /// Blocks that wait.
    queued: Arc<AtomicUsize>,
}

impl Blocks {
    /// Returns how full the queue is, 0…1.
    pub(super) fn fill(&self) -> f64 {
        let queued = self.queued.load(Ordering::Relaxed).min(BLOCKS);
        ratio(queued as u64, BLOCKS as u64)
    }

    /// Returns the next block and its age, if one comes within `patience`.
    pub(super) fn next_within(
        &self,
        patience: Duration,
    ) -> std::result::Result<io::Result<(Vec<u8>, Duration)>, RecvTimeoutError> {
        self.receiver
            .recv_timeout(patience)
            .map(|block| self.taken(block))
    }

    fn taken(&self, block: Block) -> io::Result<(Vec<u8>, Duration)> {
        self.queued.fetch_sub(1, Ordering::Relaxed);
        block.map(|(bytes, read)| (bytes, read.elapsed()))
    }
}

impl Origin {
    /// Opens the log that `source` names. A server is asked for its counters first if `statistics`.
    pub(crate) fn open(source: &SourceSpec, statistics: bool) -> Result<Self> {
        let path = match source {
            SourceSpec::Watch(server) => {
                let server = Server::connect(server, statistics)?;
                return Ok(Self::Server(Box::new(server)));
            }
            SourceSpec::Log(path) => path.as_path(),
            SourceSpec::Files(_)
            | SourceSpec::Sockets
            | SourceSpec::Interface(_)
            | SourceSpec::Libpcap(_) => {
                let path = PathBuf::from(source.to_string());
                let found = "it is another source".to_owned();
                return Err(Error::NotALog { path, found });
            }
        };
        let input = stored::open(path).map_err(|source| failed(path, source))?;
        Stored::open(path, input).map(Self::Stored)
    }

    /// The moment by which times are placed: a stored log's own first time, or ours for a live one.
    pub(super) fn anchor(&self, begun: Anchor) -> Anchor {
        match self {
            Self::Server(_) => begun,
            Self::Stored(log) => {
                let utc_ns = log.first_us().map_or(0, |first| first * 1000);
                Anchor {
                    monotonic_ns: utc_ns,
                    utc_ns,
                }
            }
        }
    }

    /// Seconds by which the server's clock is ahead of ours.
    pub(super) fn clock_ahead_s(&self, begun: Anchor) -> i64 {
        match self {
            Self::Server(server) => server.clock_ahead_s(begun.utc_ns / 1_000_000_000),
            Self::Stored(_) => 0,
        }
    }

    /// Starts a thread that reads the log ahead. Returns also the connection to hang up, if there is one.
    pub(super) fn read(self) -> Result<(Blocks, Option<TcpStream>)> {
        match self {
            Self::Server(server) => {
                let Server { stream, first, .. } = *server;
                let failed = |source| failed(Path::new("the log's connection"), source);
                let handle = stream.try_clone().map_err(failed)?;
                let input = Cursor::new(first).chain(stream);
                Ok((read_ahead(input)?, Some(handle)))
            }
            Self::Stored(Stored { beginning, rest }) => {
                Ok((read_ahead(Cursor::new(beginning).chain(rest))?, None))
            }
        }
    }
}

/// Ends a server's stream, and with it the thread that reads it.
pub(super) fn hang_up(stream: &TcpStream) {
    // It may have been closed by the server: then there is nothing to end.
    let _ = stream.shutdown(Shutdown::Both);
}

impl Server {
    fn connect(name: &str, statistics: bool) -> Result<Self> {
        let unreachable = |source| Error::WatchUnreachable {
            server: name.into(),
            source,
        };
        let addresses = name.to_socket_addrs().map_err(unreachable)?;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => return Self::begin(name, address, stream, statistics),
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }

    /// Asks for counters, and at once for the log: what happens in between is in neither.
    fn begin(name: &str, address: SocketAddr, stream: TcpStream, statistics: bool) -> Result<Self> {
        let (asked, connections) = statistics
            .then(|| ask(name, address))
            .flatten()
            .map_or((None, Vec::new()), |(asker, said, connections)| {
                (Some((asker, said)), connections)
            });
        let (streams, first) = ask_for_log(&stream, name)?;
        Ok(Self {
            name: name.into(),
            port: address.port(),
            streams,
            asked,
            connections,
            stream,
            first,
        })
    }

    /// Returns the seconds by which its clock is ahead of `utc_s`; 0 if that is not known, or less than a clock of whole
    /// seconds can show.
    fn clock_ahead_s(&self, utc_s: u64) -> i64 {
        let time = self
            .asked
            .as_ref()
            .and_then(|(_, said)| said.counter("time"));
        let ahead = time.map_or(0, |time| time.cast_signed() - utc_s.cast_signed());
        if ahead.abs() > 2 { ahead } else { 0 }
    }
}

/// The connection on which a server was asked, its counters, and its open connections.
type Told = (Asker, Statistics, Vec<(u32, String)>);

/// Asks for a server's connections and counters; a server that does not answer is recorded without.
fn ask(name: &str, address: SocketAddr) -> Option<Told> {
    let endpoint = Endpoint::Inet(address);
    let asked = Asker::connect(&endpoint, &OwnAddresses::default()).and_then(|(mut asker, _)| {
        let connections = asker.connections()?;
        let said = asker.before()?.statistics;
        Ok((asker, said, connections))
    });
    asked
        .inspect_err(|error| ::log::warn!("{name}: no statistics: {error}"))
        .ok()
}

/// Asks for the log; returns the streams that the server sends, and the bytes that followed its answer.
fn ask_for_log(stream: &TcpStream, name: &str) -> Result<(&'static str, Vec<u8>)> {
    let mut found = String::new();
    for streams in STREAMS {
        let answer = ask_once(stream, streams).map_err(|source| Error::WatchUnreachable {
            server: name.into(),
            source,
        })?;
        let end = answer.iter().position(|byte| *byte == b'\n');
        let (line, rest) = answer.split_at(end.map_or(answer.len(), |at| at + 1));
        if line == b"OK\r\n" {
            return Ok((streams, rest.to_vec()));
        }
        found = printable(line);
        if line != b"ERROR\r\n" {
            break;
        }
    }
    Err(Error::WatchRefused {
        server: name.into(),
        found,
    })
}

fn ask_once(mut stream: &TcpStream, streams: &str) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("watch {streams}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut room = [0; 4096];
    while !answer.contains(&b'\n') && answer.len() < ANSWER_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let length = stream.read(&mut room)?;
        if length == 0 {
            break;
        }
        answer.extend_from_slice(&room[..length]);
    }
    stream.set_read_timeout(None)?;
    Ok(answer)
}

/// Returns the first line of an answer, fit for a message.
fn printable(line: &[u8]) -> String {
    let line = &line[..line.len().min(ANSWER_MAX)];
    membench_event::printable(String::from_utf8_lossy(line).trim_end())
}

impl Stored {
    fn open(path: &Path, mut input: Box<dyn Read + Send>) -> Result<Self> {
        let mut beginning = Vec::new();
        (&mut input)
            .take(BEGINNING)
            .read_to_end(&mut beginning)
            .map_err(|source| failed(path, source))?;
        check(path, &beginning)?;
        Ok(Self {
            beginning,
            rest: input,
        })
    }

    /// Returns the earliest time in its beginning, µs since 1970: lines are not in order.
    fn first_us(&self) -> Option<u64> {
        lines(&self.beginning)
            .filter_map(|line| match parse(line) {
                Some(Line::Entry(entry)) => Some(entry.micros),
                _ => None,
            })
            .min()
    }
}

/// Checks that the first line that is not passed over is one of memcached's log, or that the server agreed to send it.
fn check(path: &Path, beginning: &[u8]) -> Result<()> {
    let is_passed_over = |line: &&[u8]| matches!(parse(line), Some(Line::Blank));
    let first = lines(beginning).find(|line| !is_passed_over(line));
    let rest = beginning.rsplit(|byte| *byte == b'\n').next();
    let found = match first.or(rest) {
        Some(line) if parse(line).is_some() => return agreed(path, beginning),
        Some(line) if is_refusal(line) => {
            return Err(Error::LogRefused {
                path: path.into(),
                found: printable(line),
            });
        }
        _ if beginning.is_empty() => "it is empty".to_owned(),
        Some(line) => format!("it says '{}'", printable(line)),
        None => "it holds no line".to_owned(),
    };
    Err(Error::NotALog {
        path: path.into(),
        found,
    })
}

/// Checks that a log without a line is at least one that a server agreed to send.
fn agreed(path: &Path, beginning: &[u8]) -> Result<()> {
    let has_line = lines(beginning).any(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line == b"OK" || matches!(parse(line), Some(Line::Entry(_) | Line::Skipped(_)))
    });
    if has_line {
        return Ok(());
    }
    Err(Error::NotALog {
        path: path.into(),
        found: "it holds no line of it".to_owned(),
    })
}

/// True for an answer by which memcached refuses to send its log.
fn is_refusal(line: &[u8]) -> bool {
    const REFUSALS: [&[u8]; 4] = [b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR", b"WATCHER_"];
    REFUSALS.iter().any(|start| line.starts_with(start))
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_suffix(b"\n"))
}

fn read_ahead(mut input: impl Read + Send + 'static) -> Result<Blocks> {
    let (sender, receiver) = sync_channel(BLOCKS);
    let queued = Arc::new(AtomicUsize::new(0));
    let waiting = Arc::clone(&queued);
    let read = move || {
        loop {
            let mut block = vec![0; BLOCK];
            let read = match input.read(&mut block) {
                Ok(0) => return,
                Ok(length) => {
                    block.truncate(length);
                    Ok((block, Instant::now()))
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_last = read.is_err();
            waiting.fetch_add(1, Ordering::Relaxed);
            if sender.send(read).is_err() || is_last {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("membench-watch".into())
        .spawn(read)
        .map_err(|source| Error::NotStarted {
            what: "thread",
            source,
        })?;
    Ok(Blocks { receiver, queued })
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::Io {
        path: path.into(),
        source,
    }
}
