//! Records from the kernel → events, counted to the byte: one recording's state, without threads or clocks.

use linger::Lingering;
use membench_common::{Header, counter, kind};
use membench_decode::Decoder;
use membench_event::{
    ConnectionRow, Direction, Event, Ledger, LossRow, OptionsTable, Sample, Segment, Server, Totals,
};

use crate::session::datagrams::Threads;
use crate::session::doubts::Doubts;
use crate::session::sockets::{Role, Seen, Sockets};
use crate::source::sockets::record::Record;

pub(crate) mod datagrams;
pub(crate) mod doubts;
mod linger;
mod losses;
pub(crate) mod packets;
pub mod peer;
mod peers;
pub(crate) mod sampling;
pub mod sockets;

/// The request by which the recorder asks for a server's counters; its place in the stream is a mark.
const QUESTION: &[u8] = b"stats\r\n";

/// A server's sums at the moment it read our question: the same moment its reply speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The socket at which it read it.
    pub cookie: u64,
    /// What it had moved since the start.
    pub seen: Seen,
}

/// What one recording has taken in so far.
pub(crate) struct Session {
    pub(crate) sockets: Sockets,
    threads: Threads,
    lingering: Lingering,
    pub(crate) decoder: Decoder,
    totals: Totals,
    own: Seen,
    /// Bytes of records on sockets that were never announced, or closed long before.
    pub(crate) orphaned: u64,
    /// Bytes of records that came after what follows them.
    late: u64,
    marks: Vec<Mark>,
    losses: Vec<LossRow>,
    /// Events that a consumer did not take.
    drops: u64,
    /// Events that are not of the sample.
    sampled_out: u64,
    sampled_out_told: u64,
    /// What packets leave in doubt.
    pub(crate) doubts: Doubts,
    /// When the hooks began to be detached, ns.
    ends: Option<u64>,
    /// The network namespace that packets are of.
    pub(crate) namespace: u32,
}

impl Session {
    /// An empty session.
    pub(crate) fn new(decoder: Decoder, sockets: Sockets) -> Self {
        Self {
            sockets,
            threads: Threads::default(),
            lingering: Lingering::default(),
            decoder,
            totals: Totals::default(),
            own: Seen::default(),
            orphaned: 0,
            late: 0,
            marks: Vec::new(),
            losses: Vec::new(),
            drops: 0,
            sampled_out: 0,
            sampled_out_told: 0,
            doubts: Doubts::default(),
            ends: None,
            namespace: 0,
        }
    }

    /// The hooks are detached from this moment on, one after the other.
    pub(crate) fn ends(&mut self, time: u64) {
        self.ends = Some(time);
    }

    /// Takes one record.
    pub(crate) fn take(&mut self, record: &Record<'_>) {
        match record {
            Record::Bytes {
                header,
                direction,
                pieces,
            } => {
                let pieces = pieces.collect();
                let segment = Segment {
                    connection: 0,
                    direction: *direction,
                    offset: header.offset,
                    time: header.time,
                    arrival: (header.arrival != 0).then_some(header.arrival),
                    filled: header.kind == kind::REQUEST_FILLED,
                    call: header.call,
                    pieces: &pieces,
                };
                self.take_bytes(header, &segment);
            }
            Record::Datagram {
                header,
                direction,
                datagram,
                pieces,
            } => {
                let pieces = pieces.collect();
                let segment = Segment {
                    connection: 0,
                    direction: *direction,
                    offset: header.offset,
                    time: header.time,
                    arrival: None,
                    filled: false,
                    call: 0,
                    pieces: &pieces,
                };
                self.take_datagram(header, datagram, &segment);
            }
            Record::Socket { header, socket } => {
                self.let_go_of(header.cookie);
                let known = self.sockets.role(header.cookie).is_some();
                if let Role::Connection(connection) =
                    self.sockets.announce(header.cookie, socket, header.time)
                    && !known
                {
                    let mid_stream = self.sockets.began_before(connection, socket);
                    self.decoder.open(connection, mid_stream);
                    if let Some(server) = self.sockets.server_of(connection) {
                        self.decoder.assign(connection, server);
                    }
                }
            }
            Record::End { header } => {
                let (_, far) = self.sockets.ends();
                self.sockets.ended(header.cookie, far);
                self.let_go_of(header.cookie);
            }
            Record::Close { header, close } => self.take_close(header, close),
        }
    }

    fn take_bytes(&mut self, header: &Header, segment: &Segment<'_>) {
        let length = u64::from(header.length);
        let Some(role) = self.role(header.cookie) else {
            self.orphaned += length;
            return;
        };
        if let Role::Connection(connection) = role
            && segment.offset < self.decoder.end_of(connection, segment.direction)
        {
            return self.leave_late(header, connection, length);
        }
        let seen = self.sockets.count(role, segment.direction, length);
        match role {
            Role::Datagrams(_) => self.orphaned += length,
            Role::Own(_) => self.take_own(header.cookie, segment, seen),
            Role::Connection(connection) => {
                let segment = Segment {
                    connection,
                    ..*segment
                };
                if self.ends.is_some_and(|time| header.time > time) {
                    self.decoder.start_detaching();
                }
                let (segment, faulted) = losses::without_fault(header, segment);
                let gap = self
                    .decoder
                    .push(&segment, header.lost == 1 << counter::MISSED);
                if gap > 0 {
                    self.sockets.count(role, segment.direction, gap - faulted);
                    self.note_loss(header, connection, gap);
                }
            }
        }
    }

