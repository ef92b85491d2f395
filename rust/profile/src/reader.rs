//! A profile on disk, sealed or not → its manifest, events, tables and counts.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use arrow_array::RecordBatch;

use super::content::Content;
use super::events::{Batches, Events};
use super::folder::Folder;
use super::manifest::{Counts, Manifest, Part, State};
use super::part::ReadablePart;
use super::scan;
use super::seal::seal;
use super::summary::Summary;
use super::tables;
use super::tail::{Tail, open_name, part_number, sealed_name};
use crate::{Error, Result};
use membench_event::OptionsTable;
use membench_event::{ConnectionRow, LossRow};

/// Attempts to open all parts: a running recorder may seal one between listing and opening it.
const ATTEMPTS: u32 = 8;

/// An open profile, as it was when it was opened.
///
/// A profile that is still being recorded, or was abandoned by a killed recorder, opens like a sealed one: open parts
/// are sealed in memory, and the folder is never changed.
///
/// ```
/// # use membench_event::{Command, Event, OptionsTable, Outcome};
/// # use membench_profile::{End, Header, Profile, Writer};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("production.mb");
/// # let mut writer = Writer::create(&path, Header::default(), false)?;
/// # let hit = Event { outcome: Some(Outcome::Hit), ..Event::new(Command::Get) };
/// # writer.append(&[hit; 3], &OptionsTable::default())?;
/// # writer.finish(End::default())?;
/// let profile = Profile::open(&path)?;
/// let mut hits = 0;
/// for event in profile.events()? {
///     hits += u64::from(event?.outcome == Some(Outcome::Hit));
/// }
/// assert_eq!((hits, profile.counts().events), (3, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Profile {
    folder: Folder,
    manifest: Manifest,
    parts: Vec<ReadablePart>,
    options: OptionsTable,
    counts: Counts,
    unsealed_events: u64,
    cut_bytes: u64,
}

