//! Kernel records or packets → events, and a ledger of every byte: the state of one recording, without threads or clocks.

pub(crate) mod announcement;
mod bounds;
pub(crate) mod counters;
mod datagrams;
pub(crate) mod decoded;
mod doubts;
mod edges;
mod linger;
mod losses;
mod payload;
pub mod peer;
pub(crate) mod record;
pub mod sockets;

use membench_common::{Datagram, Header, counter, kind};
use membench_decode::Decoder;
use membench_decode::packet::{Bytes, Datagram as FoundDatagram, Found};
use membench_event::{
    CloseSide, ConnectionRow, Direction, Event, Ledger, LossRow, OptionsTable, Segment, Server,
    Totals,
};

use crate::session::announcement::Announcement;
use crate::session::counters::Counters;
use crate::session::datagrams::{Datagrams, Origin, Streams};
use crate::session::decoded::Decoded;
use crate::session::doubts::{Doubts, PAUSE};
use crate::session::linger::Lingering;
use crate::session::losses::Losses;
use crate::session::payload::{pieces, segment};
use crate::session::sockets::{Role, Seen, Sockets};
use crate::{Record, Side};

/// The request by which the recorder asks a server for its counters. Its place in the stream is a [`Mark`].
const QUESTION: &[u8] = b"stats\r\n";
/// Most requests without a response on a connection of packets. A longer queue means that only one of its directions is
/// being captured; its responses are then given up.
const MOST_OPEN: usize = 16_384;
/// Connections without an event that are handed on at a time.
const MOST_ADDED: usize = 1_024;

/// A server's sums at the moment it read our question, which is the moment that its answer describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Cookie of the socket on which the server read the question.
    pub cookie: u64,
    /// Sums of the server since the start.
    pub seen: Seen,
    /// Bytes among them that it does not count as written.
    pub uncounted: u64,
}

/// The state of one recording.
pub(crate) struct Session {
    pub(crate) sockets: Sockets,
    datagrams: Datagrams,
    lingering: Lingering,
    pub(crate) decoder: Decoder,
    /// Totals of the connections that are closed.
    totals: Totals,
    /// Bytes of our own connections.
    own: Seen,
    /// Bytes on sockets that were never announced, or were closed long before.
    orphaned: u64,
    /// Bytes that came after the bytes that follow them had been decoded.
    late: u64,
    /// Bytes that moved without a call that was seen, before a connection's first such call or after its last.
    missed_at_edges: u64,
    marks: Vec<Mark>,
    losses: Losses,
    /// Connections of packets whose responses may be assigned to the wrong requests.
    doubts: Doubts,
    /// Time at which the source began to detach its hooks, ns.
    detaching_since: Option<u64>,
    /// Inode number of the network namespace whose packets are recorded.
    pub(crate) namespace: u32,
}

impl Session {
    /// Creates an empty session.
    pub(crate) fn new(decoder: Decoder, sockets: Sockets) -> Self {
        Self {
            sockets,
            datagrams: Datagrams::default(),
            lingering: Lingering::default(),
            decoder,
            totals: Totals::default(),
            own: Seen::default(),
            orphaned: 0,
            late: 0,
            missed_at_edges: 0,
            marks: Vec::new(),
            losses: Losses::default(),
            doubts: Doubts::default(),
            detaching_since: None,
            namespace: 0,
        }
    }

    /// Notes that the source detaches its hooks, one after the other, from `time` on, ns.
    pub(crate) fn start_detaching(&mut self, time: u64) {
        self.detaching_since = Some(time);
    }

    /// Takes a record of the kernel programs.
    pub(crate) fn take(&mut self, record: &Record<'_>) {
        match record {
            Record::Bytes {
                header,
                direction,
                pieces,
            } => self.take_bytes(header, &segment(header, *direction, &pieces.collect())),
            Record::Datagram {
                header,
                direction,
                datagram,
                pieces,
            } => {
                let pieces = pieces.collect();
                let segment = Segment {
                    arrival: None,
                    filled: false,
                    call: 0,
                    ..segment(header, *direction, &pieces)
                };
                self.take_datagram(header, datagram, &segment);
            }
            Record::Socket { header, socket } => {
                self.announce(header.cookie, &Announcement::from(*socket), header.time);
            }
            Record::End { header } => {
                let (_, far) = self.sockets.close_sides();
                self.sockets.note_end(header.cookie, far);
                self.close_lingering(header.cookie);
            }
            Record::Close { header, close } => self.take_close(header, close),
        }
    }

