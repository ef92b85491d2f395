//! One connection's TCP segments → the payload of both directions: each in order, and both in causal order.
//!
//! The acknowledgement number of a segment shows what its sender had received. A response is therefore handed on after
//! the requests that its sender had received, and a request after the responses. Bytes that were neither captured nor
//! retransmitted are given up after [`GAP_TIMEOUT`]. For as long, segments wait for the handshake, which tells where both
//! directions begin, and a connection that was reset for what was sent before.

use std::net::SocketAddr;

use membench_event::Direction;

use super::content;
use super::early::Early;
use super::finding::{Bytes, Found};
use super::headers::Tcp;
use super::stream::{Payload, Repeated, Stream};

/// Wait for bytes that the other side has received but the capture lacks, ns. Captures reorder packets by far less.
pub(super) const GAP_TIMEOUT: u64 = 100_000_000;

/// One connection being reassembled.
#[derive(Debug)]
pub(super) struct Flow {
    id: u64,
    client: SocketAddr,
    server: SocketAddr,
    /// Time of the first packet, ns.
    first_packet: u64,
    mid_stream: bool,
    /// Sequence number of the client's SYN, if known.
    initial: Option<u32>,
    /// Segments that wait for the handshake; `None` once both directions have begun.
    early: Option<Early>,
    /// Direction of the reset that ended the connection, and its time, ns.
    reset: Option<(Direction, u64)>,
    /// Judgement of the connection by what its client sends first.
    judgement: Judgement,
    /// True once [`Found::Opened`] was emitted.
    announced: bool,
    request: Stream,
    response: Stream,
    /// Start of the wait for bytes that one side has received but the capture lacks, ns.
    blocked: Option<u64>,
    /// Time of the last payload, ns.
    active: u64,
    /// Latest time of its packets, ns. They may be captured out of order.
    latest: u64,
}

/// Judgement of a connection by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The client's first bytes tell if it speaks to a memcached.
    Due,
    /// It is followed: its server's port was asked for, or its content has told.
    Followed,
    /// It is another protocol's.
    Foreign,
}

impl Flow {
    /// Starts a connection at its first packet.
    pub(super) fn new(
        id: u64,
        (client, server): (SocketAddr, SocketAddr),
        judgement: Judgement,
        tcp: &Tcp<'_>,
    ) -> Self {
        Self {
            id,
            client,
            server,
            first_packet: tcp.time,
            mid_stream: true,
            initial: None,
            early: Some(Early::new(tcp.time)),
            reset: None,
            judgement,
            announced: false,
            request: Stream::default(),
            response: Stream::default(),
            blocked: None,
            active: tcp.time,
            latest: tcp.time,
        }
    }

    /// Number of the connection.
    #[inline]
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Time of the last payload, or of the first packet if there was none, ns.
    #[inline]
    pub(super) fn active(&self) -> u64 {
        self.active
    }

    /// True once payload or a gap was handed on.
    #[inline]
    pub(super) fn announced(&self) -> bool {
        self.announced
    }

    /// Memory of waiting segments, bytes.
    #[inline]
    pub(super) fn held(&self) -> usize {
        let early = self.early.as_ref().map_or(0, Early::held);
        self.request.held() + self.response.held() + early
    }

    /// True if something is due once time has passed: a handshake, bytes that one side has received but the capture
    /// lacks, or the end of a connection that was reset.
    #[inline]
    pub(super) fn waits(&self) -> bool {
        self.blocked.is_some() || self.early.is_some() || self.reset.is_some()
    }

    /// True if it has turned out to be another protocol's.
    #[inline]
    pub(super) fn is_foreign(&self) -> bool {
        self.judgement == Judgement::Foreign
    }

    /// True if both directions have ended.
    #[inline]
    pub(super) fn over(&self) -> bool {
        self.request.complete() && self.response.complete()
    }

    /// True if the connection was reset.
    #[inline]
    pub(super) fn was_reset(&self) -> bool {
        self.reset.is_some()
    }

    /// True if the connection was reset long enough ago, at `now`, ns.
    #[inline]
    pub(super) fn is_reset_settled(&self, now: u64) -> bool {
        self.reset
            .is_some_and(|(_, time)| now.saturating_sub(time) >= GAP_TIMEOUT)
    }

    /// True if the segment can only belong to a later connection with the same addresses.
    pub(super) fn is_reused_by(&self, direction: Direction, tcp: &Tcp<'_>) -> bool {
        if let Some(early) = &self.early {
            return tcp.syn && !early.may_follow(direction, tcp.sequence);
        }
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

    /// True if the receiver accepts this reset: its sequence number is within a window of what was sent.
    pub(super) fn accepts_reset(&self, direction: Direction, tcp: &Tcp<'_>) -> bool {
        self.stream(direction).near(tcp.sequence)
    }

    /// True if the same packet was captured a moment ago. Remembers this one.
    pub(super) fn is_copy(&mut self, direction: Direction, tcp: &Tcp<'_>) -> bool {
        self.stream_mut(direction).is_copy(tcp)
    }

    #[inline]
    fn stream(&self, direction: Direction) -> &Stream {
        match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        }
    }

