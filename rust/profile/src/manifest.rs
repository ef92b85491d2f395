//! The manifest, which describes a profile's content, origin and losses ↔ `manifest.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checksum::Checksum;
use super::folder::Folder;
use super::observation;
use crate::{Error, Result};
use membench_event::{Anchor, Ledger, Sample, ServerRun};

/// Schema version that this membench writes, and the newest it reads.
///
/// Version 2 renamed the manifest's `tier` to `hooks`, with new names for the hooks themselves. Version 3 widened
/// `server_time` and `queue_time` to 64 bits, and has no column `namespace`. Version 4 has checksums of all files, and
/// the sizes of the numbers that clients count with instead of the numbers.
pub const SCHEMA_VERSION: u32 = 4;
/// First schema version whose manifests have a checksum.
const CHECKED: u64 = 4;
/// File name of the manifest.
pub(super) const FILE: &str = "manifest.json";

/// Most bytes of a manifest. One of a recording of 10¹¹ events has a tenth of that.
const LONGEST: u64 = 256 << 20;
/// Most values in a manifest: each takes about a hundred bytes of memory, however short it is.
const MOST_VALUES: usize = 8 << 20;

/// State of a profile: open for writing or finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Being written, or abandoned by a recorder that was killed.
    Recording,
    /// Finished: nothing will be added.
    Sealed,
}

impl State {
    /// Name used in manifests and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Sealed => "sealed",
        }
    }
}

/// Filters that selected the traffic. An empty list does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filters {
    /// Listening ports.
    pub ports: Vec<u16>,
    /// Paths of UNIX-domain sockets.
    pub sockets: Vec<String>,
    /// Process ids.
    pub pids: Vec<u32>,
    /// Paths of control groups.
    pub cgroups: Vec<String>,
    /// Inode numbers of network namespaces.
    pub network_namespaces: Vec<u32>,
}

/// Facts about a recording that are known when it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// Source as requested (`ebpf:any`, a file, …).
    pub source: String,
    /// Kernel hooks that were used (`sockets`, `syscalls`, `tcx`, `clsact`); `None` if the source uses none.
    #[serde(alias = "tier")]
    pub hooks: Option<String>,
    /// Kernel release (`uname -r`).
    pub kernel: Option<String>,
    /// Filters that selected the traffic.
    pub filters: Filters,
    /// Share of the traffic recorded, 0…1.
    pub sampling: f64,
    /// Sampling rates of keys and connections, from which `sampling` follows.
    pub sample: Sample,
    /// Amount of each response that was read (`bytes`, `lengths`, `none`).
    pub responses: Option<String>,
    /// True if the arrival of requests was noted, false if it was not to be; `None` if the source does not know it.
    pub arrival: Option<bool>,
    /// Fingerprint of the hashing key: if two profiles share it, their key ids can be joined.
    pub key_fingerprint: Option<String>,
    /// The clock pair that converts all times of the profile.
    pub anchor: Anchor,
    /// Origin of `time`: return of the server's `read` or of a client's `send`, arrival of the `packet`, or line of the
    /// `log`.
    pub time_basis: String,
    /// memcached's own statistics at the start, by server.
    pub statistics_start: Value,
    /// Further facts about the capture, for people.
    pub facts: Value,
    /// Facts about the host and its servers, by which recordings are compared; null if they were not asked for.
    pub host: Value,
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
            arrival: None,
            key_fingerprint: None,
            anchor: Anchor::default(),
            time_basis: "read".into(),
            statistics_start: Value::Null,
            facts: Value::Null,
            host: Value::Null,
        }
    }
}

/// Counts of events by command, outcome and options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Requests; a multi-get counts as one.
    pub requests: u64,
    /// Events by command.
    pub commands: BTreeMap<String, u64>,
    /// Events by outcome; `unknown` counts events whose outcome was not seen.
    pub outcomes: BTreeMap<String, u64>,
    /// Events by options string.
    pub options: BTreeMap<String, u64>,
}

