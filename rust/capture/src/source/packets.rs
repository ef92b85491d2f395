//! Packets of a capture file, or of an interface through libpcap or our own programs → a session.

use std::path::Path;
use std::thread;
use std::time::Duration;

use membench_common::counter;
use membench_decode::Responses;
use membench_decode::packet::file::{Damage, Reader};
use membench_decode::packet::{Flows, Limits};
use membench_event::{Anchor, Ledger};
use membench_profile::Header;

use crate::recorder::thread::ratio;
use crate::session::Session;
use crate::source::Drained;
use crate::source::interface::Interface;
use crate::source::libpcap::{Live, TIMEOUT_MS};
use crate::{Error, Facts, RecordOptions, Result, Selection, Side, clock};
use membench_event::Setting;

/// What `time` and `server_time` are, as manifests say it.
const TIME_BASIS: &str = "packet";
const SERVER_TIME: &str = "from the last packet of the request to the last packet of its response";

/// How far behind the clock packets may still come, ns: the kernel holds them back, and processors differ.
const BEHIND: u64 = 100_000_000;

/// Where packets come from.
enum Feed {
    File(Box<Reader>),
    Live(Box<Live>),
    Hooked(Box<Interface>),
}

impl Feed {
    /// Now, on the clock of its packets, ns: libpcap's is UTC.
    fn now(&self) -> u64 {
        match self {
            Self::File(_) | Self::Live(_) => clock::anchor().utc_ns,
            Self::Hooked(_) => clock::monotonic_ns(),
        }
    }
}

/// A packet source that is open.
pub(crate) struct Packets {
    feed: Feed,
    flows: Flows,
    /// Time of the first packet and of the last, ns.
    first: Option<u64>,
    last: u64,
    /// How much of a file is taken, by its packets' times.
    duration: Option<Duration>,
    /// When libpcap's capture was ended, ns since 1970: later packets are not taken.
    until: Option<u64>,
    /// Bytes taken since there was no packet.
    taken: u64,
    /// Why it ended.
    ending: &'static str,
    /// What removes what could not be removed at the end.
    left_behind: Option<String>,
}

impl Packets {
    /// Opens a capture file.
    pub(crate) fn open_file(path: &Path, options: &RecordOptions) -> Result<Self> {
        let feed = Feed::File(Box::new(Reader::open(path)?));
        Ok(Self::new(feed, options, "end of file"))
    }

    /// Opens an interface, or `any`.
    pub(crate) fn open_live(interface: &str, options: &RecordOptions) -> Result<Self> {
        let live = Live::open(interface, &options.selection.ports, options.ring_bytes)?;
        Ok(Self::new(
            Feed::Live(Box::new(live)),
            options,
            "interface gone",
        ))
    }

    /// Attaches our programs to an interface.
    pub(crate) fn open_hooked(interface: &str, options: &RecordOptions) -> Result<Self> {
        let ports = &options.selection.ports;
        let opened = Interface::open(interface, ports, options.ring_bytes, options.attachment)?;
        Ok(Self::new(
            Feed::Hooked(Box::new(opened)),
            options,
            "interface gone",
        ))
    }

    fn new(feed: Feed, options: &RecordOptions, ending: &'static str) -> Self {
        Self {
            feed,
            flows: Flows::new(&options.selection.ports, Limits::default()),
            first: None,
            last: 0,
            duration: options.duration,
            until: None,
            taken: 0,
            ending,
            left_behind: None,
        }
    }

    /// Takes packets.
    pub(crate) fn drain(&mut self, most: usize, session: &mut Session) -> Drained {
        let mut drained = Drained::default();
        for _ in 0..most {
            if self.past_its_time() {
                self.ending = "duration";
                drained.ended = true;
                return drained;
            }
            if !self.take(session) {
                drained.fill = self.fill();
                self.taken = 0;
                drained.ended = !self.pause(session);
                return drained;
            }
        }
        drained.more = true;
        drained.fill = self.fill();
        drained
    }

    /// How full the kernel's buffer was, at least, 0…1.
    fn fill(&self) -> f64 {
        let buffer = self.buffer_bytes();
        ratio(self.taken.min(buffer), buffer.max(1))
    }