    fn announce(&mut self, cookie: u64, socket: &Announcement, time: u64) {
        self.close_lingering(cookie);
        let is_known = self.sockets.role(cookie).is_some();
        if let Role::Connection(connection) = self.sockets.announce(cookie, socket, time)
            && !is_known
        {
            let mid_stream = self.sockets.is_mid_stream(connection, socket);
            self.decoder.open(connection, mid_stream);
            if let Some(server) = self.sockets.server_of(connection) {
                self.decoder.assign(connection, server);
            }
            self.begin_streams(connection, socket.before, mid_stream, time);
        }
    }

    fn take_bytes(&mut self, header: &Header, segment: &Segment<'_>) {
        let length = u64::from(header.length);
        let Some(role) = self.role(header.cookie) else {
            self.orphaned += length;
            return;
        };
        self.note_call(header.cookie, segment.direction);
        if let Role::Connection(connection) = role
            && segment.offset < self.decoder.end_of(connection, segment.direction)
        {
            // The bytes after these have been decoded without them, which cannot be undone.
            self.late += length;
            return self.losses.list(header.time, connection, "late", length);
        }
        let seen = self.sockets.count(role, segment.direction, length);
        match role {
            Role::Datagrams(_) => self.orphaned += length,
            Role::Own(server) => self.take_own(server, header.cookie, segment, seen),
            Role::Connection(connection) => {
                let segment = Segment {
                    connection,
                    ..*segment
                };
                if self.detaching_since.is_some_and(|time| header.time > time) {
                    self.decoder.start_detaching();
                }
                let (segment, faulted) = losses::without_fault(header.lost, segment);
                let is_missed = header.lost == 1 << counter::MISSED;
                let gap = self.decoder.push(&segment, is_missed);
                if gap > 0 {
                    self.sockets.count(role, segment.direction, gap - faulted);
                    let term = counters::loss_term(header.lost.trailing_zeros());
                    let term = term.unwrap_or("ring_full");
                    self.losses.list(header.time, connection, term, gap);
                }
            }
        }
    }

    fn take_datagram(&mut self, header: &Header, datagram: &Datagram, segment: &Segment<'_>) {
        let cookie = header.cookie;
        let Some(Role::Datagrams(server)) = self.sockets.role(cookie) else {
            self.orphaned += segment.length();
            return;
        };
        let origin = Origin {
            cookie,
            server,
            peer: datagrams::named_peer(datagram),
        };
        let is_client = self.sockets.side() == Side::Client;
        let is_named = header.kind == kind::DATAGRAM_REQUEST_NAMED;
        let thread = (cookie, datagram.thread);
        let (datagrams, mut streams) = self.datagrams(false);
        match segment.direction {
            _ if is_client => {
                streams.push(origin, segment);
            }
            Direction::Request if is_named => {
                datagrams.take_named_request(&mut streams, thread, origin, segment);
            }
            Direction::Request => datagrams.take_request(&mut streams, thread, origin, segment),
            Direction::Response => datagrams.take_response(&mut streams, thread, origin, segment),
        }
        self.forget_idle_peers();
    }

    /// Returns the requests of datagrams that wait, and where datagrams go. `without_reads` is true for packets.
    fn datagrams(&mut self, without_reads: bool) -> (&mut Datagrams, Streams<'_>) {
        let streams = Streams {
            sockets: &mut self.sockets,
            decoder: &mut self.decoder,
            without_reads,
        };
        (&mut self.datagrams, streams)
    }

    fn take_own(&mut self, server: u32, cookie: u64, segment: &Segment<'_>, seen: Seen) {
        let length = segment.length();
        match segment.direction {
            Direction::Request => self.own.request += length,
            Direction::Response => self.own.response += length,
        }
        if segment.direction == Direction::Request && length == QUESTION.len() as u64 {
            self.marks.push(Mark {
                cookie,
                seen,
                uncounted: self.decoder.uncounted(server),
            });
        }
    }

    /// Returns the role of a socket that is open, or was closed a moment ago.
    fn role(&self, cookie: u64) -> Option<Role> {
        let lingering = || self.lingering.get(cookie).map(Role::Connection);
        self.sockets.role(cookie).or_else(lingering)
    }

