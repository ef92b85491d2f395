//! One connection to the target: requests written as far as the socket takes them, answers framed as they come.

mod binary;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use membench_protocol::{ParseError, Response, Status, response};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recv, send, socket_with,
    sockopt,
};

use crate::sys;
use membench_event::Protocol;

use crate::clock::{WallClock, monotonic};
use crate::make::opaque::Opaques;
use crate::make::request::Requests;
use crate::measure::Measures;
use crate::operation::{Marks, Operation};
use crate::shard::outstanding::{Next, Outstanding};

/// Memory kept for requests between batches, bytes.
const KEPT: usize = 256 * 1024;

/// What a shard lends to each of its connections.
#[derive(Debug)]
pub struct Shared {
    /// Makes requests.
    pub requests: Requests,
    /// Takes measures.
    pub measures: Measures,
    /// Converts receive stamps.
    pub wall_clock: WallClock,
    /// Where reads go.
    pub incoming: Vec<u8>,
    /// Monotonic time of the schedule's start, ns.
    pub start: u64,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum State {
    /// It does.
    Open,
    /// The target closed it, or it failed.
    Lost,
}

/// A value whose end has not come.
#[derive(Clone, Copy, Debug)]
struct Value {
    /// Bytes still to come, line end included; of a binary answer the rest of its body.
    left: u64,
    /// Its end completes the request.
    completes: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    connected: bool,
    stamped: bool,
    /// Bytes not written yet, from `written_of_outgoing`.
    outgoing: Vec<u8>,
    taken: usize,
    /// Bytes handed to the kernel so far.
    written: u64,
    /// The start of a line whose end has not come.
    line: Vec<u8>,
    /// A value still coming.
    value: Option<Value>,
    /// Requests and what they await.
    pub outstanding: Outstanding,
    /// Batches that wait for a cas value which an answer still to come brings, and those behind them.
    deferred: VecDeque<Operation>,
    opaques: Opaques,
    /// Of its last request: binary ones do not mix with others.
    protocol: Protocol,
    /// To be closed once nothing is due.
    pub closing: bool,
}

impl Connection {
    /// Begins to connect.
    pub fn open(target: SocketAddr, stamped: bool) -> io::Result<Self> {
        let family = if target.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        if stamped {
            sys::stamp_received(socket.as_fd())?;
        }
        let connected = match rustix::net::connect(&socket, &target) {
            Ok(()) => true,
            Err(Errno::INPROGRESS) => false,
            Err(errno) => return Err(errno.into()),
        };
        Ok(Self {
            socket,
            connected,
            stamped,
            outgoing: Vec::new(),
            taken: 0,
            written: 0,
            line: Vec::new(),
            value: None,
            outstanding: Outstanding::default(),
            opaques: Opaques::default(),
            protocol: Protocol::Text,
            deferred: VecDeque::new(),
            closing: false,
        })
    }

    /// The socket, to be watched.
    pub fn socket(&self) -> impl AsFd {
        self.socket.as_fd()
    }

    /// Bytes that wait for room in the socket.
    pub fn unwritten(&self) -> usize {
        self.outgoing.len() - self.taken
    }

    /// Whether the connection was made.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Operations that wait for an answer to others.
    pub fn deferred(&self) -> usize {
        self.deferred.len()
    }

    /// Sends the requests of one batch; later, if it needs what an answer still to come brings.
    pub fn send_batch(&mut self, batch: &[Operation], shared: &mut Shared) -> State {
        if self.deferred.is_empty() && !self.lacks_cas(batch) {
            return self.send_now(batch, shared);
        }
        self.deferred.extend(batch);
        State::Open
    }

    fn lacks_cas(&self, batch: &[Operation]) -> bool {
        let mut compared = batch
            .iter()
            .filter(|operation| operation.marks.has(Marks::CAS_SENT));
        compared.any(|operation| self.outstanding.awaits_cas(operation.cas))
    }

    /// Sends the deferred batches that lack nothing any more.
    fn send_deferred(&mut self, shared: &mut Shared) -> State {
        let continues = |operation: &&Operation| operation.marks.has(Marks::BATCH_CONTINUES);
        while !self.deferred.is_empty() {
            let others = self.deferred.iter().take_while(continues).count();
            let end = (others + 1).min(self.deferred.len());
            let batch: Vec<Operation> = self.deferred.range(..end).copied().collect();
            if self.lacks_cas(&batch) {
                return State::Open;
            }
            self.deferred.drain(..end);
            if self.send_now(&batch, shared) == State::Lost {
                return State::Lost;
            }
        }
        State::Open
    }

    /// Gives up: what was due an answer or was to be sent has none, for this cause.
    pub fn abandon(&mut self, cause: &'static str, measures: &mut Measures) {
        self.outstanding.abandon(cause, self.written, measures);
        measures.refuse(self.deferred.make_contiguous(), cause);
        self.deferred.clear();
    }