    /// Takes the next packet; false if there is none.
    fn take(&mut self, session: &mut Session) -> bool {
        let packet = match &mut self.feed {
            Feed::File(reader) => reader.next_packet(),
            Feed::Live(live) => live.next_packet(),
            Feed::Hooked(interface) => interface.next_packet(),
        };
        let Some(packet) = packet else {
            return false;
        };
        if self.until.is_some_and(|until| packet.time > until) {
            return false;
        }
        self.taken += packet.bytes.len() as u64;
        self.first.get_or_insert(packet.time);
        self.last = self.last.max(packet.time);
        self.flows
            .take(&packet, &mut |found| session.take_found(&found));
        true
    }

    /// There is no packet now; whether there may be later.
    fn pause(&mut self, session: &mut Session) -> bool {
        let now = self.feed.now();
        let goes_on = match &mut self.feed {
            Feed::File(_) => return false,
            Feed::Live(live) => {
                live.count_drops();
                live.failure().is_none()
            }
            Feed::Hooked(interface) => interface.failure(now).is_none(),
        };
        let now = now.saturating_sub(BEHIND);
        self.flows
            .advance_to(now, &mut |found| session.take_found(&found));
        goes_on
    }

    fn past_its_time(&mut self) -> bool {
        let (Feed::File(reader), Some(duration), Some(first)) =
            (&mut self.feed, self.duration, self.first)
        else {
            return false;
        };
        let next = reader.next_time();
        next.is_some_and(|next| Duration::from_nanos(next.saturating_sub(first)) > duration)
    }

    /// Later packets are not taken; those that the kernel holds back are waited for, or stay in the ring.
    pub(crate) fn detach(&mut self) {
        match &mut self.feed {
            Feed::File(_) => {}
            Feed::Live(_) => {
                self.until = Some(clock::anchor().utc_ns);
                thread::sleep(2 * Duration::from_millis(TIMEOUT_MS.into()));
            }
            Feed::Hooked(interface) => self.left_behind = interface.detach(),
        }
    }

    /// Whether what is not taken soon is lost.
    pub(crate) fn is_live(&self) -> bool {
        match &self.feed {
            Feed::File(_) => false,
            Feed::Live(_) | Feed::Hooked(_) => true,
        }
    }

    /// Size of the kernel's buffer; a file has none that could be full.
    pub(crate) fn buffer_bytes(&self) -> u64 {
        match &self.feed {
            Feed::File(_) => 0,
            Feed::Live(live) => live.buffer_bytes().into(),
            Feed::Hooked(interface) => interface.facts().ring_bytes,
        }
    }

    /// How our programs are attached, where they are.
    pub(crate) fn facts(&self) -> Option<&Facts> {
        match &self.feed {
            Feed::File(_) | Feed::Live(_) => None,
            Feed::Hooked(interface) => Some(interface.facts()),
        }
    }

    /// What removes our programs by hand, where that may become necessary.
    pub(crate) fn removal(&self) -> Option<String> {
        match &self.feed {
            Feed::File(_) | Feed::Live(_) => None,
            Feed::Hooked(interface) => interface.removal(),
        }
    }

    /// What removes what of our programs is left although they were detached.
    pub(crate) fn left_behind(&self) -> Option<String> {
        self.left_behind.clone()
    }

    /// Tells our programs that the recorder is at work.
    pub(crate) fn beat(&self) {
        if let Feed::Hooked(interface) = &self.feed {
            interface.beat();
        }
    }

    /// `pcap:` or `ebpf:` and the interface, of a live capture.
    pub(crate) fn name(&self) -> Option<String> {
        match &self.feed {
            Feed::File(_) => None,
            Feed::Live(live) => Some(live.name()),
            Feed::Hooked(interface) => Some(interface.name()),
        }
    }

    /// The first packet's time, or now. Packets are on the clock of UTC, but for those of our programs.
    pub(crate) fn anchor(&mut self) -> Anchor {
        let time = match &mut self.feed {
            Feed::File(reader) => reader.next_time().unwrap_or(0),
            Feed::Live(_) => clock::anchor().utc_ns,
            Feed::Hooked(_) => return clock::anchor(),
        };
        Anchor {
            monotonic_ns: time,
            utc_ns: time,
        }
    }

