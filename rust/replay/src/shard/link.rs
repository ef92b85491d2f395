//! A non-blocking socket to a target, with TLS and a sign-in if the target wants them → requests out, answers in.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use rustls::ClientConnection;

use crate::sys;
use crate::target::address::Opened;
use crate::target::endpoint::Endpoint;
use crate::target::sign_in::{Credentials, Verdict};

/// Most bytes of requests that are encrypted at once.
const SEALED_MAX: usize = 64 * 1024;

/// Most bytes of an answer to a sign-in.
const ANSWER_MAX: usize = 1024;

/// Step that a connection has to take before requests can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Securing,
    SigningIn,
    Ready,
}

/// A connection to a target, from its opening on.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    stage: Stage,
    /// True if the kernel stamps what it receives.
    stamped: bool,
    session: Option<Box<Session>>,
    sign_in: Option<Box<Exchange>>,
}

/// A TLS session, and what of it waits for room in the socket.
#[derive(Debug)]
struct Session {
    tls: ClientConnection,
    /// Encrypted bytes; the kernel has taken those before `taken`.
    sealed: Vec<u8>,
    taken: usize,
    /// Bytes of requests that `sealed` stands for; 0 once it is sent.
    stands_for: usize,
}

/// A sign-in under way.
#[derive(Debug)]
struct Exchange {
    credentials: Arc<Credentials>,
    sent: usize,
    answer: Vec<u8>,
}

/// Reader of a socket that keeps the stamp of what it read last.
struct Incoming<'a> {
    socket: BorrowedFd<'a>,
    stamped: bool,
    stamp: Option<u64>,
}

impl Read for Incoming<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (length, stamp) = receive(self.socket, self.stamped, into)?;
        self.stamp = stamp;
        Ok(length)
    }
}

impl Link {
    /// Starts to connect. With `stamped`, asks the kernel to stamp what it receives.
    pub(crate) fn open(endpoint: &Endpoint, stamped: bool) -> io::Result<Self> {
        let Opened {
            socket,
            is_connected,
        } = endpoint.address.open()?;
        let stamped = stamped && endpoint.address.has_stamps();
        if stamped {
            sys::stamp_received(socket.as_fd())?;
        }
        let session = match &endpoint.tls {
            None => None,
            Some(client) => Some(Box::new(Session {
                tls: client.session()?,
                sealed: Vec::new(),
                taken: 0,
                stands_for: 0,
            })),
        };
        let sign_in = endpoint.credentials.as_ref().map(|credentials| {
            Box::new(Exchange {
                credentials: Arc::clone(credentials),
                sent: 0,
                answer: Vec::new(),
            })
        });
        let mut link = Self {
            socket,
            stage: Stage::Connecting,
            stamped,
            session,
            sign_in,
        };
        if is_connected {
            link.stage = link.stage_after(Stage::Connecting);
        }
        Ok(link)
    }

    /// Returns the socket, for polling.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// True if requests can be sent.
    pub(crate) fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// True if the kernel stamps what it receives.
    pub(crate) fn is_stamped(&self) -> bool {
        self.stamped
    }

    /// Returns the number of bytes that signing in takes.
    pub(crate) fn sign_in_size(&self) -> usize {
        let exchange = self.sign_in.as_ref();
        exchange.map_or(0, |exchange| exchange.credentials.request().len())
    }

    /// True if a read may leave bytes that have arrived.
    pub(crate) fn keeps_bytes(&self) -> bool {
        self.session.is_some()
    }

    /// Goes on with the opening as far as it can, after the socket became writable or readable. Returns true once requests
    /// can be sent.
    pub(crate) fn advance(&mut self) -> io::Result<bool> {
        while self.stage != Stage::Ready {
            let done = match self.stage {
                Stage::Connecting => {
                    sockopt::socket_error(&self.socket)??;
                    true
                }
                Stage::Securing => self.secure()?,
                Stage::SigningIn => self.exchange()?,
                Stage::Ready => true,
            };
            if !done {
                return Ok(false);
            }
            self.stage = self.stage_after(self.stage);
        }
        Ok(true)
    }

    fn stage_after(&self, stage: Stage) -> Stage {
        match stage {
            Stage::Connecting if self.session.is_some() => Stage::Securing,
            Stage::Connecting | Stage::Securing if self.sign_in.is_some() => Stage::SigningIn,
            _ => Stage::Ready,
        }
    }

    /// Goes on with the handshake; false if bytes or room are awaited.
    fn secure(&mut self) -> io::Result<bool> {
        let (socket, stamped) = (self.socket.as_fd(), self.stamped);
        let Some(session) = self.session.as_deref_mut() else {
            return Ok(true);
        };
        loop {
            session.seal_rest()?;
            let flushed = is_done(session.flush(socket))?;
            if !session.tls.is_handshaking() {
                return Ok(flushed);
            }
            if !is_done(session.fill(socket, stamped).map(drop))? {
                return Ok(false);
            }
        }
    }

