//! The ledger: where every byte that memcached moved while recording went. The sums are checked, not assumed.

use serde::{Deserialize, Serialize};

/// Bytes of one direction of one server's connections, by what became of them.
///
/// `seen = parsed + value_skipped + text_skipped + boundary + unsynced + truncated + not_decoded`, where `not_decoded`
/// is what never reached the decoder; `missed` bytes were read without a call we saw and are not in `seen`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Moved by calls we saw.
    pub seen: u64,
    /// Lines that became requests or responses.
    pub parsed: u64,
    /// Value bytes, skipped by their declared length.
    pub value_skipped: u64,
    /// Bytes inside a reply that is a list (`stats`, …), skipped to the tail that ends it.
    pub text_skipped: u64,
    /// Of messages begun before the start or unfinished at the end: not a loss.
    pub boundary: u64,
    /// Scanned while looking for the next message after a loss.
    pub unsynced: u64,
    /// Holes where bytes were needed, and the messages they cut.
    pub truncated: u64,
    /// Seen by the kernel programs but lost before decoding.
    pub not_decoded: u64,
    /// Read without a call we saw (a gap in the TCP sequence); not part of `seen`.
    pub missed: u64,
}

/// One server: a process listening on a port in a network namespace, or at a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Ordinal, as in the connections table.
    pub server: u32,
    /// Listening port; 0 at a path.
    pub port: u16,
    /// Path of the UNIX-domain socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Process id in the initial pid namespace; 0 where packets or clients were recorded, which do not tell.
    pub pid: u32,
    /// Network namespace's inode number; 0 where packets were recorded.
    pub network_namespace: u32,
    /// Its address, where packets or clients were recorded: they tell servers apart by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<std::net::IpAddr>,
    /// What memcached read.
    pub request: Flow,
    /// What memcached wrote.
    pub response: Flow,
}

/// The whole capture. Every field from `ring_full` to `log_unparsed` is a loss term.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// True when every loss term is 0; none while recording and when the recording was not sealed.
    pub complete: Option<bool>,
    /// Bytes the servers read while recording, as counted in the kernel.
    pub request_bytes: u64,
    /// Bytes the servers wrote while recording, as counted in the kernel.
    pub response_bytes: u64,
    /// Of `request_bytes`, what the recorder itself asked (`stats`): it makes no events.
    pub own_request_bytes: u64,
    /// Of `response_bytes`, what was answered to the recorder itself.
    pub own_response_bytes: u64,
    /// Lost to a full ring buffer, bytes.
    pub ring_full: u64,
    /// Read without a call we saw, bytes.
    pub missed: u64,
    /// Beyond what one call may put into the ring, and needed, bytes.
    pub record_limit: u64,
    /// Moved by a system call whose buffers are not located, bytes.
    pub other_syscall: u64,
    /// Moved by `io_uring`, bytes.
    pub io_uring: u64,
    /// Moved by kernel threads, bytes.
    pub kernel_thread: u64,
    /// Moved by 32-bit tasks, bytes.
    pub compat_task: u64,
    /// In buffers that could not be read, bytes.
    pub fault: u64,
    /// On sockets without state, bytes.
    pub no_state: u64,
    /// In UDP datagrams, bytes.
    pub udp: u64,
    /// On matching sockets of other families, bytes.
    pub other_family: u64,
    /// Moved while this recorder had been silent for 2 s, bytes.
    #[serde(default)]
    pub unattended: u64,
    /// On sockets that were never announced, or closed long before, bytes.
    pub orphaned: u64,
    /// In records that were written so slowly that what follows them was decoded before, bytes.
    pub late: u64,
    /// Holes where bytes were needed, bytes.
    pub truncated: u64,
    /// Scanned while resynchronizing, bytes.
    pub unsynced: u64,
    /// Requests whose response was not seen, though it should have been.
    pub unpaired: u64,
    /// Responses without a request.
    pub unmatched: u64,
    /// Packets that were dropped before they reached the recorder.
    pub packets_dropped: u64,
    /// Packets that the network cut up, and are not put together.
    pub fragments: u64,
    /// Packets of which too little was captured, or whose headers cannot be read.
    pub packets_unreadable: u64,
    /// Capture files that could not be read to their end.
    pub file_damaged: u64,
    /// Times a kernel program that sees bytes did not run because it was already running on that CPU.
    pub program_misses: u64,
    /// Events that a slow consumer or disk did not take.
    pub user_queue_drops: u64,
    /// Lines of its log that memcached did not hand out, because they were read too slowly.
    #[serde(default)]
    pub log_skipped: u64,
    /// Lines for which memcached's threads had no room.
    #[serde(default)]
    pub log_dropped: u64,
    /// Lines that are none of memcached's log.
    #[serde(default)]
    pub log_unparsed: u64,
    /// Lines of memcached's log that were read; 0 for other sources.
    #[serde(default)]
    pub log_lines: u64,
    /// Times memcached's clock was set back, and its log's times were therefore moved.
    #[serde(default)]
    pub log_clock_steps: u64,
    /// Of `ring_full`, what each ring did not take, bytes; empty where there is one buffer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ring_full_by_ring: Vec<u64>,
    /// Bytes of messages begun before the start or unfinished at the end: not a loss.
    pub boundary: u64,
    /// Times a kernel program that sees no bytes did not run, so that a connection's end or arrival may be unknown: not
    /// a loss.
    pub misses_aside: u64,
    /// What the packets were, where packets were recorded: not a loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<Packets>,
    /// Each server apart.
    pub servers: Vec<Server>,
}

