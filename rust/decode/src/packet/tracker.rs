//! Packets → the connections of the followed ports, each reassembled in order, within bounded memory.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use membench_event::{Direction, Packets};

use super::content;
use super::datagrams::{Datagrams, Taken};
use super::finding::Found;
use super::flow::{Flow, Judgement};
use super::headers::{self, Parsed, Seen, Tcp};
use super::sightings::Sightings;
use super::{Packet, Ports};

/// Time for which an ended connection is remembered, ns, so that its late packets do not start a new one.
const REMEMBERED: u64 = 10_000_000_000;
/// Time for which a connection without payload is kept, ns.
const EMPTY: u64 = 60_000_000_000;
/// Time for which a connection of another protocol is remembered after its last packet, ns.
const FOREIGN: u64 = 3_600_000_000_000;
/// Interval of the search for gaps that have waited too long, ns.
const GAP_SWEEP: u64 = 50_000_000;
/// Interval of the search for ended and empty connections to forget, ns.
const FORGET_SWEEP: u64 = 1_000_000_000;

/// Addresses of a connection: client, server.
pub(super) type Key = (SocketAddr, SocketAddr);

/// Bounds of the memory that [`Flows`] uses.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at once.
    pub flows: usize,
    /// Most bytes that wait on one connection.
    pub flow_bytes: usize,
    /// Most bytes that wait on all connections together.
    pub total_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: 1 << 17,
            flow_bytes: 4 << 20,
            total_bytes: 128 << 20,
        }
    }
}

/// Counts of traffic on followed ports that could not be reassembled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfollowed {
    /// Packets that the network fragmented.
    pub fragments: u64,
    /// Packets with too few captured bytes or contradictory headers.
    pub unreadable: u64,
    /// Payload of UDP datagrams whose frame header was not captured, bytes.
    pub udp: u64,
    /// Payload on connections beyond [`Limits::flows`], bytes.
    pub no_state: u64,
}

/// Reassembles the TCP connections of servers on followed ports.
///
/// ```
/// use membench_decode::packet::{Flows, Found, Limits, Link, Packet};
///
/// // `get a` from 10.0.0.1:40000 to 10.0.0.2:11211, first seen in the middle of the connection.
/// let ip = [0x45, 0, 0, 47, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
/// let tcp = [0x9c, 0x40, 0x2b, 0xcb, 0, 0, 0, 100, 0, 0, 1, 0, 0x50, 0x18, 255, 255, 0, 0, 0, 0];
/// let bytes = [&ip[..], &tcp, b"get a\r\n"].concat();
/// let packet = Packet { time: 5, link: Link::Raw, bytes: &bytes, length: 47, way: None };
///
/// let mut flows = Flows::new(&[11211], Limits::default());
/// let mut requests = Vec::new();
/// let mut take = |found: Found<'_>| match found {
///     Found::Opened { server, mid_stream, .. } => {
///         assert_eq!((server.port(), mid_stream), (11211, true));
///     }
///     Found::Bytes(payload) => requests.extend_from_slice(payload.bytes),
///     Found::Ended { .. } | Found::Closed { .. } => unreachable!("no FIN and no RST"),
///     Found::Datagram(_) | Found::Left { .. } => unreachable!("no UDP"),
/// };
/// flows.take(&packet, &mut take);
/// // Without a handshake, earlier bytes are waited for.
/// flows.finish(&mut take);
/// assert_eq!(requests, b"get a\r\n");
/// assert_eq!(flows.packets().followed, 1);
/// ```
#[derive(Debug, Default)]
pub struct Flows {
    ports: Ports,
    limits: Limits,
    open: HashMap<Key, Flow>,
    /// Connections for which something is due once time has passed.
    blocked: HashSet<Key>,
    /// Connections that are no memcached's, by both ends as first seen, and the time of their last packet, ns.
    foreign: HashMap<Key, u64>,
    datagrams: Datagrams,
    sightings: Sightings,
    /// Ended connections and the time of their end, ns.
    past: HashMap<Key, u64>,
    /// Memory of waiting segments on all connections, bytes.
    held: usize,
    /// Number of the next connection.
    next: u64,
    /// Time of the last packet, ns.
    now: u64,
    /// Time of the last search for gaps, ns.
    gaps_swept: u64,
    /// Time of the last search for connections to forget, ns.
    past_swept: u64,
    packets: Packets,
    unfollowed: Unfollowed,
}