    /// Goes on with the sign-in; false if bytes or room are awaited.
    fn exchange(&mut self) -> io::Result<bool> {
        let Some(mut exchange) = self.sign_in.take() else {
            return Ok(true);
        };
        let done = self.go_on(&mut exchange);
        self.sign_in = Some(exchange);
        done
    }

    fn go_on(&mut self, exchange: &mut Exchange) -> io::Result<bool> {
        let credentials = Arc::clone(&exchange.credentials);
        while let Some(rest @ [_, ..]) = credentials.request().get(exchange.sent..) {
            match self.send(rest) {
                Ok(sent) => exchange.sent += sent,
                Err(error) => return is_done(Err(error)),
            }
        }
        loop {
            match credentials.judge(&exchange.answer) {
                Verdict::Accepted => return Ok(true),
                Verdict::Refused => return Err(io::ErrorKind::PermissionDenied.into()),
                Verdict::Incomplete if exchange.answer.len() > ANSWER_MAX => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Verdict::Incomplete => {}
            }
            let mut bytes = [0; ANSWER_MAX];
            match self.receive(&mut bytes) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((length, _)) => exchange.answer.extend_from_slice(&bytes[..length]),
                Err(error) => return is_done(Err(error)),
            }
        }
    }

    /// Sends bytes of requests. Returns the number of those that the kernel has taken; `WouldBlock` if it took none. Bytes
    /// that were not taken must come first in the next call.
    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.session.as_deref_mut() {
            None => Ok(send(&self.socket, bytes, SendFlags::NOSIGNAL)?),
            Some(session) => session.send(self.socket.as_fd(), bytes),
        }
    }

    /// Receives bytes of answers. Returns their number, 0 at the end, and the kernel's stamp (`CLOCK_REALTIME`, ns) of the
    /// last of them if it took one.
    #[inline]
    pub(crate) fn receive(&mut self, into: &mut [u8]) -> io::Result<(usize, Option<u64>)> {
        let (socket, stamped) = (self.socket.as_fd(), self.stamped);
        match self.session.as_deref_mut() {
            None => receive(socket, stamped, into),
            Some(session) => session.receive(socket, stamped, into),
        }
    }
}

impl Session {
    fn send(&mut self, socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
        if self.stands_for == 0 {
            let part = bytes.get(..SEALED_MAX).unwrap_or(bytes);
            self.tls.writer().write_all(part)?;
            self.seal_rest()?;
            self.stands_for = part.len();
        }
        self.flush(socket)?;
        Ok(std::mem::take(&mut self.stands_for))
    }

    /// Appends what the session wants to send to the sealed bytes.
    fn seal_rest(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.sealed)?;
        }
        Ok(())
    }

    /// Writes the sealed bytes; `WouldBlock` if some are left.
    fn flush(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        while let Some(rest @ [_, ..]) = self.sealed.get(self.taken..) {
            match send(socket, rest, SendFlags::NOSIGNAL) {
                Ok(sent) => self.taken += sent,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        self.sealed.clear();
        self.taken = 0;
        Ok(())
    }

    fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        stamped: bool,
        into: &mut [u8],
    ) -> io::Result<(usize, Option<u64>)> {
        let mut stamp = None;
        loop {
            match self.tls.reader().read(into) {
                Ok(length) => return Ok((length, stamp)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok((0, None)),
                Err(error) => return Err(error),
            }
            stamp = self.fill(socket, stamped)?;
        }
    }

    /// Reads and decrypts what has arrived; `WouldBlock` if nothing has. Returns the kernel's stamp of it.
    fn fill(&mut self, socket: BorrowedFd<'_>, stamped: bool) -> io::Result<Option<u64>> {
        let mut incoming = Incoming {
            socket,
            stamped,
            stamp: None,
        };
        let length = loop {
            match self.tls.read_tls(&mut incoming) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.tls.process_new_packets().map_err(io::Error::other)?;
        if length == 0 && self.tls.is_handshaking() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(incoming.stamp)
    }
}

/// Returns false instead of `WouldBlock`.
fn is_done(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

#[inline]
fn receive(
    socket: BorrowedFd<'_>,
    stamped: bool,
    into: &mut [u8],
) -> io::Result<(usize, Option<u64>)> {
    if stamped {
        return sys::receive_stamped(socket, into);
    }
    let (length, _) = recv(socket, into, RecvFlags::empty())?;
    Ok((length, None))
}