    pub(crate) fn take_own(&mut self, cookie: u64, segment: &Segment<'_>, seen: Seen) {
        let length = segment.length();
        match segment.direction {
            Direction::Request => self.own.request += length,
            Direction::Response => self.own.response += length,
        }
        if segment.direction == Direction::Request && length == QUESTION.len() as u64 {
            self.marks.push(Mark { cookie, seen });
        }
    }

    pub(crate) fn close(&mut self, connection: u32) {
        if let Some(totals) = self.decoder.close(connection) {
            self.sockets.settle(connection, &totals);
            self.totals.add(&totals);
        }
    }

    /// Counts events that a consumer or the disk did not take.
    pub(crate) fn drop_events(&mut self, events: u64) {
        self.drops += events;
    }

    /// The events since they were last cleared; those of packets are settled first.
    pub(crate) fn events(&self) -> &[Event] {
        if self.doubts.released().is_empty() {
            self.decoder.events()
        } else {
            self.doubts.released()
        }
    }

    /// The options strings that events refer to.
    pub(crate) fn options(&self) -> &OptionsTable {
        self.decoder.options()
    }

    /// Forgets the events; their room is kept.
    pub(crate) fn clear_events(&mut self) {
        self.decoder.clear_events();
        self.doubts.clear_released();
    }

    /// Drops the events that are not of the sample, and counts them.
    pub(crate) fn leave_out(&mut self, sample: Sample) {
        if sample.keys > 1 {
            let holds = |event: &Event| sampling::holds(sample, event);
            self.sampled_out += self.decoder.retain_events(holds) + self.doubts.retain(holds);
        }
    }

    /// Events left out so far.
    pub(crate) fn sampled_out(&self) -> u64 {
        self.sampled_out
    }

    /// The sockets seen so far.
    pub(crate) fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// The moments at which servers read our questions.
    pub(crate) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Events that were not taken so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.drops
    }

    /// Ends every connection that is still open; its last events can be taken then. `now`: the packets' clock.
    pub(crate) fn end(&mut self, now: u64) {
        self.deliver_rest();
        for connection in self.decoder.open_connections() {
            self.doubts.end(&self.decoder, connection, now);
            self.close(connection);
        }
        if !self.decoder.events().is_empty() && !self.doubts.released().is_empty() {
            self.doubts.release(self.decoder.events());
            self.decoder.clear_events();
        }
    }

    /// The counters of a session that took packets: the sums of what was found in them.
    pub(crate) fn counters(&self) -> [u64; counter::COUNT] {
        let mut counters = [0; counter::COUNT];
        let (totals, _) = self.so_far();
        let Totals {
            request, response, ..
        } = totals;
        counters[counter::REQUEST_BYTES as usize] = request.seen + self.own.request;
        counters[counter::RESPONSE_BYTES as usize] = response.seen + self.own.response;
        counters[counter::MISSED as usize] = request.missed + response.missed;
        counters
    }

    /// Events left out since this was asked.
    pub(crate) fn take_sampled_out(&mut self) -> u64 {
        self.sampled_out - std::mem::replace(&mut self.sampled_out_told, self.sampled_out)
    }

    /// What decoding found: on connections that ended, and so far on those that are open.
    fn so_far(&self) -> (Totals, Vec<Server>) {
        let (mut totals, mut servers) = (self.totals, self.sockets.servers().to_vec());
        for connection in self.decoder.open_connections() {
            if let Some(open) = self.decoder.totals(connection) {
                totals.add(&open);
                self.sockets.add_to(&mut servers, connection, &open);
            }
        }
        (totals, servers)
    }

    /// The ledger: of a session that has ended, or so far.
    pub(crate) fn ledger(&self, counters: &[u64; counter::COUNT], program_misses: u64) -> Ledger {
        let of = |index: u32| counters[index as usize];
        let (totals, servers) = self.so_far();
        let Totals {
            request,
            response,
            unpaired,
            unmatched,
            resyncs: _,
        } = totals;
        let mut ledger = Ledger {
            complete: None,
            request_bytes: of(counter::REQUEST_BYTES),
            response_bytes: of(counter::RESPONSE_BYTES),
            own_request_bytes: self.own.request,
            own_response_bytes: self.own.response,
            packets_dropped: 0,
            fragments: 0,
            packets_unreadable: 0,
            file_damaged: 0,
            packets: None,
            ring_full: of(counter::RING_FULL),
            missed: of(counter::MISSED),
            record_limit: of(counter::RECORD_LIMIT),
            other_syscall: of(counter::OTHER_SYSCALL),
            io_uring: of(counter::IO_URING),
            kernel_thread: of(counter::KERNEL_THREAD),
            compat_task: of(counter::COMPAT_TASK),
            fault: of(counter::FAULT),
            no_state: of(counter::NO_STATE),
            udp: of(counter::UDP),
            other_family: of(counter::OTHER_FAMILY),
            unattended: of(counter::UNATTENDED),
            orphaned: self.orphaned,
            late: self.late,
            truncated: request.truncated + response.truncated,
            unsynced: request.unsynced + response.unsynced,
            unpaired: unpaired + self.doubts.withheld(),
            unmatched,
            program_misses,
            user_queue_drops: self.drops,
            boundary: request.boundary + response.boundary,
            servers,
            ..Ledger::default()
        };
        ledger.complete = Some(ledger.nothing_lost());
        ledger
    }

    /// The tables of an ended session.
    pub(crate) fn into_tables(self) -> (Vec<ConnectionRow>, Vec<Server>, Vec<LossRow>) {
        let (connections, servers) = self.sockets.into_tables();
        (connections, servers, self.losses)
    }
}

#[cfg(test)]
mod tests;
