//! The manifest: what a profile holds, how it came about and what it lacks ↔ `manifest.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::folder::Folder;
use super::sample::Sample;
use crate::capture::ledger::Ledger;
use crate::{Error, Result};

/// The schema version that this membench writes, and the newest it reads.
pub const SCHEMA_VERSION: u32 = 1;
/// The manifest's file name.
pub(super) const FILE: &str = "manifest.json";

/// One moment on two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// `CLOCK_MONOTONIC`, ns.
    pub monotonic_ns: u64,
    /// `CLOCK_REALTIME`, ns since 1970.
    pub utc_ns: u64,
}

impl Anchor {
    /// The same anchor, moved back to a whole microsecond: recorded times then lose nothing but their own rounding.
    #[must_use]
    pub fn on_a_microsecond(self) -> Self {
        let excess = (self.utc_ns % 1000).min(self.monotonic_ns);
        Self {
            monotonic_ns: self.monotonic_ns - excess,
            utc_ns: self.utc_ns - excess,
        }
    }

    /// A `CLOCK_MONOTONIC` time, ns, as ns since 1970.
    pub fn utc_ns(self, monotonic_ns: u64) -> i64 {
        monotonic_ns
            .wrapping_sub(self.monotonic_ns)
            .wrapping_add(self.utc_ns)
            .cast_signed()
    }

    /// A time in µs since 1970 as `CLOCK_MONOTONIC`, ns.
    pub fn monotonic_ns(self, utc_us: i64) -> u64 {
        utc_us
            .wrapping_mul(1000)
            .cast_unsigned()
            .wrapping_sub(self.utc_ns)
            .wrapping_add(self.monotonic_ns)
    }
}

/// Whether a profile is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Being written, or left behind by a recorder that was killed.
    Recording,
    /// Complete as far as it ever will be.
    Sealed,
}

impl State {
    /// The name used in manifests and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Sealed => "sealed",
        }
    }
}

/// Which traffic was followed; empty lists do not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filters {
    /// Listening ports.
    pub ports: Vec<u16>,
    /// Paths of UNIX-domain sockets.
    pub sockets: Vec<String>,
    /// Processes.
    pub pids: Vec<u32>,
    /// Control groups, by path.
    pub cgroups: Vec<String>,
    /// Network namespaces' inode numbers.
    pub network_namespaces: Vec<u32>,
}

/// What is known of a recording when it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// The source, as it was asked for (`ebpf:any`, a file, …).
    pub source: String,
    /// Names the hooks (`sockets`, `syscalls`, `tcx`, `clsact`, `log`); `None` for other sources.
    #[serde(alias = "tier")]
    pub hooks: Option<String>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// Which traffic was followed.
    pub filters: Filters,
    /// Share of the traffic followed: 1 is all.
    pub sampling: f64,
    /// Of what it is a share.
    pub sample: Sample,
    /// How much of the responses was read (`bytes`, `lengths`, `none`).
    pub responses: Option<String>,
    /// Tells whether two profiles' key ids can be joined.
    pub key_fingerprint: Option<String>,
    /// The one moment by which all times of the profile are placed.
    pub anchor: Anchor,
    /// What `time` is: the return of the server's read, or the packet's time.
    pub time_basis: String,
    /// What memcached said of itself at the start, by server.
    pub statistics_start: Value,
    /// Further facts of the capture, for people.
    pub facts: Value,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            source: String::new(),
            hooks: None,
            kernel: None,
            filters: Filters::default(),
            sampling: 1.0,
            sample: Sample::default(),
            responses: None,
            key_fingerprint: None,
            anchor: Anchor::default(),
            time_basis: "read".into(),
            statistics_start: Value::Null,
            facts: Value::Null,
        }
    }
}

/// How many events there are of what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Requests: a multi-get is one.
    pub requests: u64,
    /// By command.
    pub commands: BTreeMap<String, u64>,
    /// By outcome; `unknown` counts those that were not seen.
    pub outcomes: BTreeMap<String, u64>,
    /// By options string.
    pub options: BTreeMap<String, u64>,
}