    fn send_now(&mut self, batch: &[Operation], shared: &mut Shared) -> State {
        let waiting = self.unwritten() > 0;
        for request in batch.chunk_by(|operation, _| operation.marks.has(Marks::REQUEST_CONTINUES))
        {
            let Some(first) = request.first() else {
                continue;
            };
            self.protocol = first.protocol;
            let opaque = self.opaques.next(first.opaque_size);
            shared.requests.append(&mut self.outgoing, request, opaque);
            let end = self.written + self.unwritten() as u64;
            let templates = shared.requests.templates();
            self.outstanding
                .push(request, shared.start, end, opaque, templates);
        }
        if waiting || !self.connected {
            return State::Open;
        }
        self.write(shared)
    }

    /// The socket has room, or the connection was made.
    pub fn writable(&mut self, shared: &mut Shared) -> State {
        if !self.connected {
            match sockopt::socket_error(&self.socket) {
                Ok(Ok(())) => self.connected = true,
                Ok(Err(_)) | Err(_) => return State::Lost,
            }
        }
        if self.unwritten() == 0 {
            return State::Open;
        }
        self.write(shared)
    }

    fn write(&mut self, shared: &mut Shared) -> State {
        while self.taken < self.outgoing.len() {
            let now = monotonic();
            match send(
                &self.socket,
                &self.outgoing[self.taken..],
                SendFlags::NOSIGNAL,
            ) {
                Ok(sent) => {
                    self.taken += sent;
                    self.written += sent as u64;
                    shared.measures.counts.bytes_written += sent as u64;
                    self.outstanding
                        .stamp_sent(self.written, now, &mut shared.measures);
                }
                Err(Errno::AGAIN) => return State::Open,
                Err(Errno::INTR) => {}
                Err(_) => return State::Lost,
            }
        }
        self.outgoing.clear();
        self.outgoing.shrink_to(KEPT);
        self.taken = 0;
        State::Open
    }

    /// Reads what has arrived; with `hangup`, up to the end of the stream.
    pub fn readable(&mut self, hangup: bool, shared: &mut Shared) -> State {
        loop {
            let (length, stamp) = match self.receive(&mut shared.incoming) {
                Ok((0, _)) => return State::Lost,
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return State::Open,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return State::Lost,
            };
            let now = monotonic();
            let received = stamp.map(|stamp| shared.wall_clock.monotonic(stamp, now));
            shared.measures.counts.bytes_read += length as u64;
            let incoming = std::mem::take(&mut shared.incoming);
            let framed = self.feed(&incoming[..length], (received, now), shared);
            let more = hangup || length == incoming.len();
            shared.incoming = incoming;
            if framed.is_err() {
                return State::Lost;
            }
            if self.send_deferred(shared) == State::Lost {
                return State::Lost;
            }
            if !more {
                return State::Open;
            }
        }
    }

    fn receive(&self, incoming: &mut [u8]) -> io::Result<(usize, Option<u64>)> {
        if self.stamped {
            return sys::receive_stamped(self.socket.as_fd(), incoming);
        }
        let (length, _) = recv(&self.socket, incoming, RecvFlags::empty())?;
        Ok((length, None))
    }

    fn feed(
        &mut self,
        mut bytes: &[u8],
        stamps: (Option<u64>, u64),
        shared: &mut Shared,
    ) -> Result<(), ParseError> {
        while !bytes.is_empty() {
            let taken = match self.value {
                Some(value) => self.skip_value(value, bytes.len(), stamps, shared),
                None if self.protocol == Protocol::Binary => {
                    self.feed_message(bytes, stamps, shared)?
                }
                None if self.line.is_empty() => self.feed_line(bytes, stamps, shared)?,
                None => self.join_line(bytes, stamps, shared)?,
            };
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    fn skip_value(
        &mut self,
        mut value: Value,
        length: usize,
        stamps: (Option<u64>, u64),
        shared: &mut Shared,
    ) -> usize {
        let taken = usize::try_from(value.left)
            .unwrap_or(usize::MAX)
            .min(length);
        value.left -= taken as u64;
        if value.left > 0 {
            self.value = Some(value);
            return taken;
        }
        self.value = None;
        if value.completes {
            self.outstanding.complete(&mut shared.measures, stamps);
        }
        taken
    }

    fn feed_line(
        &mut self,
        bytes: &[u8],
        stamps: (Option<u64>, u64),
        shared: &mut Shared,
    ) -> Result<usize, ParseError> {
        let Status::Complete { value, consumed } = response::parse(bytes)? else {
            self.line.extend_from_slice(bytes);
            return Ok(bytes.len());
        };
        self.take_answer(&value, stamps, shared);
        Ok(consumed)
    }

    fn take_answer(
        &mut self,
        response: &Response<'_>,
        stamps: (Option<u64>, u64),
        shared: &mut Shared,
    ) {
        let Shared {
            requests, measures, ..
        } = shared;
        let outstanding = &mut self.outstanding;
        if let Next::Value { left, completes } =
            outstanding.answer(response, requests, measures, stamps)
        {
            self.value = Some(Value { left, completes });
        }
    }

    /// Completes a line that came in two reads.
    fn join_line(
        &mut self,
        bytes: &[u8],
        stamps: (Option<u64>, u64),
        shared: &mut Shared,
    ) -> Result<usize, ParseError> {
        let taken = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(&bytes[..taken]);
        self.feed_line(&line, stamps, shared)?;
        if self.line.is_empty() {
            line.clear();
            self.line = line;
        }
        Ok(taken)
    }
}
