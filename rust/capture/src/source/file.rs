//! A capture file → its packets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use membench_decode::packet::Packet;
use membench_decode::packet::file::Reader;
use membench_event::Anchor;

use crate::recorder::end::Ended;
use crate::source::packets::{Feed, FeedLosses, TIME_BASIS};
use crate::source::{Clock, Description};
use crate::{Result, SourceSpec};

/// A capture file that is open.
pub(crate) struct File {
    path: PathBuf,
    reader: Reader,
    /// Length of the part that is taken, by the packets' times.
    duration: Option<Duration>,
    /// Time of the first packet, ns.
    first: Option<u64>,
    /// True once the next packet is later than `duration`.
    is_past: bool,
}

impl File {
    /// Opens a capture file, of which the first `duration` is taken.
    pub(crate) fn open(path: &Path, duration: Option<Duration>) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            reader: Reader::open(path)?,
            duration,
            first: None,
            is_past: false,
        })
    }
}

impl Feed for File {
    fn describe(&mut self) -> Description {
        let first = self.reader.next_time().unwrap_or(0);
        Description {
            // Packets are on the clock of UTC.
            anchor: Anchor {
                monotonic_ns: first,
                utc_ns: first,
            },
            clock: Clock::Stored,
            facts: serde_json::json!({ "format": self.reader.format_name() }),
            ..Description::new(SourceSpec::File(self.path.clone()), TIME_BASIS)
        }
    }

    fn next_packet(&mut self) -> Option<Packet<'_>> {
        if let (Some(duration), Some(first)) = (self.duration, self.first) {
            let next = self.reader.next_time();
            let is_past = |next: u64| Duration::from_nanos(next.saturating_sub(first)) > duration;
            self.is_past = next.is_some_and(is_past);
            if self.is_past {
                return None;
            }
        }
        let packet = self.reader.next_packet()?;
        self.first.get_or_insert(packet.time);
        Some(packet)
    }

    fn look(&mut self) -> Option<Ended> {
        Some(match self.reader.damage() {
            Some(damage) => Ended::Damage(damage.to_string()),
            None if self.is_past => Ended::duration(),
            None => Ended::EndOfFile,
        })
    }

    fn now(&self) -> Option<u64> {
        None
    }

    fn namespace(&self) -> u32 {
        0
    }

    fn losses(&self) -> FeedLosses {
        let (dropped, unreadable) = self.reader.dropped();
        FeedLosses {
            dropped,
            unreadable,
            malformed: 0,
            is_damaged: self.reader.damage().is_some(),
        }
    }
}