    /// What a profile says of it.
    pub(crate) fn describe(&self, header: &mut Header) {
        TIME_BASIS.clone_into(&mut header.time_basis);
        match &self.feed {
            Feed::File(reader) => header.facts["format"] = reader.format_name().into(),
            Feed::Live(live) => {
                header.source = live.name();
                header.facts["libpcap"] = live.version().into();
                header.facts["buffer_bytes"] = live.buffer_bytes().into();
            }
            Feed::Hooked(interface) => {
                header.source = interface.name();
                interface.facts().describe(header);
            }
        }
        header.facts["server_time"] = SERVER_TIME.into();
    }

    /// Hands on what waits, and ends every connection.
    pub(crate) fn end(&mut self, session: &mut Session) {
        self.flows.finish(&mut |found| session.take_found(&found));
        session.end(self.flows.now());
    }

    /// Bytes and losses so far.
    pub(crate) fn counters(&self, session: &Session) -> [u64; counter::COUNT] {
        let mut counters = session.counters();
        let unfollowed = self.flows.unfollowed();
        counters[counter::UDP as usize] = unfollowed.udp;
        counters[counter::NO_STATE as usize] = unfollowed.no_state;
        counters
    }

    /// The ledger of an ended session.
    pub(crate) fn ledger(&self, session: &Session) -> Ledger {
        let unfollowed = self.flows.unfollowed();
        let (dropped, passed_over) = match &self.feed {
            Feed::File(reader) => reader.dropped(),
            Feed::Live(live) => (live.dropped(), 0),
            Feed::Hooked(interface) => (interface.dropped(), interface.unreadable()),
        };
        let mut ledger = Ledger {
            packets_dropped: dropped,
            fragments: unfollowed.fragments,
            packets_unreadable: unfollowed.unreadable + passed_over,
            file_damaged: self.damage().is_some().into(),
            packets: Some(self.flows.packets()),
            ..session.ledger(&self.counters(session), 0)
        };
        ledger.complete = Some(ledger.nothing_lost());
        ledger
    }

    /// From the first packet to the last.
    pub(crate) fn span(&self) -> Duration {
        let first = self.first.unwrap_or(self.last);
        Duration::from_nanos(self.last.saturating_sub(first))
    }

    fn damage(&self) -> Option<Damage> {
        match &self.feed {
            Feed::File(reader) => reader.damage(),
            Feed::Live(_) | Feed::Hooked(_) => None,
        }
    }

    /// Why it ended by itself.
    pub(crate) fn ending(&self) -> String {
        if let Some(damage) = self.damage() {
            return format!("damaged file: {damage}");
        }
        let reason = match &self.feed {
            Feed::File(_) => return self.ending.to_owned(),
            Feed::Live(live) => live.failure(),
            Feed::Hooked(interface) => interface.told_failure(),
        };
        format!("{}: {}", self.ending, reason.unwrap_or("no reason given"))
    }
}

/// What only the server's sockets can tell.
pub(crate) fn refuse_what_packets_lack(options: &RecordOptions) -> Result<()> {
    let Selection {
        side,
        ports: _,
        sockets,
        pids,
        cgroups,
        network_namespaces,
    } = &options.selection;
    let asked = [
        (options.responses != Responses::Bytes, Setting::Responses),
        (options.hooks.is_some(), Setting::Hooks),
        (*side == Side::Client, Setting::Side),
        (!sockets.is_empty(), Setting::Sockets),
        (!pids.is_empty(), Setting::Pids),
        (!cgroups.is_empty(), Setting::Cgroups),
        (!network_namespaces.is_empty(), Setting::NetworkNamespaces),
        (options.sample.connections > 1, Setting::SampleConnections),
    ];
    match asked.iter().find(|(asked, _)| *asked) {
        None => Ok(()),
        Some((_, option)) => Err(Error::NotForSource {
            origin: options.source.clone(),
            option: *option,
        }),
    }
}