impl Profile {
    /// Opens a profile. The open part of an unsealed profile is read up to its last complete batch.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let folder = Folder::open(path.as_ref())?;
        let manifest = Manifest::load(&folder)?;
        let mut profile = Self {
            folder,
            manifest,
            parts: Vec::new(),
            options: OptionsTable::default(),
            counts: Counts::default(),
            unsealed_events: 0,
            cut_bytes: 0,
        };
        profile.find_parts()?;
        Ok(profile)
    }

    /// Path of the profile's folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The manifest, as read when the profile was opened.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Counts of all events, including those of an open part.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Returns the number of events in an open part, and of bytes after them that a crash cut off.
    pub fn unsealed(&self) -> (u64, u64) {
        (self.unsealed_events, self.cut_bytes)
    }

    /// Number of parts, including an open one.
    pub fn part_count(&self) -> usize {
        self.parts.len()
    }

    /// Size of all parts, bytes.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.description.bytes).sum()
    }

    /// Options strings that the events refer to.
    pub fn options(&self) -> OptionsTable {
        self.options.clone()
    }

    /// Iterates over the events of all parts, ordered by (time, connection, batch, request). Times are
    /// `CLOCK_MONOTONIC` ns with a resolution of 1 µs.
    pub fn events(&self) -> Result<Events> {
        let anchor = self.manifest.header.anchor;
        Ok(Events::new(self.parts.clone(), anchor, self.options()))
    }

    /// Iterates over all events as record batches of [`super::schema()`], part by part.
    pub fn batches(&self) -> Batches {
        Batches::new(self.parts.clone())
    }

    /// Reads the connections. Empty if the recorder was killed before it wrote any.
    pub fn connections(&self) -> Result<Vec<ConnectionRow>> {
        let anchor = self.manifest.header.anchor;
        self.rows(tables::CONNECTIONS, |batch| {
            tables::connection_rows(batch, anchor)
        })
    }

    /// Reads the losses. Empty if the recorder was killed.
    pub fn losses(&self) -> Result<Vec<LossRow>> {
        let anchor = self.manifest.header.anchor;
        self.rows(tables::LOSSES, |batch| tables::loss_rows(batch, anchor))
    }

    /// Reads the connections as record batches.
    pub fn connection_batches(&self) -> Result<Vec<RecordBatch>> {
        Ok(tables::load(&self.folder, tables::CONNECTIONS)?.unwrap_or_default())
    }

    /// Reads the losses as record batches.
    pub fn loss_batches(&self) -> Result<Vec<RecordBatch>> {
        Ok(tables::load(&self.folder, tables::LOSSES)?.unwrap_or_default())
    }

    /// Number of connections: the recorder's count if it sealed the profile, else at least those that events show.
    pub fn connection_count(&self) -> Result<u64> {
        if self.manifest.state == State::Sealed && !self.manifest.repaired {
            return Ok(self.manifest.connections);
        }
        let mut seen = HashSet::new();
        for part in &self.parts {
            scan::connections(part, &mut seen)?;
        }
        Ok((seen.len() as u64).max(self.manifest.connections))
    }

    /// Duration of the recording, s: as the recorder measured it, else up to the last event.
    pub fn duration_s(&self) -> f64 {
        let start = self.manifest.header.anchor;
        let parts = self.parts.iter();
        let last = parts.map(|part| part.description.last_us).max();
        let nanoseconds = self.manifest.duration_ns.unwrap_or_else(|| {
            last.map_or(0, |last| {
                start.monotonic_ns(last).saturating_sub(start.monotonic_ns)
            })
        });
        std::time::Duration::from_nanos(nanoseconds).as_secs_f64()
    }

    /// Summarises the profile.
    pub fn summary(&self) -> Result<Summary> {
        let manifest = self.manifest.clone();
        let counts = self.counts.clone();
        Ok(Summary {
            server_runs: manifest.server_runs.clone(),
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
            unsealed_events: self.unsealed_events,
            cut_bytes: self.cut_bytes,
            ledger: manifest.ledger,
        })
    }

    fn rows<R>(
        &self,
        name: &'static str,
        parse: impl Fn(&RecordBatch) -> std::result::Result<Vec<R>, &'static str>,
    ) -> Result<Vec<R>> {
        let mut rows = Vec::new();
        for batch in tables::load(&self.folder, name)?.unwrap_or_default() {
            rows.extend(parse(&batch).map_err(|column| Error::Column {
                path: self.folder.path().join(name),
                column,
                found: "something that this schema version does not define".into(),
            })?);
        }
        Ok(rows)
    }

    fn find_parts(&mut self) -> Result<()> {
        for _ in 1..ATTEMPTS {
            if self.try_find_parts()? {
                break;
            }
        }
        self.parts.sort_by_key(|part| part.description.first_us);
        for part in &self.parts {
            self.counts.add(&part.description.counts);
        }
        for name in self.counts.options.keys() {
            self.options.intern(name);
        }
        self.check_complete()
    }

    /// Opens every part. Returns false if a recorder sealed one meanwhile, whose open file is gone.
    fn try_find_parts(&mut self) -> Result<bool> {
        self.parts.clear();
        (self.unsealed_events, self.cut_bytes) = (0, 0);
        let parts = part_numbers(&self.folder)?;
        for &(number, sealed) in &parts {
            if !sealed && parts.contains(&(number, true)) {
                continue;
            }
            let name = if sealed { sealed_name } else { open_name }(number);
            let Some(file) = self.folder.open_file(&name)? else {
                return Ok(false);
            };
            if sealed {
                self.add_sealed(&name, file)?;
            } else {
                self.add_open(number, &name, file)?;
            }
        }
        Ok(true)
    }

    fn add_sealed(&mut self, name: &str, file: File) -> Result<()> {
        let content =
            Content::from_file(file).map_err(|source| self.folder.failed(name, source))?;
        let path = self.folder.path().join(name);
        let known = self.manifest.parts.iter().find(|part| part.name == name);
        let description = match known {
            Some(part) => part.clone(),
            None => scan::part(name, &path, &content)?,
        };
        self.parts.push(ReadablePart {
            path,
            description,
            content,
        });
        Ok(())
    }

    fn add_open(&mut self, number: u32, name: &str, file: File) -> Result<()> {
        let path = self.folder.path().join(name);
        let tail = Tail::open(&self.folder, number, file)?;
        self.cut_bytes += tail.excess;
        let mut content = Vec::new();
        let sealed = seal(&tail, &mut content).map_err(|source| Error::Parquet {
            path: path.clone(),
            source,
        })?;
        let Some(mut description) = sealed else {
            return Ok(());
        };
        description.name = name.into();
        self.unsealed_events += description.counts.events;
        self.parts.push(ReadablePart {
            path,
            description,
            content: Content::Memory(content.into()),
        });
        Ok(())
    }

    fn check_complete(&self) -> Result<()> {
        let missing = |listed: &&Part| {
            !self
                .parts
                .iter()
                .any(|part| part.description.name == listed.name)
        };
        match self.manifest.parts.iter().find(missing) {
            None => Ok(()),
            Some(part) => Err(Error::PartMissing {
                path: self.folder.path().into(),
                name: part.name.clone(),
            }),
        }
    }
}

/// Lists the parts in a folder by number and whether they are sealed.
pub(super) fn part_numbers(folder: &Folder) -> Result<Vec<(u32, bool)>> {
    let names = folder.names()?;
    Ok(names.iter().filter_map(|name| part_number(name)).collect())
}
