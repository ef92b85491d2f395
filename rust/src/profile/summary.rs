//! A profile → what `info` says of it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::manifest::Anchor;
use super::reader::Profile;
use super::sample::Sample;
use crate::Result;
use crate::capture::ledger::Ledger;

/// What `info` says of a profile; its JSON form is `info --format json`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Version of the profile's form.
    pub schema_version: u32,
    /// Version of the membench that wrote it.
    pub membench: String,
    /// `recording` (also when the recorder was killed) or `sealed`.
    pub state: &'static str,
    /// Whether `repair` sealed it.
    pub repaired: bool,
    /// The source, as it was asked for.
    pub source: String,
    /// How the kernel was asked.
    pub hooks: Option<String>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// How much of the responses was read.
    pub responses: Option<String>,
    /// What `time` is: `read`, `packet` or `log`.
    pub time_basis: String,
    /// Share of the keys (or connections) followed.
    pub sampling: f64,
    /// Of what it is a share.
    pub sample: Sample,
    /// Events left out as they are not of the sample.
    pub sampled_out: u64,
    /// Tells whether key ids can be joined with another profile's.
    pub key_fingerprint: Option<String>,
    /// When the recording started.
    pub anchor: Anchor,
    /// How long was recorded, s.
    pub duration_s: f64,
    /// What ended the recording.
    pub stopped_by: Option<String>,
    /// The first failure to write, if any.
    pub write_error: Option<String>,
    /// Events.
    pub events: u64,
    /// Requests: a multi-get is one.
    pub requests: u64,
    /// Connections.
    pub connections: u64,
    /// Events by command.
    pub commands: BTreeMap<String, u64>,
    /// Events by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Parts.
    pub parts: usize,
    /// Their size.
    pub bytes: u64,
    /// Events that are not in sealed parts.
    pub unsealed_events: u64,
    /// Bytes behind them that a crash cut.
    pub cut_bytes: u64,
    /// Where every byte went.
    pub ledger: Ledger,
}

impl Profile {
    /// Sums the profile up.
    pub fn summary(&self) -> Result<Summary> {
        let manifest = self.manifest().clone();
        let counts = self.counts().clone();
        let (unsealed_events, cut_bytes) = self.unsealed();
        Ok(Summary {
            schema_version: manifest.schema_version,
            membench: manifest.membench,
            state: manifest.state.name(),
            repaired: manifest.repaired,
            source: manifest.header.source,
            hooks: manifest.header.hooks,
            kernel: manifest.header.kernel,
            responses: manifest.header.responses,
            time_basis: manifest.header.time_basis,
            sampling: manifest.header.sampling,
            sample: manifest.header.sample,
            sampled_out: manifest.sampled_out,
            key_fingerprint: manifest.header.key_fingerprint,
            anchor: manifest.header.anchor,
            duration_s: self.duration_s(),
            stopped_by: manifest.stopped_by,
            write_error: manifest.write_error,
            events: counts.events,
            requests: counts.requests,
            connections: self.connection_count()?,
            commands: counts.commands,
            outcomes: counts.outcomes,
            parts: self.part_count(),
            bytes: self.bytes(),
            unsealed_events,
            cut_bytes,
            ledger: manifest.ledger,
        })
    }
}
