//! Kernel hooks, packets, or memcached's own log → decoded events, by one contract.

pub(crate) mod end;
pub(crate) mod files;
#[cfg(feature = "ebpf")]
pub(crate) mod frames;
pub(crate) mod inquiry;
#[cfg(feature = "ebpf")]
pub(crate) mod interface;
#[cfg(feature = "pcap")]
pub(crate) mod libpcap;
pub(crate) mod log;
pub(crate) mod packets;
#[cfg(feature = "ebpf")]
pub(crate) mod sockets;
/// The vocabulary of the hooks, which this build leaves out.
#[cfg(not(feature = "ebpf"))]
pub(crate) mod sockets {
    pub(crate) mod options;
}
pub(crate) mod spec;
pub(crate) mod stored;

use std::time::Duration;

use membench_decode::packet::Sightings;
use membench_decode::{Connections, Decoder, privacy::KeyHasher};
use membench_event::{Anchor, Class, ConnectionRow, Failure, Ledger, LossRow};
use serde_json::Value;

use crate::selection::namespaces;
use crate::server::difference::Difference;
use crate::server::status::ServerStatus;
use crate::session::decoded::Decoded;
use crate::session::{Session, peer::OpenBefore, peer::OwnAddresses, sockets::Sockets};
use crate::source::end::Ended;
use crate::source::inquiry::Inquiry;
use crate::source::{files::Files, log::LogSource, packets::Packets};
use crate::{Error, Facts, Followed, RecordOptions, Result, Side, SourceSpec, clock};

#[cfg(feature = "pcap")]
use crate::source::libpcap::Libpcap;
#[cfg(feature = "ebpf")]
use crate::{
    KernelOptions,
    source::{interface::Interface, sockets::Kernel, sockets::calls::Calls},
};

/// A source that is open. All of them have the same functions.
pub(crate) enum Source {
    /// Calls on sockets, by the kernel's hooks.
    #[cfg(feature = "ebpf")]
    Sockets(Box<Calls>),
    /// Packets of an interface, by programs of ours.
    #[cfg(feature = "ebpf")]
    Interface(Box<Packets<Interface>>),
    /// Packets of an interface, by libpcap.
    #[cfg(feature = "pcap")]
    Libpcap(Box<Packets<Libpcap>>),
    /// Packets of capture files.
    Files(Box<Packets<Files>>),
    /// memcached's own log.
    Log(Box<LogSource>),
}

/// Calls the function of whichever source it is.
macro_rules! each {
    ($of:expr, $source:ident => $call:expr) => {
        match $of {
            #[cfg(feature = "ebpf")]
            Source::Sockets($source) => $call,
            #[cfg(feature = "ebpf")]
            Source::Interface($source) => $call,
            #[cfg(feature = "pcap")]
            Source::Libpcap($source) => $call,
            Source::Files($source) => $call,
            Source::Log($source) => $call,
        }
    };
}

/// The result of one look at a source.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Drained {
    /// Fill of the buffer, 0…1; of several rings, the fullest.
    pub(crate) fill: f64,
    /// Age of the oldest record taken.
    pub(crate) lag: Duration,
    /// True if there may be more at once.
    pub(crate) more: bool,
    /// The reason why there will be no more, if so.
    pub(crate) ended: Option<Ended>,
}

/// Losses so far, as far as a status shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) bytes: u64,
    /// Packets that were dropped, cut up, or could not be read.
    pub(crate) packets: u64,
    /// Lines of memcached's log.
    pub(crate) lines: u64,
}

/// The servers' own counters beside what was recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Comparison {
    /// The servers' answers at the end, for the manifest.
    pub(crate) statistics_end: Value,
    pub(crate) differences: Vec<Difference>,
    /// Number of servers without a comparison, though it was asked for.
    pub(crate) uncompared: u64,
    /// Number of servers that set their counters to 0 meanwhile.
    pub(crate) reset: u64,
    /// Bytes that servers counted and that no hook saw.
    pub(crate) unseen: u64,
}

