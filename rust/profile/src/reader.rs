//! A profile on disk, sealed or not → its manifest, events, tables and counts.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::connections;
use super::events::{Batches, Events};
use super::folder::Folder;
use super::manifest::{Counts, Manifest, Part, State};
use super::observation;
use super::ordinals::Ordinals;
use super::part::{ReadablePart, Source};
use super::rows::Rows;
use super::scan;
use super::seal::seal;
use super::stored::StoredFile;
use super::stored_table::Table;
use super::streams;
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
    folder: Arc<Folder>,
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
        let folder = Arc::new(Folder::open(path.as_ref())?);
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

    /// Iterates over the connections, in the order in which they ended; those still open come last. Empty if the recorder
    /// was killed before it wrote any.
    pub fn connections(&self) -> Result<Rows<ConnectionRow>> {
        let anchor = self.manifest.header.anchor;
        Rows::new(&self.connection_table()?, anchor, tables::connection_rows)
    }

    /// Iterates over the losses. Empty if the recorder was killed.
    pub fn losses(&self) -> Result<Rows<LossRow>> {
        let anchor = self.manifest.header.anchor;
        Rows::new(&self.loss_table()?, anchor, tables::loss_rows)
    }

    /// Finds the table of connections, in the order of [`connections`](Self::connections).
    pub fn connection_table(&self) -> Result<Table> {
        let expected = self.manifest.table(tables::CONNECTIONS).map(Into::into);
        let schema = tables::connection_schema();
        if self.manifest.state != State::Sealed
            && let Some(content) = connections::seal_in_memory(&self.folder)?
        {
            let name = tables::CONNECTIONS;
            return Ok(Table::in_memory(&self.folder, name, schema, content));
        }
        Table::find(&self.folder, tables::CONNECTIONS, schema, expected)
    }

    /// Finds the table of losses.
    pub fn loss_table(&self) -> Result<Table> {
        let expected = self.manifest.table(tables::LOSSES).map(Into::into);
        let schema = tables::loss_schema();
        Table::find(&self.folder, tables::LOSSES, schema, expected)
    }

    /// Finds a table of the observation that ran beside the recording; empty if none did.
    pub fn observation_table(&self, name: &str) -> Result<Table> {
        let schema = observation::schema_of(name)?;
        let file = observation::sealed_name(name);
        if self.manifest.state != State::Sealed {
            // In this order: a table that is sealed meanwhile is in both forms, or only in the last.
            let content = streams::seal_in_memory(&self.folder, name, &schema)?;
            if let Some(content) = content {
                return Ok(Table::in_memory(&self.folder, &file, schema, content));
            }
        }
        let expected = self.manifest.table(&file).map(Into::into);
        if expected.is_none() && self.manifest.state == State::Sealed {
            return match self.folder.facts(&file)? {
                None => Ok(Table::empty(&self.folder, &file, schema)),
                Some(_) => Err(Error::Unlisted {
                    path: self.folder.path().join(file),
                }),
            };
        }
        Ok(Table::find(&self.folder, &file, schema, expected)?.of_any_version())
    }

    /// Number of connections: the recorder's count if it sealed the profile, else at least those that events show.
    pub fn connection_count(&self) -> Result<u64> {
        if self.manifest.state == State::Sealed && !self.manifest.repaired {
            return Ok(self.manifest.connections);
        }
        Ok(self
            .used_connections()?
            .len()
            .max(self.manifest.connections))
    }

    /// Ordinals of the connections that events are on.
    pub fn used_connections(&self) -> Result<Ordinals> {
        let mut seen = Ordinals::default();
        for part in &self.parts {
            scan::connections(part, &mut seen)?;
        }
        Ok(seen)
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
        // What a recorder counts, it writes at its end.
        let has_ended = manifest.stopped_by.is_some();
        Ok(Summary {
            server_runs: manifest.server_runs.clone(),
            schema_version: manifest.schema_version,
            membench: manifest.membench,
            state: manifest.state.name(),
            being_recorded: manifest.state == State::Recording && self.folder.is_locked(),
            repaired: manifest.repaired,
            source: manifest.header.source,
            hooks: manifest.header.hooks,
            kernel: manifest.header.kernel,
            responses: manifest.header.responses,
            arrival: manifest.header.arrival,
            time_basis: manifest.header.time_basis,
            sampling: manifest.header.sampling,
            sample: manifest.header.sample,
            sampled_out: has_ended.then_some(manifest.sampled_out),
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
            ledger: has_ended.then_some(manifest.ledger),
        })
    }

    /// The parts, as they were when the profile was opened.
    pub(super) fn parts(&self) -> &[ReadablePart] {
        &self.parts
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
        let all: HashSet<_> = parts.iter().copied().collect();
        for &(number, sealed) in &parts {
            if !sealed && all.contains(&(number, true)) {
                continue;
            }
            let name = if sealed { sealed_name } else { open_name }(number);
            let found = if sealed {
                self.add_sealed(&name)?
            } else {
                self.add_open(number, &name)?
            };
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds a sealed part; false if it is gone.
    fn add_sealed(&mut self, name: &str) -> Result<bool> {
        let path = self.folder.path().join(name);
        let known = self.manifest.parts.iter().find(|part| part.name == name);
        if known.is_none() && self.manifest.state == State::Sealed {
            return Err(Error::Unlisted { path });
        }
        let expected = known.map(Into::into);
        let Some(file) = StoredFile::find(&self.folder, name, expected)? else {
            return Ok(false);
        };
        let description = match known {
            Some(part) => part.clone(),
            None => scan::part(name, &path, &file.open()?)?,
        };
        self.parts.push(ReadablePart {
            path,
            description,
            source: Source::File(Arc::new(file)),
        });
        Ok(true)
    }

    /// Adds an open part, sealed in memory; false if it is gone.
    fn add_open(&mut self, number: u32, name: &str) -> Result<bool> {
        let path = self.folder.path().join(name);
        let Some(file): Option<File> = self.folder.open_file(name)? else {
            return Ok(false);
        };
        let tail = Tail::open(&self.folder, number, file)?;
        self.cut_bytes += tail.excess;
        let mut content = Vec::new();
        let sealed = seal(&tail, &mut content).map_err(|source| Error::Parquet {
            path: path.clone(),
            source,
        })?;
        let Some(mut description) = sealed else {
            return Ok(true);
        };
        if self.manifest.state == State::Sealed {
            return Err(Error::Unlisted { path });
        }
        description.name = name.into();
        self.unsealed_events += description.counts.events;
        self.parts.push(ReadablePart {
            path,
            description,
            source: Source::Memory(content.into()),
        });
        Ok(true)
    }

    fn check_complete(&self) -> Result<()> {
        let found = self.parts.iter().map(|part| &part.description.name);
        let found: HashSet<&String> = found.collect();
        let missing = |listed: &&Part| !found.contains(&listed.name);
        match self.manifest.parts.iter().find(missing) {
            None => Ok(()),
            Some(part) => Err(Error::Missing {
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
