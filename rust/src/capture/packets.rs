//! A capture file's packets → a session.

use std::path::Path;
use std::time::Duration;

use membench_common::counter;

use crate::decode::Responses;
use crate::packet::file::Reader;
use crate::packet::{Flows, Limits};
use crate::profile::{Anchor, Header};
use crate::{Error, Result};

use super::RecordOptions;
use super::ledger::Ledger;
use super::session::Session;
use super::source::Drained;

/// What `time` and `server_time` are, as manifests say it.
const TIME_BASIS: &str = "packet";
const SERVER_TIME: &str = "from the last packet of the request to the last packet of its response";

/// A packet source that is open.
pub(super) struct Packets {
    reader: Reader,
    flows: Flows,
    /// Time of the first packet and of the last, ns since 1970.
    first: Option<u64>,
    last: u64,
    /// How much of the file is taken, by its packets' times.
    duration: Option<Duration>,
    /// Why it ended.
    ending: &'static str,
}

impl Packets {
    /// Opens a capture file.
    pub(super) fn open_file(path: &Path, options: &RecordOptions) -> Result<Self> {
        Ok(Self {
            reader: Reader::open(path)?,
            flows: Flows::new(&options.ports, Limits::default()),
            first: None,
            last: 0,
            duration: options.duration,
            ending: "end of file",
        })
    }

    /// Takes packets.
    pub(super) fn drain(&mut self, most: usize, session: &mut Session) -> Drained {
        let mut drained = Drained::default();
        for _ in 0..most {
            if self.past_its_time() {
                self.ending = "duration";
                drained.ended = true;
                return drained;
            }
            let Some(packet) = self.reader.next_packet() else {
                drained.ended = true;
                return drained;
            };
            drained.bytes += packet.bytes.len() as u64;
            self.first.get_or_insert(packet.time);
            self.last = self.last.max(packet.time);
            self.flows
                .take(&packet, &mut |found| session.take_found(&found));
        }
        drained.more = true;
        drained
    }

    fn past_its_time(&mut self) -> bool {
        let (Some(duration), Some(first)) = (self.duration, self.first) else {
            return false;
        };
        let next = self.reader.next_time();
        next.is_some_and(|next| Duration::from_nanos(next.saturating_sub(first)) > duration)
    }

    /// See [`super::source::Source`].
    #[expect(clippy::unused_self, reason = "a live source differs")]
    pub(super) fn is_live(&self) -> bool {
        false
    }

    /// See [`super::source::Source`].
    #[expect(clippy::unused_self, reason = "a live source differs")]
    pub(super) fn buffer_bytes(&self) -> u64 {
        u64::MAX
    }

    /// The first packet's time: packets are on the clock of UTC.
    pub(super) fn anchor(&mut self) -> Anchor {
        let time = self.reader.next_time().unwrap_or(0);
        Anchor {
            monotonic_ns: time,
            utc_ns: time,
        }
    }

    /// What a profile says of it.
    pub(super) fn describe(&self, header: &mut Header) {
        TIME_BASIS.clone_into(&mut header.time_basis);
        header.facts = serde_json::json!({
            "format": self.reader.format_name(),
            "server_time": SERVER_TIME,
        });
    }

    /// Hands on what waits, and ends every connection.
    pub(super) fn end(&mut self, session: &mut Session) {
        self.flows.finish(&mut |found| session.take_found(&found));
        session.end(self.flows.now());
    }

    /// Bytes and losses so far.
    pub(super) fn counters(&self, session: &Session) -> [u64; counter::COUNT] {
        let mut counters = session.counters();
        let unfollowed = self.flows.unfollowed();
        counters[counter::UDP as usize] = unfollowed.udp;
        counters[counter::NO_STATE as usize] = unfollowed.no_state;
        counters
    }

    /// The ledger of an ended session.
    pub(super) fn ledger(&self, session: &Session) -> Ledger {
        let unfollowed = self.flows.unfollowed();
        let (dropped, passed_over) = self.reader.dropped();
        let mut ledger = Ledger {
            packets_dropped: dropped,
            fragments: unfollowed.fragments,
            packets_unreadable: unfollowed.unreadable + passed_over,
            file_damaged: self.reader.damage().is_some().into(),
            packets: Some(self.flows.packets()),
            ..session.ledger(&self.counters(session), 0)
        };
        ledger.complete = Some(ledger.nothing_lost());
        ledger
    }

    /// From the first packet to the last.
    pub(super) fn span(&self) -> Duration {
        let first = self.first.unwrap_or(self.last);
        Duration::from_nanos(self.last.saturating_sub(first))
    }

    /// Why it ended by itself.
    pub(super) fn ending(&self) -> String {
        match self.reader.damage() {
            Some(damage) => format!("damaged file: {damage}"),
            None => self.ending.to_owned(),
        }
    }
}

/// Packets are decoded whole.
pub(super) fn refuse_partial_responses(options: &RecordOptions) -> Result<()> {
    let wanted = match options.responses {
        Responses::Bytes => return Ok(()),
        Responses::Lengths => "`--responses lengths`",
        Responses::None => "`--responses none`",
    };
    Err(Error::PacketsOnly {
        source_name: options.source.clone(),
        wanted,
    })
}
