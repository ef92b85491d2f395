//! Where a recording comes from: the kernel's socket hooks, or packets. Both fill a session.

use std::time::Duration;

use membench_common::counter;

use crate::Result;
use crate::profile::{Anchor, Header};

use super::ledger::Ledger;
use super::packets::Packets;
use super::session::Session;
use super::{Kernel, Record, clock};

/// A source that is open.
pub(super) enum Source {
    /// Socket hooks.
    Kernel(Box<Kernel>),
    /// A capture file, or libpcap.
    Packets(Box<Packets>),
}

/// What one look at a source gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Drained {
    /// Bytes taken.
    pub(super) bytes: u64,
    /// There may be more at once.
    pub(super) more: bool,
    /// There will be no more.
    pub(super) ended: bool,
}

impl Source {
    /// Takes what is there, at most so many records or packets.
    pub(super) fn drain(&mut self, most: usize, session: &mut Session) -> Drained {
        match self {
            Self::Kernel(kernel) => {
                let mut bytes = 0;
                let taken = kernel.drain(most, &mut |record: Record<'_>| {
                    bytes += record.size();
                    session.take(&record);
                });
                Drained {
                    bytes,
                    more: taken >= most,
                    ended: false,
                }
            }
            Self::Packets(packets) => packets.drain(most, session),
        }
    }

    /// Whether what is not taken soon is lost; a file waits.
    pub(super) fn is_live(&self) -> bool {
        match self {
            Self::Kernel(_) => true,
            Self::Packets(packets) => packets.is_live(),
        }
    }

    /// Whether `stats` and what was seen can be compared at one point of the stream.
    pub(super) fn sees_reads(&self) -> bool {
        matches!(self, Self::Kernel(_))
    }

    /// Size of the buffer that is drained, bytes.
    pub(super) fn buffer_bytes(&self) -> u64 {
        match self {
            Self::Kernel(kernel) => kernel.facts().ring_bytes.into(),
            Self::Packets(packets) => packets.buffer_bytes(),
        }
    }

    /// Which hooks, for kernel sources, and the kernel's release where it matters.
    pub(super) fn tier(&self) -> (Option<&'static str>, Option<String>) {
        match self {
            Self::Kernel(kernel) => {
                let facts = kernel.facts();
                (Some(facts.tier), Some(facts.kernel_release.clone()))
            }
            Self::Packets(_) => (None, None),
        }
    }

    /// The moment by which times are placed, and the clock they are on.
    pub(super) fn anchor(&mut self) -> Anchor {
        match self {
            Self::Kernel(_) => clock::anchor(),
            Self::Packets(packets) => packets.anchor(),
        }
    }

    /// What a profile says of the source.
    pub(super) fn describe(&self, header: &mut Header) {
        match self {
            Self::Kernel(kernel) => {
                let facts = kernel.facts();
                header.tier = Some(facts.tier.to_owned());
                header.kernel = Some(facts.kernel_release.clone());
                header.facts = serde_json::json!({
                    "object_sha256": facts.object_sha256,
                    "ring_bytes": facts.ring_bytes,
                });
            }
            Self::Packets(packets) => packets.describe(header),
        }
    }

    /// Ends it; what it still holds can be drained.
    pub(super) fn detach(&mut self) {
        match self {
            Self::Kernel(kernel) => kernel.detach(),
            Self::Packets(_) => {}
        }
    }

    /// Nothing more will be drained: hands on what waits, and ends every connection.
    pub(super) fn end(&mut self, session: &mut Session) {
        match self {
            Self::Kernel(_) => session.end(0),
            Self::Packets(packets) => packets.end(session),
        }
    }

    /// Bytes and losses so far.
    pub(super) fn counters(&self, session: &Session) -> [u64; counter::COUNT] {
        match self {
            Self::Kernel(kernel) => kernel.counters(),
            Self::Packets(packets) => packets.counters(session),
        }
    }

    /// The ledger of an ended session.
    pub(super) fn ledger(&mut self, session: &Session) -> Ledger {
        match self {
            Self::Kernel(kernel) => {
                let misses = kernel.program_misses().unwrap_or(0);
                session.ledger(&kernel.counters(), misses)
            }
            Self::Packets(packets) => packets.ledger(session),
        }
    }

    /// How long was recorded, by the packets of a file.
    pub(super) fn span(&self) -> Option<Duration> {
        match self {
            Self::Kernel(_) => None,
            Self::Packets(packets) => (!packets.is_live()).then(|| packets.span()),
        }
    }

    /// Why it ended by itself.
    pub(super) fn ending(&self) -> String {
        match self {
            Self::Kernel(_) => "stop".to_owned(),
            Self::Packets(packets) => packets.ending(),
        }
    }
}

/// Opens a source by its name.
pub(super) fn open(options: &super::RecordOptions) -> Result<(Source, Option<String>)> {
    if let Some(file) = &options.file {
        super::packets::refuse_partial_responses(options)?;
        return Ok((
            Source::Packets(Box::new(Packets::open_file(file, options)?)),
            None,
        ));
    }
    let kernel = Kernel::attach(&super::KernelOptions {
        ports: options.ports.clone(),
        responses: options.responses,
        ring_bytes: options.ring_bytes,
    })?;
    Ok((Source::Kernel(Box::new(kernel)), None))
}
