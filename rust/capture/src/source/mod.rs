//! Where a recording comes from: the kernel's socket hooks, or packets. Both fill a session.

#[cfg(feature = "ebpf")]
pub(crate) mod frames;
#[cfg(feature = "ebpf")]
pub(crate) mod interface;
#[cfg(not(feature = "ebpf"))]
#[path = "interface_absent.rs"]
pub(crate) mod interface;
#[cfg(feature = "pcap")]
pub(crate) mod libpcap;
#[cfg(not(feature = "pcap"))]
#[path = "live_absent.rs"]
pub(crate) mod libpcap;
pub(crate) mod log;
pub(crate) mod packets;
pub(crate) mod sockets;

use std::time::Duration;

use membench_event::{Anchor, Ledger};
use membench_profile::Header;

use crate::selection::namespaces;
use crate::session::Session;
use crate::session::counters::Counters;
use crate::source::packets::Packets;
use crate::{Error, Facts, Followed, Kernel, KernelOptions, Record, RecordOptions, Result, clock};
use membench_event::{Class, Failure};

/// A source that is open.
pub(crate) enum Source {
    /// Socket hooks.
    Kernel(Box<Kernel>),
    /// A capture file, or libpcap.
    Packets(Box<Packets>),
}

/// What one look at a source gave.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Drained {
    /// How full the buffer was found, 0…1: of several rings the fullest.
    pub(crate) fill: f64,
    /// Age of the oldest record taken.
    pub(crate) lag: Duration,
    /// There may be more at once.
    pub(crate) more: bool,
    /// There will be no more.
    pub(crate) ended: bool,
}

impl Source {
    /// Takes what is there, at most so many records or packets.
    pub(crate) fn drain(&mut self, most: usize, session: &mut Session) -> Drained {
        match self {
            Self::Kernel(kernel) => {
                let mut oldest = u64::MAX;
                let now = clock::monotonic_ns();
                let taken = kernel.drain(most, &mut |record: Record<'_>| {
                    oldest = oldest.min(record.time());
                    session.take(&record);
                });
                Drained {
                    fill: kernel.fill(),
                    lag: Duration::from_nanos(now.saturating_sub(oldest)),
                    more: taken >= most,
                    ended: false,
                }
            }
            Self::Packets(packets) => packets.drain(most, session),
        }
    }

    /// Whether what is not taken soon is lost; a file waits.
    pub(crate) fn is_live(&self) -> bool {
        match self {
            Self::Kernel(_) => true,
            Self::Packets(packets) => packets.is_live(),
        }
    }

    /// Whether `stats` and what was seen can be compared at one point of the stream.
    pub(crate) fn sees_reads(&self) -> bool {
        matches!(self, Self::Kernel(_))
    }

    /// Size of the buffers that are drained, bytes.
    pub(crate) fn buffer_bytes(&self) -> u64 {
        match self {
            Self::Kernel(kernel) => kernel.facts().ring_bytes,
            Self::Packets(packets) => packets.buffer_bytes(),
        }
    }

    /// Which hooks, for kernel sources, and the kernel's release where it matters.
    pub(crate) fn hooks(&self) -> (Option<&'static str>, Option<String>) {
        let facts = self.facts();
        (
            facts.map(|facts| facts.hooks),
            facts.map(|facts| facts.kernel_release.clone()),
        )
    }

    /// Why the preferred hooks could not be used; `None` if they were.
    pub(crate) fn fallback(&self) -> Option<String> {
        self.facts().and_then(|facts| facts.fallback.clone())
    }

    fn facts(&self) -> Option<&Facts> {
        match self {
            Self::Kernel(kernel) => Some(kernel.facts()),
            Self::Packets(packets) => packets.facts(),
        }
    }

    /// What removes programs of ours by hand, should this process be killed together with whatever does it.
    pub(crate) fn removal(&self) -> Option<String> {
        match self {
            Self::Kernel(_) => None,
            Self::Packets(packets) => packets.removal(),
        }
    }

    /// The same of those that could not be removed.
    pub(crate) fn left_behind(&self) -> Option<String> {
        match self {
            Self::Kernel(_) => None,
            Self::Packets(packets) => packets.left_behind(),
        }
    }

    /// The moment by which times are placed, and the clock they are on.
    pub(crate) fn anchor(&mut self) -> Anchor {
        match self {
            Self::Kernel(_) => clock::anchor(),
            Self::Packets(packets) => packets.anchor(),
        }
    }

    /// What a profile says of the source.
    pub(crate) fn describe(&self, header: &mut Header) {
        match self {
            Self::Kernel(kernel) => kernel.facts().describe(header),
            Self::Packets(packets) => packets.describe(header),
        }
    }

    /// Tells the source that the recorder is at work.
    pub(crate) fn beat(&self) {
        match self {
            Self::Kernel(kernel) => kernel.beat(),
            Self::Packets(packets) => packets.beat(),
        }
    }

    /// The SHA-256 of the kernel programs, where there are any.
    pub(crate) fn object(&self) -> &'static str {
        self.facts().map_or("none", |facts| facts.object_sha256)
    }

    /// Ends it; what it still holds can be drained.
    pub(crate) fn detach(&mut self) {
        match self {
            Self::Kernel(kernel) => kernel.detach(),
            Self::Packets(packets) => packets.detach(),
        }
    }

    /// What it is called, where that is not what was asked for.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Kernel(_) => None,
            Self::Packets(packets) => packets.name(),
        }
    }

    /// The network namespace whose interfaces it sees, if it is live and does not tell itself.
    pub(crate) fn namespace(&self) -> u32 {
        match self {
            Self::Packets(packets) if packets.is_live() => namespaces::own(),
            _ => 0,
        }
    }

    /// Nothing more will be drained: hands on what waits, and ends every connection.
    pub(crate) fn end(&mut self, session: &mut Session) {
        match self {
            Self::Kernel(_) => session.end(0),
            Self::Packets(packets) => packets.end(session),
        }
    }

    /// Bytes and losses so far.
    pub(crate) fn counters(&self, session: &Session) -> Counters {
        match self {
            Self::Kernel(kernel) => Counters::from(&kernel.counters()),
            Self::Packets(packets) => packets.counters(session),
        }
    }

    /// The ledger of an ended session.
    pub(crate) fn ledger(&mut self, session: &Session) -> Ledger {
        match self {
            Self::Kernel(kernel) => {
                let misses = kernel.misses().unwrap_or_default();
                Ledger {
                    misses_aside: misses.aside,
                    ring_full_by_ring: kernel.ring_full_by_ring(),
                    ..session.ledger(Counters::from(&kernel.counters()), misses.calls)
                }
            }
            Self::Packets(packets) => packets.ledger(session),
        }
    }

    /// How long was recorded, by the packets of a file.
    pub(crate) fn span(&self) -> Option<Duration> {
        match self {
            Self::Kernel(_) => None,
            Self::Packets(packets) => (!packets.is_live()).then(|| packets.span()),
        }
    }

    /// Why it ended by itself.
    pub(crate) fn ending(&self) -> String {
        match self {
            Self::Kernel(_) => "stop".to_owned(),
            Self::Packets(packets) => packets.ending(),
        }
    }
}