impl Ledger {
    /// Every loss term, by name.
    pub fn losses(&self) -> [(&'static str, u64); 27] {
        [
            ("ring_full", self.ring_full),
            ("missed", self.missed),
            ("record_limit", self.record_limit),
            ("other_syscall", self.other_syscall),
            ("io_uring", self.io_uring),
            ("kernel_thread", self.kernel_thread),
            ("compat_task", self.compat_task),
            ("fault", self.fault),
            ("no_state", self.no_state),
            ("udp", self.udp),
            ("other_family", self.other_family),
            ("unattended", self.unattended),
            ("orphaned", self.orphaned),
            ("late", self.late),
            ("truncated", self.truncated),
            ("unsynced", self.unsynced),
            ("unpaired", self.unpaired),
            ("unmatched", self.unmatched),
            ("packets_dropped", self.packets_dropped),
            ("fragments", self.fragments),
            ("packets_unreadable", self.packets_unreadable),
            ("file_damaged", self.file_damaged),
            ("program_misses", self.program_misses),
            ("user_queue_drops", self.user_queue_drops),
            ("log_skipped", self.log_skipped),
            ("log_dropped", self.log_dropped),
            ("log_unparsed", self.log_unparsed),
        ]
    }

    /// What was added since an earlier state of the same capture.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        macro_rules! less {
            ($($term:ident),*) => {{
                // Every term is named here, or this does not compile.
                let Self { complete: _, servers: _, packets: _, ring_full_by_ring: _, $($term),* } = before;
                Self { complete: None, servers: self.servers_since(before), packets: self.packets_since(before), ring_full_by_ring: self.rings_since(before), $($term: self.$term.saturating_sub(*$term)),* }
            }};
        }
        let mut added = less!(
            request_bytes,
            response_bytes,
            own_request_bytes,
            own_response_bytes,
            ring_full,
            missed,
            record_limit,
            other_syscall,
            io_uring,
            kernel_thread,
            compat_task,
            fault,
            no_state,
            udp,
            other_family,
            unattended,
            orphaned,
            late,
            truncated,
            unsynced,
            unpaired,
            unmatched,
            packets_dropped,
            fragments,
            packets_unreadable,
            file_damaged,
            program_misses,
            user_queue_drops,
            log_skipped,
            log_dropped,
            log_unparsed,
            log_lines,
            log_clock_steps,
            misses_aside,
            boundary
        );
        added.complete = Some(added.nothing_lost());
        added
    }

    fn rings_since(&self, before: &Self) -> Vec<u64> {
        let mut earlier = before.ring_full_by_ring.iter();
        let rings = self.ring_full_by_ring.iter();
        rings
            .map(|lost| lost.saturating_sub(earlier.next().copied().unwrap_or(0)))
            .collect()
    }

    fn packets_since(&self, before: &Self) -> Option<Packets> {
        let earlier = before.packets.unwrap_or_default();
        self.packets.map(|packets| packets.since(&earlier))
    }

    /// Servers are only ever added, at the end.
    fn servers_since(&self, before: &Self) -> Vec<Server> {
        let none = (Flow::default(), Flow::default());
        let mut earlier = before
            .servers
            .iter()
            .map(|server| (server.request, server.response));
        let servers = self.servers.iter().map(|server| {
            let (request, response) = earlier.next().unwrap_or(none);
            Server {
                request: server.request.since(&request),
                response: server.response.since(&response),
                ..server.clone()
            }
        });
        servers.collect()
    }

    /// The ledger of a capture that goes on: bytes that are not part of a whole message yet are seen later.
    #[must_use]
    pub fn at_a_cut(mut self) -> Self {
        for server in &mut self.servers {
            for flow in [&mut server.request, &mut server.response] {
                flow.seen = flow.accounted();
            }
        }
        self
    }

    /// Whether nothing was lost.
    pub fn nothing_lost(&self) -> bool {
        self.losses().iter().all(|(_, amount)| *amount == 0)
    }
}