    /// Takes an item found in packets.
    pub(crate) fn take_found(&mut self, found: &Found<'_>) {
        match *found {
            Found::Opened {
                flow,
                client,
                server,
                time,
                mid_stream,
            } => {
                let namespace = self.namespace;
                let socket = Announcement::from_packets(namespace, client, server, mid_stream);
                self.open_flow(flow, &socket, time);
            }
            Found::Bytes(bytes) => self.take_payload(&bytes),
            Found::Datagram(datagram) => self.take_found_datagram(&datagram),
            Found::Left { socket, client } => {
                if let Some(connection) = self.sockets.forget_peer(socket, client) {
                    self.close(connection);
                    self.release_events();
                }
            }
            Found::Ended { flow, direction } => {
                self.sockets.note_end(flow, CloseSide::sending(direction));
            }
            Found::Closed {
                flow,
                time,
                orderly,
            } => self.close_flow(flow, time, orderly),
        }
    }

    fn take_found_datagram(&mut self, found: &FoundDatagram<'_>) {
        let FoundDatagram {
            socket,
            client,
            server,
            direction,
            time,
            bytes,
            hole,
        } = *found;
        let announcement = Announcement::of_datagrams(self.namespace, client, server);
        let Role::Datagrams(server) = self.sockets.announce(socket, &announcement, time) else {
            return;
        };
        let segment = Segment {
            connection: 0,
            direction,
            offset: 0,
            time,
            arrival: None,
            filled: false,
            call: 0,
            pieces: &pieces(bytes, hole),
        };
        let origin = Origin {
            cookie: socket,
            server,
            peer: Some(client),
        };
        let (_, mut streams) = self.datagrams(true);
        streams.push(origin, &segment);
        self.forget_idle_peers();
        self.release_events();
    }

    /// Releases the events of a connection without doubts.
    fn release_events(&mut self) {
        self.doubts.release(self.decoder.events());
        self.decoder.clear_events();
    }

    fn open_flow(&mut self, flow: u64, socket: &Announcement, time: u64) {
        if let Role::Connection(connection) = self.sockets.announce(flow, socket, time) {
            self.decoder
                .open_without_reads(connection, socket.mid_stream);
            if socket.mid_stream {
                self.doubts.start(connection);
            } else {
                self.decoder.expect_barrier(connection);
            }
        }
    }

    fn take_payload(&mut self, bytes: &Bytes<'_>) {
        let length = bytes.bytes.len() as u64 + u64::from(bytes.hole);
        let Some(role) = self.sockets.role(bytes.flow) else {
            self.orphaned += length;
            return;
        };
        let pieces = pieces(bytes.bytes, bytes.hole);
        let mut segment = Segment {
            connection: 0,
            direction: bytes.direction,
            offset: bytes.offset,
            time: bytes.time,
            arrival: None,
            filled: false,
            call: bytes.call,
            pieces: &pieces,
        };
        let seen = self.sockets.count(role, bytes.direction, length);
        match role {
            Role::Own(server) => self.take_own(server, bytes.flow, &segment, seen),
            // Numbers of connections are not those of sockets for datagrams.
            Role::Datagrams(_) => self.orphaned += length,
            Role::Connection(connection) => {
                segment.connection = connection;
                self.push_payload(bytes, &segment);
            }
        }
    }

    fn push_payload(&mut self, bytes: &Bytes<'_>, segment: &Segment<'_>) {
        let connection = segment.connection;
        if bytes.direction == Direction::Request && bytes.at_rest {
            self.note_rest(connection, bytes.pause);
        }
        let gap = self.decoder.push(segment, true);
        if gap > 0 {
            self.losses.list(bytes.time, connection, "missed", gap);
        }
        if self.decoder.open_requests(connection) > MOST_OPEN {
            self.decoder.give_up_responses(connection);
        }
        self.judge_events(connection, bytes.time);
    }

    /// Notes that a connection was at rest before its next request: pairing can restart there, or has proved right.
    fn note_rest(&mut self, connection: u32, pause: u64) {
        if !self.decoder.paired(connection) {
            self.decoder.expect_barrier(connection);
        } else if pause >= PAUSE && self.decoder.settled(connection) {
            self.doubts.confirm(connection);
        }
    }

    /// Hands the events that a connection has just yielded to the doubts, which release or hold them.
    fn judge_events(&mut self, connection: u32, time: u64) {
        let paired = self.decoder.paired(connection);
        let (events, options) = (self.decoder.events(), self.decoder.options());
        self.doubts.take(connection, events, options, paired, time);
        self.decoder.clear_events();
    }

    fn close_flow(&mut self, flow: u64, time: u64, orderly: bool) {
        let Some(Role::Connection(connection)) = self.sockets.close(flow, time) else {
            return;
        };
        if orderly && self.decoder.settled(connection) {
            self.doubts.confirm(connection);
        }
        self.doubts.end(&self.decoder, connection, time);
        self.close(connection);
        self.doubts.release(self.decoder.events());
        self.decoder.clear_events();
    }

