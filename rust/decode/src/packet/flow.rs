//! One connection's segments → both directions in order, and in the order in which each side knew of the other's.
//!
//! A segment's acknowledgement number says what its sender had received: a response is handed on behind the requests
//! its sender had, a request behind the responses. What neither captured nor sent again is given up after a while.

use std::net::SocketAddr;

use membench_event::Direction;

use super::found::{Bytes, Found};
use super::headers::Tcp;
use super::stream::{Repeated, Stream};

/// How long bytes that the other side has received, but the capture has not, are waited for, ns: captures mix up the
/// order of packets by far less.
const PATIENCE: u64 = 100_000_000;

/// One connection.
#[derive(Debug)]
pub(super) struct Flow {
    id: u64,
    client: SocketAddr,
    server: SocketAddr,
    /// When its first packet passed, ns.
    began: u64,
    mid_stream: bool,
    /// Sequence number of the client's SYN.
    initial: Option<u32>,
    announced: bool,
    request: Stream,
    response: Stream,
    /// Since when something waits that could have come, ns.
    blocked: Option<u64>,
    /// When payload passed last, ns.
    active: u64,
}

impl Flow {
    /// A connection whose first packet this is.
    pub(super) fn new(id: u64, client: SocketAddr, server: SocketAddr, tcp: &Tcp<'_>) -> Self {
        Self {
            id,
            client,
            server,
            began: tcp.time,
            mid_stream: !tcp.syn,
            initial: None,
            announced: false,
            request: Stream::default(),
            response: Stream::default(),
            blocked: None,
            active: tcp.time,
        }
    }

    /// The number by which it is told.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// When something passed last, ns.
    pub(super) fn active(&self) -> u64 {
        self.active
    }

    /// Whether any payload was handed on.
    pub(super) fn announced(&self) -> bool {
        self.announced
    }

    /// Bytes of memory that waiting segments take.
    pub(super) fn held(&self) -> usize {
        self.request.held() + self.response.held()
    }

    /// Since when it waits for bytes that could have come, ns.
    pub(super) fn blocked(&self) -> Option<u64> {
        self.blocked
    }

    /// Whether both directions have ended.
    pub(super) fn over(&self) -> bool {
        self.request.complete() && self.response.complete()
    }

    /// Whether this segment cannot be of this connection, but of a later one with the same addresses.
    pub(super) fn is_reused_by(&self, direction: Direction, tcp: &Tcp<'_>) -> bool {
        if direction == Direction::Request && tcp.syn {
            return self.initial != Some(tcp.sequence)
                && (self.initial.is_some() || self.announced);
        }
        if tcp.syn {
            let first = self.response.position(tcp.sequence.wrapping_add(1));
            return self.announced && self.response.started() && first != Some(0);
        }
        tcp.length > 0 && !tcp.rst && !self.stream(direction).plausible(tcp.sequence)
    }

    /// Whether a reset is one that its receiver accepts: within a window of what was sent.
    pub(super) fn accepts_reset(&self, direction: Direction, tcp: &Tcp<'_>) -> bool {
        self.stream(direction).near(tcp.sequence)
    }

    /// Whether this is a packet that was captured a moment ago.
    pub(super) fn is_copy(&mut self, direction: Direction, tcp: &Tcp<'_>) -> bool {
        self.stream_mut(direction).is_copy(tcp)
    }

