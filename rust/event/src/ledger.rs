//! The ledger: what became of every byte that memcached moved during a recording. Its sums are checked, not assumed.

use serde::{Deserialize, Serialize};

/// Bytes of one direction of one server's connections, by what became of them.
///
/// Every byte seen is accounted for: `seen = parsed + value_skipped + text_skipped + boundary + unsynced + truncated +
/// not_decoded`. Bytes that moved unseen are `missed`, which is not part of `seen`.
///
/// ```
/// use membench_event::Flow;
///
/// let one = Flow { seen: 38, parsed: 15, value_skipped: 23, ..Flow::default() };
/// let mut sum = Flow { seen: 7, boundary: 7, missed: 9, ..Flow::default() };
/// sum.add(&one);
/// assert_eq!((sum.seen, sum.accounted()), (45, 45));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Bytes of the calls or packets that the source saw.
    pub seen: u64,
    /// Bytes of lines and headers that became requests or responses.
    pub parsed: u64,
    /// Bytes of values, skipped by their declared length.
    pub value_skipped: u64,
    /// Bytes inside a response that is a list (`stats`, …), skipped up to the line that ends it.
    pub text_skipped: u64,
    /// Bytes of messages that began before the capture or were incomplete at its end: not a loss.
    pub boundary: u64,
    /// Bytes scanned in search of the next message after a loss.
    pub unsynced: u64,
    /// Bytes that decoding needed but that were not kept, and the messages they cut.
    pub truncated: u64,
    /// Bytes that the source saw but that were lost before decoding.
    pub not_decoded: u64,
    /// Bytes that moved unseen (a gap in the TCP sequence); not part of `seen`.
    pub missed: u64,
}

/// One server: a process listening on a port in a network namespace, or at a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Ordinal of the server, as in the connection table.
    pub server: u32,
    /// Listening port; 0 for a path.
    pub port: u16,
    /// Path of the UNIX-domain socket, if it listens there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Process id in the initial pid namespace; 0 if packets or clients were recorded, which do not show it.
    pub pid: u32,
    /// Inode number of the network namespace; 0 if a capture file was read.
    pub network_namespace: u32,
    /// IP address of the server, if packets or clients were recorded: it is what tells their servers apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<std::net::IpAddr>,
    /// Bytes that memcached read.
    pub request: Flow,
    /// Bytes that memcached wrote.
    pub response: Flow,
}