impl Counts {
    /// Adds the counts of another part.
    pub fn add(&mut self, other: &Self) {
        let Self {
            events,
            requests,
            commands,
            outcomes,
            options,
        } = other;
        self.events = self.events.saturating_add(*events);
        self.requests = self.requests.saturating_add(*requests);
        for (sum, more) in [
            (&mut self.commands, commands),
            (&mut self.outcomes, outcomes),
            (&mut self.options, options),
        ] {
            for (name, count) in more {
                let sum = sum.entry(name.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
    }
}

/// Description of one sealed part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// File name.
    pub name: String,
    /// Earliest `time`, µs since 1970.
    pub first_us: i64,
    /// Latest `time`, µs since 1970. The time ranges of parts may overlap.
    pub last_us: i64,
    /// File size, bytes.
    pub bytes: u64,
    /// Checksum of the file; `None` before schema version 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32: Option<Checksum>,
    /// Counts of its events.
    pub counts: Counts,
}

/// Description of the file of a table, as it was when the profile was sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFile {
    /// File name.
    pub name: String,
    /// File size, bytes.
    pub bytes: u64,
    /// Checksum of the file.
    pub crc32: Checksum,
}

/// Everything about a profile except its events and tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Schema version of the profile.
    pub schema_version: u32,
    /// Version of the membench that wrote it.
    pub membench: String,
    /// State of the profile: open for writing or finished.
    pub state: State,
    /// Facts known at the start.
    #[serde(flatten)]
    pub header: Header,
    /// Later readings of the anchor's clocks. They document drift; no time is computed from them.
    #[serde(default)]
    pub clocks: Vec<Anchor>,
    /// The sealed parts.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// The tables of a sealed profile; empty before schema version 4.
    #[serde(default)]
    pub tables: Vec<TableFile>,
    /// Number of connections.
    #[serde(default)]
    pub connections: u64,
    /// Account of every byte. `complete` is `None` unless the recorder itself sealed the profile.
    #[serde(default)]
    pub ledger: Ledger,
    /// Events left out because they are not in the sample.
    #[serde(default)]
    pub sampled_out: u64,
    /// memcached's own statistics at the end, by server.
    #[serde(default)]
    pub statistics_end: Value,
    /// Processes that served while the recording lasted.
    #[serde(default)]
    pub server_runs: Vec<ServerRun>,
    /// Reason why the recording ended; `None` while it runs and if it was killed.
    #[serde(default)]
    pub stopped_by: Option<String>,
    /// First write error, if any.
    #[serde(default)]
    pub write_error: Option<String>,
    /// Duration of the recording, ns; `None` while it runs and if it was killed.
    #[serde(default)]
    pub duration_ns: Option<u64>,
    /// True if `repair` sealed the profile.
    #[serde(default)]
    pub repaired: bool,
}