    fn stream(&self, direction: Direction) -> &Stream {
        match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        }
    }

    fn stream_mut(&mut self, direction: Direction) -> &mut Stream {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    /// Takes one segment and hands on what can be.
    pub(super) fn take(
        &mut self,
        direction: Direction,
        tcp: &Tcp<'_>,
        emit: &mut impl FnMut(Found<'_>),
    ) -> Repeated {
        if direction == Direction::Request && tcp.syn {
            self.initial = Some(tcp.sequence);
        }
        let first = tcp.sequence.wrapping_add(tcp.syn.into());
        self.stream_mut(direction).start(first);
        let other = self.stream_mut(other(direction));
        let needs = tcp
            .acknowledgement
            .map_or(0, |sequence| other.acknowledge(sequence));
        let position = self.stream(direction).position(first);
        let mut repeated = Repeated::default();
        match position {
            None => repeated.bytes = tcp.length.into(),
            Some(position) => {
                if tcp.length > 0 {
                    repeated = self.place(direction, tcp, position, needs, emit);
                }
                if tcp.fin {
                    self.stream_mut(direction)
                        .end_at(position + u64::from(tcp.length));
                }
            }
        }
        self.advance(tcp.time, emit);
        repeated
    }

    /// Hands a segment on if it is its turn, else keeps it.
    fn place(
        &mut self,
        direction: Direction,
        tcp: &Tcp<'_>,
        position: u64,
        needs: u64,
        emit: &mut impl FnMut(Found<'_>),
    ) -> Repeated {
        let turn = needs <= self.stream(other(direction)).next();
        if turn && self.stream(direction).continues(position, tcp.length) {
            self.hand_on(direction, tcp.time, needs, tcp.payload, tcp.length, emit);
            return Repeated::default();
        }
        self.stream_mut(direction).keep(tcp, position, needs)
    }

    fn hand_on(
        &mut self,
        direction: Direction,
        time: u64,
        needs: u64,
        payload: &[u8],
        length: u32,
        emit: &mut impl FnMut(Found<'_>),
    ) {
        self.announce(time, emit);
        let (own, peer) = (self.stream(direction), self.stream(other(direction)));
        let received = own.acknowledged().is_none_or(|known| known >= own.next());
        let at_rest = received && needs >= peer.next();
        let offset = own.next();
        let (time, call) = self.stream_mut(direction).hand_on(length, time);
        let captured = payload.len().min(length as usize);
        emit(Found::Bytes(Bytes {
            flow: self.id,
            direction,
            offset,
            time,
            call,
            bytes: &payload[..captured],
            hole: length - u32::try_from(captured).unwrap_or(length),
            at_rest,
            pause: time.saturating_sub(self.active),
        }));
        self.active = self.active.max(time);
    }

    fn announce(&mut self, time: u64, emit: &mut impl FnMut(Found<'_>)) {
        if !self.announced {
            self.announced = true;
            emit(Found::Opened {
                flow: self.id,
                client: self.client,
                server: self.server,
                time: if self.mid_stream { time } else { self.began },
                mid_stream: self.mid_stream,
            });
        }
    }

    /// Hands on whatever can be, and notes since when the rest waits.
    fn advance(&mut self, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        let mut moved = false;
        while let Some(direction) = self.turn() {
            let next = self.stream_mut(direction).take();
            let Some(next) = next else { break };
            self.hand_on(
                direction,
                next.time,
                next.needs,
                &next.bytes,
                next.length,
                emit,
            );
            moved = true;
        }
        self.tell_ends(emit);
        if !self.waits_in_vain() {
            self.blocked = None;
        } else if moved {
            self.blocked = Some(now);
        } else {
            self.blocked.get_or_insert(now);
        }
    }

    /// Whose first waiting segment is next. Two that wait for each other: a request sent again repeats a new
    /// acknowledgement, so it was first.
    fn turn(&mut self) -> Option<Direction> {
        let (request, response) = (self.request.ready(), self.response.ready());
        match (request, response) {
            (Some(needs), _) if needs <= self.response.next() => Some(Direction::Request),
            (_, Some(needs)) if needs <= self.request.next() => Some(Direction::Response),
            (Some(_), Some(_)) => Some(Direction::Request),
            _ => None,
        }
    }

    /// Whether something waits for bytes that one side has received.
    fn waits_in_vain(&mut self) -> bool {
        self.request.ready().is_some()
            || self.response.ready().is_some()
            || [&self.request, &self.response]
                .into_iter()
                .any(acknowledged_beyond_gap)
    }

    /// Gives up bytes that are waited for too long, or at once.
    pub(super) fn give_up_late(&mut self, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        while self
            .blocked
            .is_some_and(|since| now.saturating_sub(since) >= PATIENCE)
        {
            if !self.give_up(false, now, emit) {
                self.blocked = None;
            }
        }
    }

    /// Gives up the first bytes that are missing; with `all`, also those that may be sent again yet. Whether there were
    /// any.
    pub(super) fn give_up(
        &mut self,
        all: bool,
        now: u64,
        emit: &mut impl FnMut(Found<'_>),
    ) -> bool {
        let Some((direction, end)) = self.missing(all) else {
            return false;
        };
        self.skip(direction, end, now, emit);
        self.advance(now, emit);
        true
    }

    /// Which bytes keep the rest waiting: the direction and where they end.
    fn missing(&mut self, all: bool) -> Option<(Direction, u64)> {
        for direction in [Direction::Request, Direction::Response] {
            if let Some(needs) = self.stream_mut(direction).ready() {
                let waited_for = self.stream(other(direction));
                let end = waited_for
                    .first_waiting()
                    .map_or(needs, |first| first.min(needs));
                return Some((other(direction), end.max(waited_for.next() + 1)));
            }
        }
        [Direction::Request, Direction::Response]
            .into_iter()
            .find_map(|direction| {
                let stream = self.stream(direction);
                let first = stream.first_waiting()?;
                (all || acknowledged_beyond_gap(stream)).then_some((direction, first))
            })
    }

    fn skip(&mut self, direction: Direction, end: u64, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        if self.stream_mut(direction).skip_to(end) == 0 {
            return;
        }
        self.announce(now, emit);
        let stream = self.stream(direction);
        emit(Found::Bytes(Bytes {
            flow: self.id,
            direction,
            offset: stream.next(),
            time: now,
            call: stream.calls,
            bytes: &[],
            hole: 0,
            at_rest: false,
            pause: 0,
        }));
    }

    fn tell_ends(&mut self, emit: &mut impl FnMut(Found<'_>)) {
        let flow = self.id;
        for direction in [Direction::Request, Direction::Response] {
            let announced = self.announced;
            let stream = self.stream_mut(direction);
            if stream.complete() && !stream.ended {
                stream.ended = true;
                if announced {
                    emit(Found::Ended { flow, direction });
                }
            }
        }
    }

    /// Hands on or gives up whatever waits: the connection or the capture is over.
    pub(super) fn finish(&mut self, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        while self.give_up(true, now, emit) {}
        for direction in [Direction::Request, Direction::Response] {
            if let Some(received) = self.stream(direction).acknowledged() {
                self.skip(direction, received, now, emit);
            }
        }
    }

    /// A side ends it at once: what waits is given up, then that side has ended.
    pub(super) fn reset_by(
        &mut self,
        direction: Direction,
        now: u64,
        emit: &mut impl FnMut(Found<'_>),
    ) {
        self.finish(now, emit);
        if self.announced && !self.stream(direction).ended {
            emit(Found::Ended {
                flow: self.id,
                direction,
            });
        }
    }

    /// Ends it.
    pub(super) fn close(mut self, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        self.finish(now, emit);
        if self.announced {
            emit(Found::Closed {
                flow: self.id,
                time: now,
                orderly: self.over(),
            });
        }
    }
}

fn other(direction: Direction) -> Direction {
    match direction {
        Direction::Request => Direction::Response,
        Direction::Response => Direction::Request,
    }
}

fn acknowledged_beyond_gap(stream: &Stream) -> bool {
    let first = stream.first_waiting();
    first.is_some_and(|first| stream.acknowledged().is_some_and(|known| known >= first))
}