/// The clock that events' times are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// `CLOCK_MONOTONIC`, now.
    Monotonic,
    /// UTC, now.
    Utc,
    /// Whatever the stored events say.
    Stored,
}

/// Facts of a source that do not change once it is open.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    /// The source that is open, which is not the one asked for where a fallback was taken.
    pub(crate) spec: SourceSpec,
    /// The moment by which times are placed.
    pub(crate) anchor: Anchor,
    pub(crate) clock: Clock,
    /// The meaning of an event's `time`, as manifests name it.
    pub(crate) time_basis: &'static str,
    /// Size of the buffers that are drained and that the process's memory does not show, bytes.
    pub(crate) buffer_bytes: u64,
    /// Time that records made before the end may take to arrive.
    pub(crate) linger: Duration,
    /// Facts of the kernel programs, if there are any.
    pub(crate) kernel: Option<Facts>,
    /// The reason why another source was taken than the one asked for.
    pub(crate) instead: Option<String>,
    /// The shell command that removes our programs if this process and its helper are both killed.
    pub(crate) removal: Option<String>,
    /// Servers that have already said who they are.
    pub(crate) servers: Vec<ServerStatus>,
    /// Their counters at the start, for the manifest.
    pub(crate) statistics_start: Value,
    /// Further facts for the manifest, an object.
    pub(crate) facts: Value,
}

impl Description {
    /// Describes a source of events that happen now, on `CLOCK_MONOTONIC`.
    pub(crate) fn new(spec: SourceSpec, time_basis: &'static str) -> Self {
        Self {
            spec,
            anchor: clock::anchor(),
            clock: Clock::Monotonic,
            time_basis,
            buffer_bytes: 0,
            linger: Duration::ZERO,
            kernel: None,
            instead: None,
            removal: None,
            servers: Vec::new(),
            statistics_start: Value::Null,
            facts: serde_json::json!({}),
        }
    }

    /// True if what is not taken soon is lost; a file waits.
    pub(crate) fn is_live(&self) -> bool {
        self.clock != Clock::Stored
    }

    /// True if the servers' counters and the recorded bytes can be compared at one point of the stream.
    pub(crate) fn sees_reads(&self) -> bool {
        self.spec == SourceSpec::Sockets
    }

    /// Now on the events' clock, ns; `latest` is the time of the latest event.
    pub(crate) fn now(&self, latest: u64) -> u64 {
        match self.clock {
            Clock::Monotonic => clock::monotonic_ns(),
            Clock::Utc => clock::anchor().utc_ns,
            Clock::Stored => latest,
        }
    }

    /// SHA-256 of the kernel programs' object.
    pub(crate) fn object(&self) -> &'static str {
        self.kernel
            .as_ref()
            .map_or("none", |facts| facts.object_sha256)
    }
}

