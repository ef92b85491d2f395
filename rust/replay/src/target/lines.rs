//! A stream from a server that may send without end, a byte now and then, or nothing → lines, in bounded time and memory.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::target::address::Address;

/// Longest line, bytes: several times the longest that memcached writes.
const LONGEST_LINE: usize = 64 << 10;

/// A connection to a server that answers in lines.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: BufReader<Stream>,
}

/// A stream over the network, or on this machine.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(timeout),
            Self::Unix(stream) => stream.set_read_timeout(timeout),
        }
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_write_timeout(timeout),
            Self::Unix(stream) => stream.set_write_timeout(timeout),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Connects, and never waits longer than `patience` to connect or to write.
    pub(crate) fn connect(address: &Address, patience: Duration) -> io::Result<Self> {
        let socket = address.connect(patience)?;
        let stream = match address {
            Address::Tcp(_) => Stream::Tcp(socket.into()),
            Address::Unix(_) => Stream::Unix(socket.into()),
        };
        stream.set_write_timeout(Some(patience))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Writes a request.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads the next line into `line`, with its end, before `deadline`.
    pub(crate) fn read(&mut self, line: &mut Vec<u8>, deadline: Instant) -> io::Result<()> {
        line.clear();
        loop {
            if self.stream.buffer().is_empty() {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                self.stream.get_ref().set_read_timeout(Some(left))?;
            }
            let bytes = match self.stream.fill_buf() {
                Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(error) => return Err(error),
            };
            let end = memchr::memchr(b'\n', bytes).map(|end| end + 1);
            let taken = end.unwrap_or(bytes.len());
            line.extend_from_slice(&bytes[..taken]);
            self.stream.consume(taken);
            if line.len() > LONGEST_LINE {
                return Err(io::Error::other("its answer is longer than memcached's"));
            }
            if end.is_some() {
                return Ok(());
            }
        }
    }
}
