//! Packets → the connections of the ports that are followed, each in order, within bounds of memory.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use membench_event::Direction;

use super::Packet;
use super::flow::Flow;
use super::found::Found;
use super::headers::{self, Seen, Tcp};
use membench_event::Packets;

/// How long an ended connection is remembered, so that late packets of it begin no new one, ns.
const REMEMBERED: u64 = 10_000_000_000;
/// How long a connection without payload is, ns.
const EMPTY: u64 = 60_000_000_000;
/// How often connections are looked through for what waits too long, and for what is past, ns.
const SWEEPS: (u64, u64) = (50_000_000, 1_000_000_000);

type Key = (SocketAddr, SocketAddr);

/// How much may be remembered.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub flows: usize,
    /// Bytes that wait on one connection.
    pub flow_bytes: usize,
    /// Bytes that wait on all.
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

/// What could not be followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfollowed {
    /// Packets that the network cut up.
    pub fragments: u64,
    /// Packets of which too little was captured, or whose headers contradict themselves.
    pub unreadable: u64,
    /// Payload of UDP datagrams, bytes.
    pub udp: u64,
    /// Payload on connections beyond the limit, bytes.
    pub no_state: u64,
}

/// The connections.
#[derive(Debug, Default)]
pub struct Flows {
    ports: Vec<u16>,
    limits: Limits,
    open: HashMap<Key, Flow>,
    /// Those that wait for something.
    blocked: HashSet<Key>,
    /// Ended connections, and when.
    past: HashMap<Key, u64>,
    held: usize,
    next: u64,
    now: u64,
    swept: (u64, u64),
    packets: Packets,
    unfollowed: Unfollowed,
}

impl Flows {
    /// Of servers on these ports.
    pub fn new(ports: &[u16], limits: Limits) -> Self {
        Self {
            ports: ports.to_vec(),
            limits,
            ..Self::default()
        }
    }

    /// What the packets were.
    pub fn packets(&self) -> Packets {
        self.packets
    }

    /// What could not be followed.
    pub fn unfollowed(&self) -> Unfollowed {
        self.unfollowed
    }

    /// When the last packet passed, ns.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Takes one packet.
    pub fn take(&mut self, packet: &Packet<'_>, emit: &mut impl FnMut(Found<'_>)) {
        self.packets.taken += 1;
        match headers::parse(packet) {
            Seen::Tcp(tcp) => self.take_segment(&tcp, emit),
            Seen::Udp { ports, length } if self.concerns(ports) => self.unfollowed.udp += length,
            Seen::Fragment { ports: Some(ports) } if self.concerns(ports) => {
                self.unfollowed.fragments += 1;
            }
            Seen::Unreadable { ports } if ports.is_none_or(|ports| self.concerns(ports)) => {
                self.unfollowed.unreadable += 1;
            }
            Seen::Udp { .. } | Seen::Fragment { .. } | Seen::Unreadable { .. } | Seen::Other => {
                self.packets.other += 1;
            }
        }
        self.pass_to(packet.time, emit);
    }

    fn concerns(&self, (source, destination): (u16, u16)) -> bool {
        self.ports.contains(&source) || self.ports.contains(&destination)
    }

    fn take_segment(&mut self, tcp: &Tcp<'_>, emit: &mut impl FnMut(Found<'_>)) {
        let Some((direction, key)) = self.place(tcp) else {
            self.packets.other += 1;
            return;
        };
        self.packets.followed += 1;
        if self
            .open
            .get(&key)
            .is_some_and(|flow| flow.is_reused_by(direction, tcp))
        {
            self.packets.reused += 1;
            self.close(key, tcp.time, emit);
            self.past.remove(&key);
        }
        if self.begins(direction, key, tcp) {
            self.follow(direction, key, tcp, emit);
        }
    }

    /// Which direction of which connection a segment is of. Where both ports are followed, the side that was the
    /// server, or answers the first SYN, is.
    fn place(&self, tcp: &Tcp<'_>) -> Option<(Direction, Key)> {
        let (to, from) = ((tcp.source, tcp.destination), (tcp.destination, tcp.source));
        let to_server = self.ports.contains(&tcp.destination.port());
        let from_server = self.ports.contains(&tcp.source.port());
        let answers = self.open.contains_key(&from) || (tcp.syn && tcp.acknowledgement.is_some());
        match (to_server, from_server) {
            (true, true) if answers && !self.open.contains_key(&to) => {
                Some((Direction::Response, from))
            }
            (true, _) => Some((Direction::Request, to)),
            (false, true) => Some((Direction::Response, from)),
            (false, false) => None,
        }
    }

    /// Whether the segment's connection is followed; begins to if it is new.
    fn begins(&mut self, direction: Direction, key: Key, tcp: &Tcp<'_>) -> bool {
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
                .insert(key, Flow::new(self.next, key.0, key.1, tcp));
            self.next += 1;
        }
        true
    }

    fn follow(
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
                flow.reset_by(direction, tcp.time, emit);
                self.close(key, tcp.time, emit);
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
        self.packets.out_of_order += u64::from(repeated.out_of_order);
        self.make_room(key, tcp.time, emit);
        self.close_if_over(key, tcp.time, emit);
    }

    /// Gives up what a connection waits for while too much waits.
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

    /// The capture's clock has come to `now`, also where no packet passed: what waits too long is given up.
    pub fn pass_to(&mut self, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        self.now = self.now.max(now);
        let now = self.now;
        if now.saturating_sub(self.swept.0) >= SWEEPS.0 {
            self.swept.0 = now;
            self.give_up_late(now, emit);
        }
        if now.saturating_sub(self.swept.1) >= SWEEPS.1 {
            self.swept.1 = now;
            self.past
                .retain(|_, ended| now.saturating_sub(*ended) < REMEMBERED);
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

    /// Changes a connection, and keeps count of what waits.
    fn change<T>(&mut self, key: Key, change: impl FnOnce(&mut Flow) -> T) -> Option<T> {
        let flow = self.open.get_mut(&key)?;
        let before = flow.held();
        let result = change(flow);
        self.held = (self.held + flow.held()).saturating_sub(before);
        if flow.blocked().is_some() {
            self.blocked.insert(key);
        } else {
            self.blocked.remove(&key);
        }
        Some(result)
    }

    fn close_if_over(&mut self, key: Key, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        if self.open.get(&key).is_some_and(Flow::over) {
            self.close(key, now, emit);
        }
    }

    /// The capture is over: hands on or gives up whatever waits. Connections that have not ended stay open.
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
        }
    }
}