/// Refuses options that the source cannot serve.
pub(crate) fn check(options: &RecordOptions) -> Result<()> {
    let of_packets =
        options.file.is_some() || options.interface.is_some() || options.hooked.is_some();
    if of_packets {
        packets::refuse_what_packets_lack(options)?;
    }
    match options.attachment {
        Some(attachment) if options.hooked.is_none() => Err(Error::NotOfInterface {
            origin: options.source.clone(),
            hooks: attachment.name(),
        }),
        _ => Ok(()),
    }
}

/// Opens what is asked for: a file, an interface (through libpcap, or programs of ours), or the kernel's hooks. Where the hooks cannot be used and that is
/// allowed, packets of every interface stand in for them; then also why.
pub(crate) fn open(
    options: &RecordOptions,
    followed: &Followed,
) -> Result<(Source, Option<String>)> {
    let opened = match (&options.file, &options.interface, &options.hooked) {
        (Some(file), _, _) => Packets::open_file(file, options)?,
        (None, Some(interface), _) => Packets::open_live(interface, options)?,
        (None, None, Some(interface)) => Packets::open_hooked(interface, options)?,
        (None, None, None) => return open_kernel(options, followed),
    };
    Ok((Source::Packets(Box::new(opened)), None))
}

fn open_kernel(options: &RecordOptions, followed: &Followed) -> Result<(Source, Option<String>)> {
    let attached = Kernel::attach(&KernelOptions {
        followed: followed.clone(),
        responses: options.responses,
        ring_bytes: options.ring_bytes,
        rings: None,
        hooks: options.hooks,
        one_connection_in: options.sample.connections,
    });
    let kernel = match attached {
        Ok(kernel) => return Ok((Source::Kernel(Box::new(kernel)), None)),
        Err(error) => error,
    };
    let instead = options.fallback
        && kernel.class() == Class::Environment
        && packets::refuse_what_packets_lack(options).is_ok();
    if !instead {
        return Err(kernel);
    }
    match Packets::open_live("any", options) {
        Ok(packets) => {
            let why = kernel.to_string();
            let why = why.lines().next().unwrap_or_default();
            let notice = format!("{why}; recording packets instead (pcap:any)");
            Ok((Source::Packets(Box::new(packets)), Some(notice)))
        }
        Err(packets) => Err(Error::NoSource {
            kernel: Box::new(kernel),
            packets: Box::new(packets),
        }),
    }
}