    #[inline]
    fn stream_mut(&mut self, direction: Direction) -> &mut Stream {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    /// Takes one segment and hands on all payload that is in order.
    pub(super) fn take(
        &mut self,
        direction: Direction,
        tcp: &Tcp<'_>,
        emit: &mut impl FnMut(Found<'_>),
    ) -> Repeated {
        let Some(early) = &mut self.early else {
            return self.take_in_order(direction, tcp, emit);
        };
        early.keep(direction, tcp);
        if early.is_complete() {
            self.begin(tcp.time, emit)
        } else {
            Repeated::default()
        }
    }

    /// Begins both directions where the segments so far say, and takes these.
    fn begin(&mut self, now: u64, emit: &mut impl FnMut(Found<'_>)) -> Repeated {
        let mut repeated = Repeated::default();
        let Some(early) = self.early.take() else {
            return repeated;
        };
        self.initial = early.initial();
        self.mid_stream = self.initial.is_none() && !early.has_answered();
        for direction in [Direction::Request, Direction::Response] {
            if let Some(origin) = early.origin(direction) {
                self.stream_mut(direction).start(origin);
            }
        }
        early.each(|direction, tcp| repeated.add(self.take_in_order(direction, tcp, emit)));
        self.advance(now, emit);
        repeated
    }

    fn take_in_order(
        &mut self,
        direction: Direction,
        tcp: &Tcp<'_>,
        emit: &mut impl FnMut(Found<'_>),
    ) -> Repeated {
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
                    let payload = Payload::new(tcp, needs);
                    repeated = self.place(direction, position, payload, emit);
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

    /// Hands payload on if its turn has come, else keeps it.
    fn place(
        &mut self,
        direction: Direction,
        position: u64,
        payload: Payload<'_>,
        emit: &mut impl FnMut(Found<'_>),
    ) -> Repeated {
        let turn = self.stream(other(direction)).reaches(payload.needs);
        if turn && self.stream(direction).continues(position, payload.length) {
            self.hand_on(direction, payload, emit);
            return Repeated::default();
        }
        self.stream_mut(direction).keep(position, payload)
    }

    fn hand_on(
        &mut self,
        direction: Direction,
        payload: Payload<'_>,
        emit: &mut impl FnMut(Found<'_>),
    ) {
        let Payload { bytes, length, .. } = payload;
        if self.judgement != Judgement::Followed && !self.judge(direction, bytes) {
            self.stream_mut(direction).hand_on(length, payload.time);
            return;
        }
        self.announce(payload.time, emit);
        let (own, peer) = (self.stream(direction), self.stream(other(direction)));
        let received = own.acknowledged().is_none_or(|known| known >= own.next());
        let at_rest = received && payload.needs >= peer.next();
        let offset = own.next();
        let (time, call) = self.stream_mut(direction).hand_on(length, payload.time);
        let captured = bytes.len().min(length as usize);
        emit(Found::Bytes(Bytes {
            flow: self.id,
            direction,
            offset,
            time,
            call,
            bytes: &bytes[..captured],
            hole: length - u32::try_from(captured).unwrap_or(length),
            at_rest,
            pause: time.saturating_sub(self.active),
        }));
        self.active = self.active.max(time);
    }

    /// Judges a connection by its first payload: memcached's clients speak first. Returns true if it is followed.
    fn judge(&mut self, direction: Direction, bytes: &[u8]) -> bool {
        let is_ours = self.judgement == Judgement::Due
            && direction == Direction::Request
            && content::begins_requests(bytes);
        self.judgement = if is_ours {
            Judgement::Followed
        } else {
            Judgement::Foreign
        };
        is_ours
    }

    fn announce(&mut self, time: u64, emit: &mut impl FnMut(Found<'_>)) {
        if !self.announced {
            self.announced = true;
            emit(Found::Opened {
                flow: self.id,
                client: self.client,
                server: self.server,
                time: if self.mid_stream {
                    time
                } else {
                    self.first_packet
                },
                mid_stream: self.mid_stream,
            });
        }
    }

    /// Hands on all payload that is in order, and sets the start of the wait for the rest.
    fn advance(&mut self, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        self.latest = self.latest.max(now);
        let mut moved = false;
        while let Some(direction) = self.next_direction() {
            let next = self.stream_mut(direction).take();
            let Some(next) = next else { break };
            self.hand_on(direction, next.payload(), emit);
            moved = true;
        }
        self.emit_ends(emit);
        if !self.lacks_received_bytes() {
            self.blocked = None;
        } else if moved {
            self.blocked = Some(self.latest);
        } else {
            self.blocked.get_or_insert(self.latest);
        }
    }

    /// Direction whose first waiting segment is next. If both wait for each other, the request was first: a
    /// retransmitted request carries a newer acknowledgement than the original.
    fn next_direction(&mut self) -> Option<Direction> {
        let (request, response) = (self.request.ready(), self.response.ready());
        match (request, response) {
            (Some(needs), _) if self.response.reaches(needs) => Some(Direction::Request),
            (_, Some(needs)) if self.request.reaches(needs) => Some(Direction::Response),
            (Some(_), Some(_)) => Some(Direction::Request),
            _ => None,
        }
    }

    /// True if a segment waits for bytes that one side has received but the capture lacks.
    fn lacks_received_bytes(&mut self) -> bool {
        self.request.ready().is_some()
            || self.response.ready().is_some()
            || [&self.request, &self.response]
                .into_iter()
                .any(acknowledged_beyond_gap)
    }

    /// Gives up missing bytes one gap after another while the wait for them exceeds [`GAP_TIMEOUT`].
    pub(super) fn give_up_late(&mut self, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        if self
            .early
            .as_ref()
            .is_some_and(|early| now.saturating_sub(early.since()) >= GAP_TIMEOUT)
        {
            self.begin(now, emit);
        }
        while self
            .blocked
            .is_some_and(|since| now.saturating_sub(since) >= GAP_TIMEOUT)
        {
            if !self.give_up(false, now, emit) {
                self.blocked = None;
            }
        }
    }

    /// Gives up the first gap. With `all`, this includes bytes that may still be retransmitted. Returns false if there
    /// is no gap to give up.
    pub(super) fn give_up(
        &mut self,
        all: bool,
        now: u64,
        emit: &mut impl FnMut(Found<'_>),
    ) -> bool {
        if self.early.is_some() {
            self.begin(now, emit);
            return true;
        }
        let Some((direction, end)) = self.first_gap(all) else {
            return false;
        };
        if !self.stream_mut(direction).suppose_end(end) {
            self.skip(direction, end, now, emit);
        }
        self.advance(now, emit);
        true
    }

    /// Finds the gap that keeps the rest waiting: its direction and the position of its end.
    fn first_gap(&mut self, all: bool) -> Option<(Direction, u64)> {
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

    /// Gives up the bytes of a direction before position `end` and emits the gap as payload of no bytes.
    fn skip(&mut self, direction: Direction, end: u64, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        if self.stream_mut(direction).skip_to(end) == 0 {
            return;
        }
        if self.judgement != Judgement::Followed {
            // Without its first bytes, nothing tells whose it is.
            self.judgement = Judgement::Foreign;
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

    fn emit_ends(&mut self, emit: &mut impl FnMut(Found<'_>)) {
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

    /// Hands on or gives up all that waits, at the end of the connection or the capture.
    pub(super) fn finish(&mut self, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        while self.give_up(true, now, emit) {}
        for direction in [Direction::Request, Direction::Response] {
            let stream = self.stream_mut(direction);
            match stream.acknowledged() {
                // A single number after the last byte was that of a FIN.
                Some(received) if received == stream.next() + 1 => stream.end_at(received - 1),
                Some(received) => self.skip(direction, received, now, emit),
                None => {}
            }
        }
    }

    /// Takes a reset. What was sent before it may still be captured.
    pub(super) fn reset_by(&mut self, direction: Direction, now: u64) {
        self.reset.get_or_insert((direction, now));
    }

    /// Closes the connection after handing on or giving up all that waits.
    pub(super) fn close(mut self, now: u64, emit: &mut impl FnMut(Found<'_>)) {
        self.finish(now, emit);
        if !self.announced {
            return;
        }
        let flow = self.id;
        if let Some((direction, _)) = self.reset
            && !self.stream(direction).ended
        {
            emit(Found::Ended { flow, direction });
        }
        emit(Found::Closed {
            flow,
            time: self.reset.map_or(now, |(_, time)| time),
            orderly: self.over(),
        });
    }
}

#[inline]
fn other(direction: Direction) -> Direction {
    match direction {
        Direction::Request => Direction::Response,
        Direction::Response => Direction::Request,
    }
}

/// True if the other side has received the bytes that are missing before the first waiting segment.
fn acknowledged_beyond_gap(stream: &Stream) -> bool {
    let first = stream.first_waiting();
    first.is_some_and(|first| stream.acknowledged().is_some_and(|known| known >= first))
}
