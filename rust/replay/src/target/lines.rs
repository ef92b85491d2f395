//! A stream from a server that may send without end, a byte now and then, or nothing → lines, in bounded time and memory.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use crate::target::address::Address;
use crate::target::endpoint::Endpoint;

/// Longest line, bytes: several times the longest that memcached writes.
const LONGEST_LINE: usize = 64 << 10;

/// A connection to a server that answers in lines, or in messages of the binary protocol.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: BufReader<Stream>,
}

/// A stream over the network, or on this machine.
#[derive(Debug)]
enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A stream, encrypted or not.
#[derive(Debug)]
enum Stream {
    Plain(Plain),
    Tls(Box<StreamOwned<ClientConnection, Plain>>),
}

impl Plain {
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

impl Read for Plain {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Plain {
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

impl Stream {
    fn plain(&self) -> &Plain {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Begins a session of TLS. A peer that sends a byte now and then cannot keep it beyond the deadline.
fn shake_hands(
    encrypted: &mut StreamOwned<ClientConnection, Plain>,
    deadline: Instant,
) -> io::Result<()> {
    while encrypted.conn.is_handshaking() {
        while encrypted.conn.wants_write() {
            encrypted.conn.write_tls(&mut encrypted.sock)?;
        }
        if !encrypted.conn.is_handshaking() {
            break;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        encrypted.sock.set_read_timeout(Some(left))?;
        if encrypted.conn.read_tls(&mut encrypted.sock)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let processed = encrypted.conn.process_new_packets();
        if let Err(error) = processed {
            // An alert tells the peer why; that it cannot be told changes nothing.
            let _ = encrypted.conn.write_tls(&mut encrypted.sock);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
    }
    while encrypted.conn.wants_write() {
        encrypted.conn.write_tls(&mut encrypted.sock)?;
    }
    Ok(())
}

impl Lines {
    /// Takes a socket that is connected to `endpoint`, and never waits longer than `patience` to shake hands or to write.
    pub(crate) fn new(
        socket: OwnedFd,
        endpoint: &Endpoint,
        patience: Duration,
    ) -> io::Result<Self> {
        let stream = match endpoint.address {
            Address::Tcp(_) => Plain::Tcp(socket.into()),
            Address::Unix(_) => Plain::Unix(socket.into()),
        };
        stream.set_write_timeout(Some(patience))?;
        stream.set_read_timeout(Some(patience))?;
        let mut stream = match &endpoint.tls {
            None => Stream::Plain(stream),
            Some(client) => Stream::Tls(Box::new(StreamOwned::new(client.session()?, stream))),
        };
        if let Stream::Tls(encrypted) = &mut stream {
            shake_hands(encrypted, Instant::now() + patience)?;
            encrypted.sock.set_read_timeout(Some(patience))?;
        }
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Writes a request.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Reads the next line into `line`, with its end, before `deadline`.
    pub(crate) fn read(&mut self, line: &mut Vec<u8>, deadline: Instant) -> io::Result<()> {
        line.clear();
        loop {
            let bytes = self.fill(deadline)?;
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

    /// Reads into `message` until it has `length` bytes, before `deadline`.
    pub(crate) fn read_up_to(
        &mut self,
        message: &mut Vec<u8>,
        length: usize,
        deadline: Instant,
    ) -> io::Result<()> {
        if length > LONGEST_LINE {
            return Err(io::Error::other("its answer is longer than memcached's"));
        }
        while message.len() < length {
            let bytes = self.fill(deadline)?;
            let taken = bytes.len().min(length - message.len());
            message.extend_from_slice(&bytes[..taken]);
            self.stream.consume(taken);
        }
        Ok(())
    }

    /// Returns bytes that have arrived, at least one, before `deadline`.
    fn fill(&mut self, deadline: Instant) -> io::Result<&[u8]> {
        while self.stream.buffer().is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.get_ref().plain().set_read_timeout(Some(left))?;
            match self.stream.fill_buf() {
                Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.stream.buffer())
    }
}