impl Flow {
    /// Adds another flow's bytes.
    pub fn add(&mut self, other: &Self) {
        let Self {
            seen,
            parsed,
            value_skipped,
            text_skipped,
            boundary,
            unsynced,
            truncated,
            not_decoded,
            missed,
        } = other;
        self.seen += seen;
        self.parsed += parsed;
        self.value_skipped += value_skipped;
        self.text_skipped += text_skipped;
        self.boundary += boundary;
        self.unsynced += unsynced;
        self.truncated += truncated;
        self.not_decoded += not_decoded;
        self.missed += missed;
    }

    /// What was added since.
    fn since(&self, before: &Self) -> Self {
        macro_rules! less {
            ($($term:ident),*) => {{
                let Self { $($term),* } = before;
                Self { $($term: self.$term.saturating_sub(*$term)),* }
            }};
        }
        less!(
            seen,
            parsed,
            value_skipped,
            text_skipped,
            boundary,
            unsynced,
            truncated,
            not_decoded,
            missed
        )
    }

    /// What of `seen` is accounted for; equal to it unless something is wrong here.
    pub fn accounted(&self) -> u64 {
        self.parsed
            + self.value_skipped
            + self.text_skipped
            + self.boundary
            + self.unsynced
            + self.truncated
            + self.not_decoded
    }
}

/// What one connection's decoding found, beside its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of requests.
    pub request: Flow,
    /// Bytes of responses.
    pub response: Flow,
    /// Requests whose response was not seen, though it should have been.
    pub unpaired: u64,
    /// Responses without a request.
    pub unmatched: u64,
    /// Times the stream was lost and found again.
    pub resyncs: u32,
}

impl Totals {
    /// Adds another connection's totals.
    pub fn add(&mut self, other: &Self) {
        let Self {
            request,
            response,
            unpaired,
            unmatched,
            resyncs,
        } = self;
        request.add(&other.request);
        response.add(&other.response);
        *unpaired += other.unpaired;
        *unmatched += other.unmatched;
        *resyncs = resyncs.saturating_add(other.resyncs);
    }
}

/// What packets were, beside the bytes they carried; none of it is a loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Packets {
    /// Packets taken.
    pub taken: u64,
    /// TCP of the ports, or to them.
    pub followed: u64,
    /// Something else.
    pub other: u64,
    /// The same packet captured again, on another interface or twice.
    pub duplicates: u64,
    /// Payload that had been captured already, bytes: sent again.
    pub retransmitted_bytes: u64,
    /// Packets that came before an earlier one of their direction.
    pub out_of_order: u64,
    /// Times a connection began where one with the same addresses had not ended.
    pub reused: u64,
}

impl Packets {
    /// What was added since an earlier state.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let Self {
            taken,
            followed,
            other,
            duplicates,
            retransmitted_bytes,
            out_of_order,
            reused,
        } = before;
        Self {
            taken: self.taken - taken,
            followed: self.followed - followed,
            other: self.other - other,
            duplicates: self.duplicates - duplicates,
            retransmitted_bytes: self.retransmitted_bytes - retransmitted_bytes,
            out_of_order: self.out_of_order - out_of_order,
            reused: self.reused - reused,
        }
    }
}
