//! UDP datagrams of the followed ports → those that are memcached's, in the order of their exchanges.
//!
//! Each datagram starts with a frame header of 8 bytes: the request's id, the datagram's index and the number of datagrams
//! in the message, and two bytes that are 0. A datagram of another protocol is told by that header and by what follows
//! it. A response captured before its request, or out of order, waits for what is missing as long as a segment would.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use membench_event::Direction;
use membench_protocol::binary::{REQUEST_MAGIC, RESPONSE_MAGIC};

use super::Ports;
use super::content;
use super::finding::{Datagram, Found};
use super::flow::GAP_TIMEOUT;
use super::headers::Udp;
use super::tracker::Key;

/// Bytes of the frame header.
const FRAME: usize = 8;
/// Most open requests that are remembered of a client.
const MOST_OPEN: usize = 32;
/// Most clients at once.
const MOST_CLIENTS: usize = 1 << 14;
/// Most servers at once.
const MOST_SERVERS: usize = 4096;
/// Time after which a silent client is forgotten, ns; the second one where there are too many.
const SILENCE: (u64, u64) = (60_000_000_000, 1_000_000_000);
/// Most responses that wait.
const MOST_WAITING: usize = 4096;
/// Number of recent datagrams that a new one is compared with, to find copies.
const REMEMBERED: usize = 16;
/// Time within which a copy is captured, ns.
const COPY_WITHIN: u64 = 10_000_000;

/// The fate of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is memcached's.
    Followed,
    /// It was captured a moment ago.
    Copy,
    /// It is another protocol's.
    Foreign,
    /// Its frame header was not captured.
    Unreadable,
    /// There are too many clients or servers.
    NoState,
}

/// Frame header.
#[derive(Clone, Copy, Debug)]
struct Frame {
    id: u16,
    sequence: u16,
    total: u16,
    /// The two last bytes.
    reserved: u16,
}

impl Frame {
    fn read(payload: &[u8]) -> Option<Self> {
        let frame = payload.first_chunk::<FRAME>()?;
        let number = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        Some(Self {
            id: number(0),
            sequence: number(2),
            total: number(4),
            reserved: number(6),
        })
    }

    /// True if the numbers can be memcached's.
    fn is_possible(self) -> bool {
        self.sequence < self.total && self.reserved == 0
    }
}

/// An open request: the place of its next response.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    id: u16,
    next: u16,
    total: u16,
    /// True if the request was captured more than once, so its responses may be, too.
    is_repeated: bool,
}

impl Exchange {
    /// True once a response was captured.
    fn is_answered(self) -> bool {
        self.total > 0
    }

    /// True if the next datagram of the response has this header. Each command's response is numbered from 0.
    fn continues_with(self, frame: Frame) -> bool {
        if frame.sequence == 0 {
            self.next == self.total
        } else {
            self.next == frame.sequence && self.total == frame.total
        }
    }
}

/// A client of a server.
#[derive(Debug, Default)]
struct Client {
    /// Open requests, oldest first.
    open: VecDeque<Exchange>,
    /// Time of the latest datagram, ns.
    active: u64,
}

/// A response that waits for the one before it, or for its request.
#[derive(Debug)]
struct Waiting {
    key: Key,
    frame: Frame,
    time: u64,
    bytes: Vec<u8>,
    hole: u32,
}

/// The exchanges of every client with every server.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    /// Number of each server's socket.
    sockets: HashMap<SocketAddr, u64>,
    clients: HashMap<Key, Client>,
    /// Responses that wait, oldest first.
    waiting: VecDeque<Waiting>,
    /// Hashes and times of recent datagrams.
    recent: VecDeque<(u64, u64)>,
    /// Time at which silent clients were last forgotten to make room, ns.
    room_made: u64,
}