impl Flows {
    /// Follows servers on these ports.
    pub fn new(ports: &[u16], limits: Limits) -> Self {
        Self::following(Ports::Of(ports.to_vec()), limits)
    }

    /// Follows servers on some ports, or on any.
    pub fn following(ports: Ports, limits: Limits) -> Self {
        Self {
            ports,
            limits,
            ..Self::default()
        }
    }

    /// The traffic that is not followed.
    pub fn sightings(&self) -> &Sightings {
        &self.sightings
    }

    /// Counts of packets by kind.
    pub fn packets(&self) -> Packets {
        self.packets
    }

    /// Counts of traffic that could not be reassembled.
    pub fn unfollowed(&self) -> Unfollowed {
        self.unfollowed
    }

    /// Time of the last packet, or of a later [`advance_to`](Self::advance_to), ns.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Takes one packet and emits what it completes.
    pub fn take(&mut self, packet: &Packet<'_>, emit: &mut impl FnMut(Found<'_>)) {
        self.packets.taken += 1;
        let Parsed { seen, inside } = headers::parse(packet);
        if let Some(encapsulation) = inside {
            self.packets.encapsulated += 1;
            self.sightings.note_encapsulation(encapsulation);
        }
        match seen {
            Seen::Tcp(tcp) => self.take_segment(&tcp, emit),
            Seen::Udp(udp) => self.take_datagram(&udp, emit),
            Seen::Fragment { ports: Some(ports) } if self.concerns(ports) => {
                self.unfollowed.fragments += 1;
            }
            Seen::Unreadable { ports } if ports.is_none_or(|ports| self.concerns(ports)) => {
                self.unfollowed.unreadable += 1;
            }
            Seen::Fragment { .. } | Seen::Unreadable { .. } | Seen::Other => {
                self.packets.other += 1;
            }
        }
        self.advance_to(packet.time, emit);
    }

    fn concerns(&self, (source, destination): (u16, u16)) -> bool {
        self.ports.contains(source) || self.ports.contains(destination)
    }

    fn take_datagram(&mut self, udp: &headers::Udp<'_>, emit: &mut impl FnMut(Found<'_>)) {
        if !self.concerns((udp.source.port(), udp.destination.port())) {
            self.packets.other += 1;
            self.sightings.note_udp(udp);
            return;
        }
        self.packets.cut += u64::from(is_cut(udp.payload, udp.length));
        let taken = self.datagrams.take(udp, &self.ports, &mut self.next, emit);
        match taken {
            Taken::Followed => self.packets.datagrams += 1,
            Taken::Copy => self.packets.duplicates += 1,
            Taken::Unreadable => self.unfollowed.udp += u64::from(udp.length),
            Taken::NoState => self.unfollowed.no_state += u64::from(udp.length),
            Taken::Foreign => {
                self.packets.foreign += 1;
                self.sightings.note_udp(udp);
            }
        }
    }

    fn take_segment(&mut self, tcp: &Tcp<'_>, emit: &mut impl FnMut(Found<'_>)) {
        let Some((direction, key, judgement)) = self.locate(tcp) else {
            self.packets.other += 1;
            self.sightings.note_tcp(tcp);
            return;
        };
        self.packets.followed += 1;
        self.packets.cut += u64::from(is_cut(tcp.payload, tcp.length));
        if self
            .open
            .get(&key)
            .is_some_and(|flow| flow.is_reused_by(direction, tcp))
        {
            self.packets.reused += 1;
            self.close(key, tcp.time, emit);
            self.past.remove(&key);
        }
        if self.track(direction, key, judgement, tcp) {
            self.reassemble(direction, key, tcp, emit);
        }
    }

    /// Returns the direction and the connection of a segment; `None` if it is not followed.
    ///
    /// A SYN tells who is the server. Without one it is the side that it was before, or the one whose port is followed.
    fn locate(&mut self, tcp: &Tcp<'_>) -> Option<(Direction, Key, Judgement)> {
        let (to, from) = ((tcp.source, tcp.destination), (tcp.destination, tcp.source));
        let to_server = self.ports.contains(tcp.destination.port());
        let from_server = self.ports.contains(tcp.source.port());
        if !to_server && !from_server {
            return None;
        }
        let found = if tcp.syn {
            let opens = tcp.acknowledgement.is_none();
            let (direction, key, is_followed) = if opens {
                (Direction::Request, to, to_server)
            } else {
                (Direction::Response, from, from_server)
            };
            if !is_followed {
                self.turn_away((key.1, key.0), tcp.time);
                return None;
            }
            if opens {
                self.foreign.remove(&key);
            }
            Some((direction, key))
        } else if self.open.contains_key(&to) {
            Some((Direction::Request, to))
        } else if self.open.contains_key(&from) {
            Some((Direction::Response, from))
        } else {
            None
        };
        let is_foreign = [to, from].into_iter().any(|key| {
            let known = self.foreign.get_mut(&key);
            known.map(|last| *last = tcp.time).is_some()
        });
        if is_foreign {
            return None;
        }
        let Ports::Any = self.ports else {
            let by_port = if to_server {
                (Direction::Request, to)
            } else {
                (Direction::Response, from)
            };
            let (direction, key) = found.unwrap_or(by_port);
            return Some((direction, key, Judgement::Followed));
        };
        match found {
            Some((direction, key)) => Some((direction, key, Judgement::Due)),
            None if self.past.contains_key(&to) => Some((Direction::Request, to, Judgement::Due)),
            None if self.past.contains_key(&from) => {
                Some((Direction::Response, from, Judgement::Due))
            }
            None => content::begins_requests(tcp.payload).then_some((
                Direction::Request,
                to,
                Judgement::Followed,
            )),
        }
    }

    /// Remembers that a connection is no memcached's, and forgets what was kept of it.
    fn turn_away(&mut self, key: Key, now: u64) {
        if let Some(flow) = self.open.remove(&key) {
            self.held = self.held.saturating_sub(flow.held());
            self.blocked.remove(&key);
        }
        if self.foreign.len() < self.limits.flows {
            self.foreign.insert(key, now);
        }
    }

    /// Starts to track the connection of a segment if it is new. Returns false if the segment is to be ignored.
    fn track(
        &mut self,
        direction: Direction,
        key: Key,
        judgement: Judgement,
        tcp: &Tcp<'_>,
    ) -> bool {
        if self.open.contains_key(&key) {
            return true;
        }
        let length = u64::from(tcp.length);
        let opens = tcp.syn && !tcp.rst;
        if !opens && (length == 0 || self.past.contains_key(&key)) {
            self.packets.retransmitted_bytes += length;
            return false;
        }
        if self.open.len() >= self.limits.flows {
            self.unfollowed.no_state += length;
            return false;
        }
        if direction == Direction::Request || tcp.length > 0 || tcp.syn {
            self.past.remove(&key);
            self.open
                .insert(key, Flow::new(self.next, key, judgement, tcp));
            self.next += 1;
        }
        true
    }

    fn reassemble(
        &mut self,
        direction: Direction,
        key: Key,
        tcp: &Tcp<'_>,
        emit: &mut impl FnMut(Found<'_>),
    ) {
        let Some(flow) = self.open.get_mut(&key) else {
            return;
        };
        if flow.is_copy(direction, tcp) {
            self.packets.duplicates += 1;
            return;
        }
        if tcp.rst {
            if flow.accepts_reset(direction, tcp) {
                self.change(key, |flow| flow.reset_by(direction, tcp.time));
            }
            return;
        }
        let repeated = self.change(key, |flow| {
            let repeated = flow.take(direction, tcp, emit);
            flow.give_up_late(tcp.time, emit);
            repeated
        });
        let repeated = repeated.unwrap_or_default();
        self.packets.retransmitted_bytes += repeated.bytes;
        self.packets.out_of_order += repeated.out_of_order;
        self.make_room(key, tcp.time, emit);
        self.close_if_over(key, tcp.time, emit);
    }

    /// Gives up gaps of a connection until the bytes that wait are within the limits.
    fn make_room(&mut self, key: Key, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        let Limits {
            flow_bytes,
            total_bytes,
            ..
        } = self.limits;
        while self
            .open
            .get(&key)
            .is_some_and(|flow| flow.held() > flow_bytes)
            || (self.held > total_bytes && self.open.get(&key).is_some_and(|flow| flow.held() > 0))
        {
            if self.change(key, |flow| flow.give_up(true, now, emit)) != Some(true) {
                break;
            }
        }
    }

    fn close(&mut self, key: Key, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        if let Some(flow) = self.open.remove(&key) {
            self.held = self.held.saturating_sub(flow.held());
            self.blocked.remove(&key);
            self.past.insert(key, now);
            flow.close(now, emit);
        }
    }

    /// Advances the capture's clock to `now`, with or without a packet, and gives up gaps that have waited too long.
    pub fn advance_to(&mut self, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        self.now = self.now.max(now);
        let now = self.now;
        if now.saturating_sub(self.gaps_swept) >= GAP_SWEEP {
            self.gaps_swept = now;
            self.give_up_late(now, emit);
            self.datagrams.release(now, emit);
        }
        if now.saturating_sub(self.past_swept) >= FORGET_SWEEP {
            self.past_swept = now;
            self.past
                .retain(|_, ended| now.saturating_sub(*ended) < REMEMBERED);
            self.foreign
                .retain(|_, last| now.saturating_sub(*last) < FOREIGN);
            self.datagrams.forget(now, emit);
            self.open
                .retain(|_, flow| flow.announced() || now.saturating_sub(flow.active()) < EMPTY);
        }
    }

    fn give_up_late(&mut self, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        let blocked: Vec<Key> = self.blocked.iter().copied().collect();
        for key in blocked {
            self.change(key, |flow| {
                flow.give_up_late(now, emit);
            });
            self.close_if_over(key, now, emit);
        }
    }

    /// Changes a connection and updates the count of waiting bytes and the set of blocked connections.
    fn change<T>(&mut self, key: Key, change: impl FnOnce(&mut Flow) -> T) -> Option<T> {
        let flow = self.open.get_mut(&key)?;
        let before = flow.held();
        let result = change(flow);
        self.held = (self.held + flow.held()).saturating_sub(before);
        if flow.waits() {
            self.blocked.insert(key);
        } else {
            self.blocked.remove(&key);
        }
        Some(result)
    }

    /// Closes a connection that has ended, and forgets one that has turned out to be another protocol's.
    fn close_if_over(&mut self, key: Key, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        match self.open.get(&key) {
            Some(flow) if flow.is_foreign() => self.turn_away(key, now),
            Some(flow) if flow.over() || flow.is_reset_settled(now) => self.close(key, now, emit),
            _ => {}
        }
    }

    /// Hands on or gives up all that waits, at the end of the capture. Connections that have not ended stay open.
    pub fn finish(&mut self, emit: &mut impl FnMut(Found<'_>)) {
        let mut left: Vec<(u64, Key)> = self
            .open
            .iter()
            .map(|(key, flow)| (flow.id(), *key))
            .collect();
        left.sort_unstable();
        let now = self.now;
        for (_, key) in left {
            self.change(key, |flow| flow.finish(now, emit));
            self.close_if_over(key, now, emit);
            if self.open.get(&key).is_some_and(Flow::was_reset) {
                self.close(key, now, emit);
            }
        }
        self.datagrams.release(u64::MAX, emit);
    }
}

/// True if fewer bytes were captured than the packet had.
fn is_cut(captured: &[u8], length: u32) -> bool {
    captured.len() < length as usize
}