impl Counts {
    /// Adds another part's.
    pub fn add(&mut self, other: &Self) {
        let Self {
            events,
            requests,
            commands,
            outcomes,
            options,
        } = other;
        self.events += events;
        self.requests += requests;
        for (sum, more) in [
            (&mut self.commands, commands),
            (&mut self.outcomes, outcomes),
            (&mut self.options, options),
        ] {
            for (name, count) in more {
                *sum.entry(name.clone()).or_default() += count;
            }
        }
    }
}

/// One sealed part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// File name.
    pub name: String,
    /// Earliest `time`, µs since 1970.
    pub first_us: i64,
    /// Latest `time`, µs since 1970; the ranges of parts may overlap.
    pub last_us: i64,
    /// Size of the file.
    pub bytes: u64,
    /// What it holds.
    pub counts: Counts,
}

/// Everything about a profile but its events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the profile's form.
    pub schema_version: u32,
    /// Version of the membench that wrote it.
    pub membench: String,
    /// Whether it is finished.
    pub state: State,
    /// What was known at the start.
    #[serde(flatten)]
    pub header: Header,
    /// Later pairs of the anchor's clocks: they document drift and move nothing.
    #[serde(default)]
    pub clocks: Vec<Anchor>,
    /// Sealed parts.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Connections seen.
    #[serde(default)]
    pub connections: u64,
    /// Where every byte went; `complete` is none unless sealed.
    #[serde(default)]
    pub ledger: Ledger,
    /// Events left out as they are not of the sample.
    #[serde(default)]
    pub sampled_out: u64,
    /// What memcached said of itself at the end, by server.
    #[serde(default)]
    pub statistics_end: Value,
    /// What ended the recording; none while it runs and when it was killed.
    #[serde(default)]
    pub stopped_by: Option<String>,
    /// The first failure to write, if any.
    #[serde(default)]
    pub write_error: Option<String>,
    /// How long was recorded, ns.
    #[serde(default)]
    pub duration_ns: Option<u64>,
    /// Whether `repair` sealed it.
    #[serde(default)]
    pub repaired: bool,
}

impl Manifest {
    /// Of a recording that starts now.
    pub(super) fn new(header: Header) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            membench: env!("CARGO_PKG_VERSION").into(),
            state: State::Recording,
            header,
            clocks: Vec::new(),
            parts: Vec::new(),
            connections: 0,
            ledger: Ledger::default(),
            sampled_out: 0,
            statistics_end: Value::Null,
            stopped_by: None,
            write_error: None,
            duration_ns: None,
            repaired: false,
        }
    }

    /// Replaces the manifest on disk, in one step.
    pub(super) fn save(&self, folder: &Folder) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|source| damaged(folder, source))?;
        text.push(b'\n');
        folder.replace(FILE, &text)
    }

    /// Reads the manifest, refusing what a newer membench wrote before looking any further.
    pub(super) fn load(folder: &Folder) -> Result<Self> {
        let text = read(folder)?;
        let version: Version =
            serde_json::from_slice(&text).map_err(|source| damaged(folder, source))?;
        if version.schema_version > u64::from(SCHEMA_VERSION) {
            return Err(Error::NewerSchema {
                path: folder.path().into(),
                found: version.schema_version,
                supported: SCHEMA_VERSION,
            });
        }
        serde_json::from_slice(&text).map_err(|source| damaged(folder, source))
    }
}

#[derive(Deserialize)]
struct Version {
    schema_version: u64,
}

fn read(folder: &Folder) -> Result<Vec<u8>> {
    if let Some(text) = folder.read(FILE)? {
        return Ok(text);
    }
    let path = folder.path().to_path_buf();
    if folder
        .names()?
        .iter()
        .any(|name| name.starts_with("events-"))
    {
        return Err(Error::ManifestMissing { path });
    }
    Err(Error::NotAProfile {
        path,
        found: "there is no manifest.json in it",
    })
}

fn damaged(folder: &Folder, source: serde_json::Error) -> Error {
    Error::ManifestDamaged {
        path: folder.path().into(),
        source,
    }
}