impl Datagrams {
    /// Takes a datagram from or to a followed port. `next` is the number of the next connection.
    pub(super) fn take(
        &mut self,
        udp: &Udp<'_>,
        ports: &Ports,
        next: &mut u64,
        emit: &mut impl FnMut(Found<'_>),
    ) -> Taken {
        let Some(frame) = Frame::read(udp.payload) else {
            // memcached ignores datagrams this short.
            return if udp.length as usize > FRAME {
                Taken::Unreadable
            } else {
                Taken::Foreign
            };
        };
        let Some((direction, key)) = self.locate(udp, frame, ports) else {
            return Taken::Foreign;
        };
        if self.is_repeated(udp) && self.is_copy(direction, key, frame.id) {
            return Taken::Copy;
        }
        if !self.clients.contains_key(&key) && self.clients.len() >= MOST_CLIENTS {
            if udp.time.saturating_sub(self.room_made) >= SILENCE.1 {
                self.room_made = udp.time;
                self.forget_silent(udp.time, SILENCE.1, emit);
            }
            if self.clients.len() >= MOST_CLIENTS {
                return Taken::NoState;
            }
        }
        if !self.sockets.contains_key(&key.1) && self.sockets.len() >= MOST_SERVERS {
            return Taken::NoState;
        }
        let client = self.clients.entry(key).or_default();
        client.active = client.active.max(udp.time);
        self.sockets.entry(key.1).or_insert_with(|| {
            *next += 1;
            *next - 1
        });
        let hole = udp.length - u32::try_from(udp.payload.len()).unwrap_or(udp.length);
        let waiting = Waiting {
            key,
            frame,
            time: udp.time,
            bytes: udp.payload.to_vec(),
            hole,
        };
        match direction {
            Direction::Request => self.request(&waiting, emit),
            Direction::Response => self.response(waiting, emit),
        }
        Taken::Followed
    }

    /// Returns the direction and the addresses of a datagram; `None` if it is another protocol's.
    fn locate(&self, udp: &Udp<'_>, frame: Frame, ports: &Ports) -> Option<(Direction, Key)> {
        let (to, from) = ((udp.source, udp.destination), (udp.destination, udp.source));
        let content = udp.payload.get(FRAME..).unwrap_or_default();
        let is_any = *ports == Ports::Any;
        if self.clients.contains_key(&from) && frame.is_possible() {
            return Some((Direction::Response, from));
        }
        if ports.contains(udp.destination.port()) {
            let is_request = content::begins_requests(content)
                || (!is_any && frame.is_possible() && may_be_request(content));
            if is_request && (!is_any || frame.is_possible()) {
                return Some((Direction::Request, to));
            }
        }
        let is_response = !is_any
            && ports.contains(udp.source.port())
            && frame.is_possible()
            && (frame.sequence > 0 || may_be_response(content));
        is_response.then_some((Direction::Response, from))
    }

    /// True if an equal datagram was captured a moment ago. Remembers this one.
    fn is_repeated(&mut self, udp: &Udp<'_>) -> bool {
        let mut hasher = DefaultHasher::new();
        (udp.source, udp.destination, udp.identification).hash(&mut hasher);
        udp.payload.hash(&mut hasher);
        let mark = hasher.finish();
        let is_repeated = self
            .recent
            .iter()
            .any(|(known, time)| *known == mark && udp.time.abs_diff(*time) <= COPY_WITHIN);
        if !is_repeated {
            if self.recent.len() >= REMEMBERED {
                self.recent.pop_front();
            }
            self.recent.push_back((mark, udp.time));
        }
        is_repeated
    }

    /// True if a datagram that is equal to an earlier one is the same, captured twice. Equal datagrams are also sent: few
    /// have an identification of their own. A request is asked again only after an answer, and a capture that has no
    /// request twice has no answer twice.
    fn is_copy(&mut self, direction: Direction, key: Key, id: u16) -> bool {
        let Some(exchange) = self.exchange(key, id) else {
            return false;
        };
        if direction == Direction::Request && !exchange.is_answered() {
            exchange.is_repeated = true;
        }
        exchange.is_repeated && (direction == Direction::Response || !exchange.is_answered())
    }

    fn request(&mut self, request: &Waiting, emit: &mut impl FnMut(Found<'_>)) {
        let Waiting { key, frame, .. } = *request;
        self.emit(Direction::Request, request, emit);
        if let Some(Client { open, .. }) = self.clients.get_mut(&key) {
            open.retain(|one| one.id != frame.id);
            if open.len() >= MOST_OPEN {
                open.pop_front();
            }
            open.push_back(Exchange {
                id: frame.id,
                next: 0,
                total: 0,
                is_repeated: false,
            });
        }
        self.release_next(key, frame.id, emit);
    }

    fn response(&mut self, response: Waiting, emit: &mut impl FnMut(Found<'_>)) {
        let Waiting { key, frame, .. } = response;
        let exchange = self.exchange(key, frame.id);
        if exchange.is_some_and(|exchange| exchange.continues_with(frame)) {
            self.hand_on(&response, emit);
            self.release_next(key, frame.id, emit);
            return;
        }
        if self.waiting.len() >= MOST_WAITING
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.hand_on(&oldest, emit);
        }
        self.waiting.push_back(response);
    }

    fn exchange(&mut self, key: Key, id: u16) -> Option<&mut Exchange> {
        let client = self.clients.get_mut(&key)?;
        client.open.iter_mut().rev().find(|one| one.id == id)
    }

    /// Hands on a response, whatever its place.
    fn hand_on(&mut self, response: &Waiting, emit: &mut impl FnMut(Found<'_>)) {
        let frame = response.frame;
        if let Some(exchange) = self.exchange(response.key, frame.id) {
            exchange.next = frame.sequence.wrapping_add(1);
            exchange.total = frame.total;
        }
        self.emit(Direction::Response, response, emit);
    }

    /// Hands on the responses to a request that waited for the one before them.
    fn release_next(&mut self, key: Key, id: u16, emit: &mut impl FnMut(Found<'_>)) {
        loop {
            let Some(exchange) = self.exchange(key, id).copied() else {
                return;
            };
            let place = self.waiting.iter().position(|one| {
                one.key == key && one.frame.id == id && exchange.continues_with(one.frame)
            });
            let Some(next) = place.and_then(|place| self.waiting.remove(place)) else {
                return;
            };
            self.hand_on(&next, emit);
        }
    }

    /// Hands on the responses that have waited long enough at `now`, ns.
    pub(super) fn release(&mut self, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        while let Some(oldest) = self.waiting.front()
            && now.saturating_sub(oldest.time) >= GAP_TIMEOUT
        {
            let Some(oldest) = self.waiting.pop_front() else {
                return;
            };
            let (key, id) = (oldest.key, oldest.frame.id);
            self.hand_on(&oldest, emit);
            self.release_next(key, id, emit);
        }
    }

    /// Forgets the clients that have been silent long enough at `now`, ns.
    pub(super) fn forget(&mut self, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        self.forget_silent(now, SILENCE.0, emit);
    }

    fn forget_silent(&mut self, now: u64, silence: u64, emit: &mut impl FnMut(Found<'_>)) {
        let sockets = &self.sockets;
        self.clients.retain(|(client, server), known| {
            let is_silent = now.saturating_sub(known.active) >= silence;
            if let (true, Some(socket)) = (is_silent, sockets.get(server)) {
                emit(Found::Left {
                    socket: *socket,
                    client: *client,
                });
            }
            !is_silent
        });
    }

    fn emit(&self, direction: Direction, datagram: &Waiting, emit: &mut impl FnMut(Found<'_>)) {
        let (client, server) = datagram.key;
        emit(Found::Datagram(Datagram {
            socket: self.sockets.get(&server).copied().unwrap_or(u64::MAX),
            client,
            server,
            direction,
            time: datagram.time,
            bytes: &datagram.bytes,
            hole: datagram.hole,
        }));
    }
}

/// True if memcached would take this for a request, if only to refuse it.
fn may_be_request(content: &[u8]) -> bool {
    matches!(content.first(), Some(first) if *first == REQUEST_MAGIC || first.is_ascii_graphic())
}

/// True if memcached's responses can begin so.
fn may_be_response(content: &[u8]) -> bool {
    matches!(
        content.first(),
        Some(first) if *first == RESPONSE_MAGIC || first.is_ascii_uppercase() || first.is_ascii_digit()
    )
}