impl Source {
    /// Takes what is there, at most `limit` records or packets, and hands on the events.
    pub(crate) fn drain(&mut self, limit: usize, sink: &mut impl FnMut(&Decoded<'_>)) -> Drained {
        each!(self, source => source.drain(limit, sink))
    }

    /// Settles what has waited long enough by `now`, ns of `CLOCK_MONOTONIC`, and hands on the events.
    pub(crate) fn settle(&mut self, now: u64, sink: &mut impl FnMut(&Decoded<'_>)) {
        each!(self, source => source.settle(now, sink));
    }

    /// Tells the source that the recorder is at work.
    pub(crate) fn beat(&self) {
        each!(self, source => source.beat());
    }

    /// Stops the source; records that it still holds can be drained. Returns the shell command that removes what could
    /// not be removed.
    pub(crate) fn detach(&mut self) -> Option<String> {
        each!(self, source => source.detach())
    }

    /// Settles everything, as nothing more will be drained, and hands on the events. Returns how long a stored source
    /// lasted, by its own times.
    pub(crate) fn end(&mut self, sink: &mut impl FnMut(&Decoded<'_>)) -> Option<Duration> {
        each!(self, source => source.end(sink))
    }

    /// Returns what there was that is not followed, if packets were looked at.
    pub(crate) fn sightings(&self) -> Option<&Sightings> {
        match self {
            #[cfg(feature = "ebpf")]
            Self::Sockets(_) => None,
            #[cfg(feature = "ebpf")]
            Self::Interface(source) => Some(source.sightings()),
            #[cfg(feature = "pcap")]
            Self::Libpcap(source) => Some(source.sightings()),
            Self::Files(source) => Some(source.sightings()),
            Self::Log(_) => None,
        }
    }

    /// Returns the time that a stored source covers so far, by its own times.
    pub(crate) fn covered(&self) -> Option<Duration> {
        match self {
            Self::Files(source) => Some(source.covered()),
            Self::Log(source) => source.covered(),
            #[cfg(any(feature = "ebpf", feature = "pcap"))]
            _ => None,
        }
    }

    /// Returns the losses so far.
    pub(crate) fn lost(&self) -> Lost {
        each!(self, source => source.lost())
    }

    /// Returns the ledger so far.
    pub(crate) fn ledger(&mut self) -> Ledger {
        each!(self, source => source.ledger())
    }

    /// The table of connections.
    pub(crate) fn connections(&self) -> &Connections {
        each!(self, source => source.connections())
    }

    /// Takes the rows of the connections that have ended since the last call.
    pub(crate) fn take_ended(&mut self) -> Vec<ConnectionRow> {
        each!(self, source => source.take_ended())
    }

    /// Returns the losses listed one by one since the last call.
    pub(crate) fn take_losses(&mut self) -> Vec<LossRow> {
        each!(self, source => source.take_losses())
    }

    /// Returns the session; a log has none.
    pub(crate) fn session(&mut self) -> Option<&mut Session> {
        Some(match self {
            #[cfg(feature = "ebpf")]
            Self::Sockets(source) => source.session(),
            #[cfg(feature = "ebpf")]
            Self::Interface(source) => source.session(),
            #[cfg(feature = "pcap")]
            Self::Libpcap(source) => source.session(),
            Self::Files(source) => source.session(),
            Self::Log(_) => return None,
        })
    }

    /// Ends a live log at `time`, ns of `CLOCK_MONOTONIC`: its lines arrive late, so some from before are still to come.
    pub(crate) fn end_at(&mut self, time: u64) {
        if let Self::Log(source) = self {
            source.end_at(time);
        }
    }

    /// Compares the servers' counters with what was recorded.
    pub(crate) fn compare(&self, inquiry: &Inquiry) -> Comparison {
        each!(self, source => source.compare(inquiry))
    }
}

/// The parts that a session is made from.
pub(crate) struct Setup<'a> {
    pub(crate) options: &'a RecordOptions,
    pub(crate) followed: &'a Followed,
    pub(crate) hasher: KeyHasher,
    /// Addresses of connections of ours.
    pub(crate) own: &'a OwnAddresses,
}

impl Setup<'_> {
    /// Creates an empty session. `namespace` is the network namespace that packets are seen in, 0 if they tell.
    pub(crate) fn session(
        self,
        anchor: Anchor,
        open_before: OpenBefore,
        namespace: u32,
    ) -> Session {
        let Followed { side, sockets, .. } = self.followed;
        let utc_offset = i128::from(anchor.utc_ns) - i128::from(anchor.monotonic_ns);
        let decoder = Decoder::new(self.hasher, self.options.responses, utc_offset)
            .client_side(*side == Side::Client);
        let paths = sockets.clone();
        let sockets = Sockets::new(self.own.clone(), namespaces::own(), open_before, paths)
            .with_side(*side)
            .with_addresses(self.options.addresses.clone());
        let mut session = Session::new(decoder, sockets);
        session.namespace = namespace;
        session
    }
}

/// Opens the source that is asked for. Where the kernel's hooks cannot be used and that is allowed, packets of every
/// interface stand in for them.
pub(crate) fn open(setup: Setup<'_>) -> Result<(Source, Description)> {
    let options = setup.options;
    match &options.source {
        SourceSpec::Sockets => open_sockets(setup),
        SourceSpec::Interface(name) => open_interface(name, setup),
        SourceSpec::Libpcap(name) => open_libpcap(name, setup),
        SourceSpec::Files(paths) => {
            let files = Files::open(paths)?;
            let (packets, description) = Packets::new(files, setup);
            Ok((Source::Files(Box::new(packets)), description))
        }
        SourceSpec::Watch(_) | SourceSpec::Log(_) => {
            let (log, description) = LogSource::open(options, setup.hasher)?;
            Ok((Source::Log(Box::new(log)), description))
        }
    }
}

#[cfg(feature = "ebpf")]
fn open_sockets(setup: Setup<'_>) -> Result<(Source, Description)> {
    let options = setup.options;
    let attached = Kernel::attach(&KernelOptions {
        followed: setup.followed.clone(),
        responses: options.responses,
        ring_bytes: options.ring_bytes,
        rings: None,
        hooks: options.hooks,
        one_connection_in: options.sample.connections,
        standby: None,
        arrival: options.arrival,
    });
    match attached {
        Ok(kernel) => {
            let (calls, description) = Calls::new(kernel, setup);
            Ok((Source::Sockets(Box::new(calls)), description))
        }
        Err(error) => fall_back(error, setup),
    }
}

#[cfg(feature = "ebpf")]
fn open_interface(name: &str, setup: Setup<'_>) -> Result<(Source, Description)> {
    let options = setup.options;
    let (followed, bytes) = (setup.followed, options.ring_bytes);
    let interface = Interface::open(name, followed, bytes, options.attachment)?;
    let (packets, description) = Packets::new(interface, setup);
    Ok((Source::Interface(Box::new(packets)), description))
}

#[cfg(feature = "pcap")]
fn open_libpcap(name: &str, setup: Setup<'_>) -> Result<(Source, Description)> {
    let libpcap = Libpcap::open(name, setup.followed, setup.options.ring_bytes)?;
    let (packets, description) = Packets::new(libpcap, setup);
    Ok((Source::Libpcap(Box::new(packets)), description))
}

#[cfg(not(feature = "ebpf"))]
fn open_sockets(setup: Setup<'_>) -> Result<(Source, Description)> {
    fall_back(missing("ebpf", "ebpf:any"), setup)
}

#[cfg(not(feature = "ebpf"))]
fn open_interface(_: &str, _: Setup<'_>) -> Result<(Source, Description)> {
    Err(missing("ebpf", "ebpf:INTERFACE"))
}

#[cfg(not(feature = "pcap"))]
fn open_libpcap(_: &str, _: Setup<'_>) -> Result<(Source, Description)> {
    Err(missing("pcap", "pcap:INTERFACE"))
}

/// The refusal of a source that this build leaves out.
#[cfg(not(all(feature = "ebpf", feature = "pcap")))]
pub(crate) fn missing(feature: &'static str, wanted: &'static str) -> Error {
    Error::FeatureMissing { feature, wanted }
}

/// Opens packets of every interface where the kernel's hooks cannot be used, if that is allowed.
fn fall_back(kernel: Error, setup: Setup<'_>) -> Result<(Source, Description)> {
    let options = setup.options;
    let may_fall_back = options.fallback
        && kernel.class() == Class::Environment
        && options.check_for_packets().is_ok();
    if !may_fall_back {
        return Err(kernel);
    }
    match open_libpcap("any", setup) {
        Ok((source, description)) => {
            let why = kernel.to_string();
            let why = why.lines().next().unwrap_or_default();
            let instead = format!("{why}; recording packets instead (pcap:any)");
            let description = Description {
                instead: Some(instead),
                ..description
            };
            Ok((source, description))
        }
        Err(packets) => Err(Error::NoSource {
            kernel: Box::new(kernel),
            packets: Box::new(packets),
        }),
    }
}