impl Manifest {
    /// Manifest of a recording that starts now.
    pub(super) fn new(header: Header) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            membench: env!("CARGO_PKG_VERSION").into(),
            state: State::Recording,
            header,
            clocks: Vec::new(),
            parts: Vec::new(),
            tables: Vec::new(),
            connections: 0,
            ledger: Ledger::default(),
            sampled_out: 0,
            statistics_end: Value::Null,
            server_runs: Vec::new(),
            stopped_by: None,
            write_error: None,
            duration_ns: None,
            repaired: false,
        }
    }

    /// Replaces the manifest on disk atomically.
    pub(super) fn save(&self, folder: &Folder) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|source| damaged(folder, source))?;
        text.push(b'\n');
        folder.replace(FILE, &with_checksum(&text))
    }

    /// Reads the manifest. Refuses a newer schema before it parses anything else, and converts an older one.
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
        let is_checked = version.schema_version >= CHECKED || version.crc32.is_some();
        if is_checked && !is_as_written(&text) {
            return Err(Error::Changed {
                path: folder.path().join(FILE),
                found: "its checksum does not fit its content".into(),
            });
        }
        let mut manifest: Self =
            serde_json::from_slice(&text).map_err(|source| damaged(folder, source))?;
        if manifest.schema_version < 2 {
            let tier = manifest.header.hooks.take();
            manifest.header.hooks = tier.map(hooks_of_tier);
        }
        let told = manifest.check();
        told.map_err(|reason| damaged(folder, serde::de::Error::custom(reason)))?;
        Ok(manifest)
    }

    /// Fails if a number says what no recorder can have written.
    fn check(&self) -> std::result::Result<(), &'static str> {
        let Sample { keys, connections } = self.header.sample;
        let sampling = self.header.sampling;
        if self.schema_version == 0 {
            return Err("there is no schema version 0");
        }
        if keys == 0 || connections == 0 {
            return Err("a sample of 1 in 0");
        }
        if !(sampling > 0.0 && sampling <= 1.0) {
            return Err("a share of the traffic that is not above 0 and at most 1");
        }
        if self.parts.iter().any(|part| part.first_us > part.last_us) {
            return Err("a part that ends before it begins");
        }
        Ok(())
    }

    /// True if the manifest was written with a checksum of itself.
    pub(super) fn has_checksum(&self) -> bool {
        u64::from(self.schema_version) >= CHECKED
    }

    /// Size of the sealed parts, bytes.
    pub fn event_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Size of the tables of an observation beside the recording, once the profile is sealed, bytes.
    pub fn observation_bytes(&self) -> u64 {
        let tables = self
            .tables
            .iter()
            .filter(|table| observation::is_file(&table.name));
        tables.map(|table| table.bytes).sum()
    }

    /// Returns the description of a table's file; `None` if the profile is not sealed, or older than schema version 4.
    pub(super) fn table(&self, name: &str) -> Option<&TableFile> {
        self.tables.iter().find(|table| table.name == name)
    }
}

/// Converts a value of schema 1's `tier` to one of `hooks`. Other names are the same in both.
fn hooks_of_tier(tier: String) -> String {
    match tier.as_str() {
        "T1" => "sockets".into(),
        "T2" => "syscalls".into(),
        "TCX" => "tcx".into(),
        _ => tier,
    }
}

/// The fields that are read before any other.
#[derive(Deserialize)]
struct Version {
    schema_version: u64,
    crc32: Option<Value>,
}

/// Beginning of a manifest with a checksum, which is that of everything after its line.
const BEGINNING: &[u8] = b"{\n  \"crc32\": \"";
/// End of the checksum's line.
const LINE_END: &[u8] = b"\",\n";

/// Puts a line with a checksum at the beginning of a JSON object of several lines.
pub(super) fn with_checksum(text: &[u8]) -> Vec<u8> {
    let rest = text.strip_prefix(b"{\n").unwrap_or(text);
    let checksum = String::from(Checksum::of(rest));
    [BEGINNING, checksum.as_bytes(), LINE_END, rest].concat()
}

/// True if a manifest begins with the checksum of what follows.
fn is_as_written(text: &[u8]) -> bool {
    let Some((checksum, rest)) = text
        .strip_prefix(BEGINNING)
        .and_then(|text| text.split_at_checked(8))
    else {
        return false;
    };
    let rest = rest.strip_prefix(LINE_END);
    rest.is_some_and(|rest| String::from(Checksum::of(rest)).as_bytes() == checksum)
}

fn read(folder: &Folder) -> Result<Vec<u8>> {
    if let Some(text) = folder.read(FILE, LONGEST)? {
        if text.split(|byte| *byte == b',').count() > MOST_VALUES {
            return Err(Error::Damaged {
                path: folder.path().join(FILE),
                found: format!("more than {MOST_VALUES} values"),
            });
        }
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
        found: "it has no manifest.json",
    })
}

fn damaged(folder: &Folder, source: serde_json::Error) -> Error {
    Error::ManifestDamaged {
        path: folder.path().into(),
        source,
    }
}