/// Defines [`Ledger`] by its loss terms. A term is defined by its entry in the list below and nowhere else in this
/// crate: the entry gives the field, its place in JSON, its line in [`Ledger::losses`] and its difference in
/// [`Ledger::since`].
macro_rules! ledger {
    ($($(#[doc = $doc:literal])+ $term:ident,)+) => {
        /// The losses of a whole capture. Every field from `ring_full` to `log_unparsed` is a loss term.
        ///
        /// ```
        /// use membench_event::Ledger;
        ///
        /// let earlier = Ledger { request_bytes: 90, ring_full: 10, ..Ledger::default() };
        /// let later = Ledger { request_bytes: 250, ring_full: 10, late: 7, ..Ledger::default() };
        /// let lost = |ledger: &Ledger| {
        ///     let losses = ledger.losses().into_iter().filter(|(_, amount)| *amount > 0);
        ///     losses.collect::<Vec<_>>()
        /// };
        /// assert_eq!(lost(&later), [("ring_full", 10), ("late", 7)]);
        ///
        /// // The part of the capture between the two.
        /// let part = later.since(&earlier);
        /// assert_eq!((part.request_bytes, lost(&part)), (160, vec![("late", 7)]));
        /// assert_eq!(part.complete, Some(false));
        /// ```
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Ledger {
            /// True if every loss term is 0; `None` while recording, and if the recording was not sealed.
            pub complete: Option<bool>,
            /// Bytes the servers read while recording, as the source counted them.
            pub request_bytes: u64,
            /// Bytes the servers wrote while recording, as the source counted them.
            pub response_bytes: u64,
            /// Share of `request_bytes` that the recorder itself sent (`stats`); it makes no events.
            pub own_request_bytes: u64,
            /// Share of `response_bytes` that answered the recorder itself.
            pub own_response_bytes: u64,
            $($(#[doc = $doc])+ pub $term: u64,)+
            /// Lines read from memcached's log; 0 for other sources.
            pub log_lines: u64,
            /// Times memcached's clock was set back, so that its log's times were shifted.
            pub log_clock_steps: u64,
            /// Share of each ring in `ring_full`, bytes; empty if there is one buffer.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub ring_full_by_ring: Vec<u64>,
            /// Bytes of messages that began before the capture or were incomplete at its end: not a loss.
            pub boundary: u64,
            /// Times the kernel skipped a program that sees no bytes, so that a connection's end or an arrival may be
            /// unknown: not a loss.
            pub misses_aside: u64,
            /// Times the kernel skipped a program that sees bytes, because it was already running on that CPU, on any
            /// socket of the machine: not a loss by itself.
            pub runs_skipped: u64,
            /// Calls on followed sockets that a standby program recorded when the kernel had skipped the first one.
            pub calls_recovered: u64,
            /// Connections that carried TLS: not a loss by itself, as their bytes are in `unsynced`.
            pub tls_connections: u64,
            /// Counts of packets, if packets were recorded: not a loss.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub packets: Option<Packets>,
            /// The bytes of each server.
            pub servers: Vec<Server>,
        }

        impl Ledger {
            /// The names of the loss terms, in order.
            pub const LOSS_TERMS: &'static [&'static str] = &[$(stringify!($term)),+];

            /// Returns every loss term with its name, in order.
            pub fn losses(&self) -> [(&'static str, u64); Self::LOSS_TERMS.len()] {
                [$((stringify!($term), self.$term)),+]
            }

            /// Returns what was added since `before`, an earlier ledger of the same capture.
            #[must_use]
            pub fn since(&self, before: &Self) -> Self {
                // Destructured fully: a field without its difference does not compile.
                let Self {
                    complete: _,
                    request_bytes,
                    response_bytes,
                    own_request_bytes,
                    own_response_bytes,
                    $($term,)+
                    log_lines,
                    log_clock_steps,
                    ring_full_by_ring,
                    boundary,
                    misses_aside,
                    runs_skipped,
                    calls_recovered,
                    tls_connections,
                    packets,
                    servers,
                } = before;
                let mut added = Self {
                    complete: None,
                    request_bytes: self.request_bytes.saturating_sub(*request_bytes),
                    response_bytes: self.response_bytes.saturating_sub(*response_bytes),
                    own_request_bytes: self.own_request_bytes.saturating_sub(*own_request_bytes),
                    own_response_bytes: self.own_response_bytes.saturating_sub(*own_response_bytes),
                    $($term: self.$term.saturating_sub(*$term),)+
                    log_lines: self.log_lines.saturating_sub(*log_lines),
                    log_clock_steps: self.log_clock_steps.saturating_sub(*log_clock_steps),
                    ring_full_by_ring: rings_since(&self.ring_full_by_ring, ring_full_by_ring),
                    boundary: self.boundary.saturating_sub(*boundary),
                    misses_aside: self.misses_aside.saturating_sub(*misses_aside),
                    runs_skipped: self.runs_skipped.saturating_sub(*runs_skipped),
                    calls_recovered: self.calls_recovered.saturating_sub(*calls_recovered),
                    tls_connections: self.tls_connections.saturating_sub(*tls_connections),
                    packets: packets_since(self.packets, *packets),
                    servers: servers_since(&self.servers, servers),
                };
                added.complete = Some(added.nothing_lost());
                added
            }
        }
    };
}

ledger! {
    /// Bytes lost because a ring buffer was full.
    ring_full,
    /// Bytes that moved unseen: the TCP sequence numbers show the gap.
    missed,
    /// Bytes that decoding needed, beyond what one call may put into the ring.
    record_limit,
    /// Bytes moved by a system call whose buffers are not located.
    other_syscall,
    /// Bytes moved by `io_uring`.
    io_uring,
    /// Bytes moved by kernel threads.
    kernel_thread,
    /// Bytes moved by 32-bit tasks.
    compat_task,
    /// Bytes in buffers that could not be read.
    fault,
    /// Bytes on connections for which there was no room to keep state.
    no_state,
    /// Bytes of UDP datagrams that are not decoded.
    udp,
    /// Bytes on followed sockets that are neither IPv4, IPv6 nor UNIX-domain streams.
    other_family,
    /// Bytes that the kernel programs did not look at, because the recorder had been silent for 2 s.
    unattended,
    /// Bytes on sockets that were never announced, or were closed long before.
    orphaned,
    /// Bytes of records that were written so slowly that the bytes after them had been decoded already.
    late,
    /// Bytes that decoding needed but that were not kept, and the messages they cut.
    truncated,
    /// Bytes scanned in search of the next message after a loss.
    unsynced,
    /// Requests whose response was due but was not seen, or could not be assigned with certainty.
    unpaired,
    /// Responses without a request.
    unmatched,
    /// Requests whose flags are kept in part only, because clients sent more different combinations than are stored.
    options_cut,
    /// Packets dropped before they reached the recorder.
    packets_dropped,
    /// IP fragments of followed ports, which are not reassembled.
    fragments,
    /// Packets captured too short, or with headers that cannot be read.
    packets_unreadable,
    /// Records of the rings that break a rule of their format.
    malformed,
    /// Capture files that could not be read to their end.
    file_damaged,
    /// Skipped runs of programs that may have seen bytes of sockets without sequence numbers, where no gap tells.
    program_misses,
    /// Events that a slow consumer did not take.
    user_queue_drops,
    /// Events that could not be written to the disk.
    unwritten,
    /// Lines of its log that memcached did not hand out, because they were read too slowly.
    log_skipped,
    /// Log lines for which memcached's threads had no room.
    log_dropped,
    /// Lines that are not memcached's.
    log_unparsed,
}

impl Ledger {
    /// Returns the ledger up to a cut in a capture that continues. Bytes of incomplete messages are left to the ledger
    /// of the next part.
    #[must_use]
    pub fn at_a_cut(mut self) -> Self {
        for server in &mut self.servers {
            for flow in [&mut server.request, &mut server.response] {
                flow.seen = flow.accounted();
            }
        }
        self
    }

    /// Returns true if every loss term is 0.
    pub fn nothing_lost(&self) -> bool {
        self.losses().iter().all(|(_, amount)| *amount == 0)
    }
}

fn rings_since(now: &[u64], before: &[u64]) -> Vec<u64> {
    let before = before.iter().copied().chain(std::iter::repeat(0));
    let rings = now.iter().zip(before);
    rings
        .map(|(now, before)| now.saturating_sub(before))
        .collect()
}

fn packets_since(now: Option<Packets>, before: Option<Packets>) -> Option<Packets> {
    let before = before.unwrap_or_default();
    now.map(|packets| packets.since(&before))
}

/// Returns each server with the bytes added since. A capture only ever appends servers.
fn servers_since(now: &[Server], before: &[Server]) -> Vec<Server> {
    let flows = before
        .iter()
        .map(|server| (server.request, server.response));
    let before = flows.chain(std::iter::repeat(Default::default()));
    let servers = now.iter().zip(before);
    servers
        .map(|(server, (request, response))| Server {
            request: server.request.since(&request),
            response: server.response.since(&response),
            ..server.clone()
        })
        .collect()
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

    /// Returns the sum of the terms that account for `seen`. It differs from `seen` only if membench miscounts.
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

/// Sums over one connection, counted while it was decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of requests.
    pub request: Flow,
    /// Bytes of responses.
    pub response: Flow,
    /// Requests whose response was due but was not seen.
    pub unpaired: u64,
    /// Responses without a request.
    pub unmatched: u64,
    /// Times decoding had to search for the next message after a loss.
    pub resyncs: u32,
    /// Number of connections that carried TLS, which is not decoded.
    pub tls_connections: u64,
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
            tls_connections,
        } = self;
        request.add(&other.request);
        response.add(&other.response);
        *unpaired += other.unpaired;
        *unmatched += other.unmatched;
        *resyncs = resyncs.saturating_add(other.resyncs);
        *tls_connections += other.tls_connections;
    }
}

/// Counts of the packets of a capture. None of them is a loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Packets {
    /// Packets captured.
    pub taken: u64,
    /// TCP packets from or to the followed ports.
    pub followed: u64,
    /// UDP datagrams of memcached from or to the followed ports.
    pub datagrams: u64,
    /// UDP datagrams of other protocols from or to the followed ports.
    pub foreign: u64,
    /// Packets that were carried inside others: VXLAN, GRE, ….
    pub encapsulated: u64,
    /// Packets from or to the followed ports whose payload was not captured to its end: a snap length.
    pub cut: u64,
    /// Packets of anything else.
    pub other: u64,
    /// Packets captured a second time, on another interface or on the same one.
    pub duplicates: u64,
    /// Payload captured before and sent again, bytes.
    pub retransmitted_bytes: u64,
    /// Packets captured after a later one of their direction.
    pub out_of_order: u64,
    /// Connections opened with the addresses of one that had not ended.
    pub reused: u64,
    /// Times the capture's clock was set, so that later packets' times were shifted.
    pub clock_steps: u64,
}

impl Packets {
    /// Returns what was added since `before`, earlier counts of the same capture.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let Self {
            taken,
            followed,
            datagrams,
            foreign,
            encapsulated,
            cut,
            other,
            duplicates,
            retransmitted_bytes,
            out_of_order,
            reused,
            clock_steps,
        } = before;
        Self {
            taken: self.taken - taken,
            followed: self.followed - followed,
            datagrams: self.datagrams - datagrams,
            foreign: self.foreign - foreign,
            encapsulated: self.encapsulated - encapsulated,
            cut: self.cut - cut,
            other: self.other - other,
            duplicates: self.duplicates - duplicates,
            retransmitted_bytes: self.retransmitted_bytes - retransmitted_bytes,
            out_of_order: self.out_of_order - out_of_order,
            reused: self.reused - reused,
            clock_steps: self.clock_steps - clock_steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_the_loss_terms_in_their_order() {
        let json = serde_json::to_string(&Ledger::default()).unwrap();
        let terms: Vec<_> = Ledger::LOSS_TERMS
            .iter()
            .map(|term| format!("\"{term}\":0"))
            .collect();
        let expected = format!(
            "\"own_response_bytes\":0,{},\"log_lines\":0",
            terms.join(",")
        );
        assert!(json.contains(&expected), "{json}");
    }

    #[test]
    fn terms_that_an_older_ledger_lacks_are_0() {
        let ledger: Ledger = serde_json::from_str(r#"{"ring_full": 3}"#).unwrap();
        let expected = Ledger {
            ring_full: 3,
            ..Ledger::default()
        };
        assert_eq!(ledger, expected);
    }

    #[test]
    fn a_later_ledger_is_compared_ring_by_ring_and_server_by_server() {
        let server = |server, seen| Server {
            server,
            request: Flow {
                seen,
                ..Flow::default()
            },
            ..Server::default()
        };
        let ledger = |rings: &[u64], servers: &[Server]| Ledger {
            ring_full_by_ring: rings.to_vec(),
            servers: servers.to_vec(),
            ..Ledger::default()
        };
        let earlier = ledger(&[5], &[server(0, 10)]);
        let later = ledger(&[7, 4], &[server(0, 30), server(1, 8)]);
        let expected = Ledger {
            complete: Some(true),
            ..ledger(&[2, 4], &[server(0, 20), server(1, 8)])
        };
        assert_eq!(later.since(&earlier), expected);
    }
}