    /// Hands on the events since the last call, if there are any.
    pub(crate) fn hand_on(&mut self, sink: &mut impl FnMut(&Decoded<'_>)) {
        let added = self.sockets.connections().added();
        if self.events().is_empty() && added.len() < MOST_ADDED {
            return;
        }
        sink(&Decoded {
            events: self.events(),
            options: Some(self.options()),
            added,
        });
        self.clear_events();
        self.sockets.connections_mut().clear_added();
    }

    /// Events since they were last cleared. Those of packets are settled first.
    fn events(&self) -> &[Event] {
        if self.doubts.released().is_empty() {
            self.decoder.events()
        } else {
            self.doubts.released()
        }
    }

    /// Options strings that events refer to.
    fn options(&self) -> &OptionsTable {
        self.decoder.options()
    }

    /// Forgets the events. Their memory is reused.
    fn clear_events(&mut self) {
        self.decoder.clear_events();
        self.doubts.clear_released();
    }

    /// Sockets seen so far.
    pub(crate) fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Moments at which servers read our questions.
    pub(crate) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Returns the servers whose clients had them set their counters to 0.
    pub(crate) fn resets(&self) -> impl Iterator<Item = u32> {
        self.decoder.resets()
    }

    /// Takes the rows of the connections that have ended since the last call.
    pub(crate) fn take_ended(&mut self) -> Vec<ConnectionRow> {
        self.sockets.connections_mut().take_ended()
    }

    /// Returns the losses listed since the last call.
    pub(crate) fn take_losses(&mut self) -> Vec<LossRow> {
        self.losses.take()
    }

    /// Closes every connection that is still open; its last events can be taken then. `now` is the time on the packets'
    /// clock, ns.
    pub(crate) fn end(&mut self, now: u64) {
        let (datagrams, mut streams) = self.datagrams(false);
        datagrams.end(&mut streams);
        self.let_go(u64::MAX);
        for connection in self.decoder.open_connections() {
            self.doubts.end(&self.decoder, connection, now);
            self.close(connection);
        }
        if !self.decoder.events().is_empty() && !self.doubts.released().is_empty() {
            self.doubts.release(self.decoder.events());
            self.decoder.clear_events();
        }
    }

    /// Returns the byte sums of a packet source, taken from the decoded streams: packets have no counters in the kernel.
    pub(crate) fn counters(&self) -> Counters {
        let (totals, _) = self.totals_so_far();
        let Totals {
            request, response, ..
        } = totals;
        Counters {
            request_bytes: request.seen + self.own.request,
            response_bytes: response.seen + self.own.response,
            missed: request.missed + response.missed,
            ..Counters::default()
        }
    }

    /// Returns the totals of all connections, and the servers with their bytes, including connections still open.
    fn totals_so_far(&self) -> (Totals, Vec<Server>) {
        let (mut totals, mut servers) = (self.totals, self.sockets.servers().to_vec());
        for connection in self.decoder.open_connections() {
            if let Some(open) = self.decoder.totals(connection) {
                totals.add(&open);
                self.sockets.add_totals(&mut servers, connection, &open);
            }
        }
        (totals, servers)
    }

    /// Returns how many bytes could not be decoded so far, for lack of others.
    pub(crate) fn spoiled_bytes(&self) -> u64 {
        let (totals, _) = self.totals_so_far();
        let spoiled = [totals.request, totals.response].map(|flow| flow.truncated + flow.unsynced);
        spoiled.iter().sum()
    }

    /// Returns the ledger so far, which is the whole one once the session has ended. `counters` are the source's.
    pub(crate) fn ledger(&self, counters: Counters, program_misses: u64) -> Ledger {
        let (totals, servers) = self.totals_so_far();
        let Totals {
            request,
            response,
            unpaired,
            unmatched,
            resyncs: _,
            tls_connections,
        } = totals;
        let mut ledger = Ledger {
            tls_connections,
            own_request_bytes: self.own.request,
            own_response_bytes: self.own.response,
            orphaned: self.orphaned,
            late: self.late,
            truncated: request.truncated + response.truncated,
            unsynced: request.unsynced + response.unsynced,
            unpaired: unpaired + self.doubts.withheld(),
            unmatched,
            options_cut: self.decoder.options_cut(),
            program_misses,
            boundary: request.boundary + response.boundary,
            servers,
            ..counters.to_ledger()
        };
        ledger.missed += self.missed_at_edges;
        ledger.complete = Some(ledger.nothing_lost());
        ledger
    }
}

#[cfg(test)]
mod tests;
