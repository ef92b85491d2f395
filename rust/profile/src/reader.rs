//! A profile on disk, sealed or not → its manifest, events, tables and counts.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;

use super::content::Content;
use super::events::{Batches, Events};
use super::folder::Folder;
use super::manifest::{Counts, Manifest, Part, State};
use super::scan;
use super::seal::seal;
use super::tables;
use super::tail::{Tail, open_name, part_number, sealed_name};
use crate::{Error, Result};
use membench_event::OptionsTable;
use membench_event::{ConnectionRow, LossRow};

/// How often opening starts again because a recorder sealed a part under our eyes.
const ATTEMPTS: u32 = 8;

/// One part, ready to be read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) part: Part,
    pub(super) content: Content,
}

/// An open profile: what it held when it was opened.
#[derive(Debug)]
pub struct Profile {
    folder: Folder,
    manifest: Manifest,
    sources: Vec<Source>,
    options: OptionsTable,
    counts: Counts,
    unsealed_events: u64,
    cut_bytes: u64,
}

impl Profile {
    /// Opens a profile. Of an unsealed one the open part is read up to its last complete batch.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let folder = Folder::open(path.as_ref())?;
        let manifest = Manifest::load(&folder)?;
        let mut profile = Self {
            folder,
            manifest,
            sources: Vec::new(),
            options: OptionsTable::default(),
            counts: Counts::default(),
            unsealed_events: 0,
            cut_bytes: 0,
        };
        profile.find_parts()?;
        Ok(profile)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What the recorder wrote about it.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How many events there are of what, the unsealed ones included.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Events that are not in sealed parts, and bytes behind them that a crash cut.
    pub fn unsealed(&self) -> (u64, u64) {
        (self.unsealed_events, self.cut_bytes)
    }

    /// How many parts there are, an open one included.
    pub fn part_count(&self) -> usize {
        self.sources.len()
    }

    /// Bytes of the parts.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.part.bytes).sum()
    }

    /// The options strings that events refer to.
    pub fn options(&self) -> OptionsTable {
        self.options.clone()
    }

    /// Every event, over all parts, by (time, connection, batch, request). Times are `CLOCK_MONOTONIC`, ns, of µs grain.
    pub fn events(&self) -> Result<Events> {
        let anchor = self.manifest.header.anchor;
        Ok(Events::new(self.sources.clone(), anchor, self.options()))
    }

    /// Every event as record batches of [`super::schema()`], part by part.
    pub fn batches(&self) -> Batches {
        Batches::new(self.sources.clone())
    }

    /// The connections; empty where a recorder was killed before it wrote any.
    pub fn connections(&self) -> Result<Vec<ConnectionRow>> {
        let anchor = self.manifest.header.anchor;
        self.rows(tables::CONNECTIONS, |batch| {
            tables::connection_rows(batch, anchor)
        })
    }

    /// The losses; empty where a recorder was killed.
    pub fn losses(&self) -> Result<Vec<LossRow>> {
        let anchor = self.manifest.header.anchor;
        self.rows(tables::LOSSES, |batch| tables::loss_rows(batch, anchor))
    }

    /// The connections as record batches.
    pub fn connection_batches(&self) -> Result<Vec<RecordBatch>> {
        Ok(tables::load(&self.folder, tables::CONNECTIONS)?.unwrap_or_default())
    }

    /// The losses as record batches.
    pub fn loss_batches(&self) -> Result<Vec<RecordBatch>> {
        Ok(tables::load(&self.folder, tables::LOSSES)?.unwrap_or_default())
    }

    /// How many connections there are: as the recorder counted, else as events show.
    pub fn connection_count(&self) -> Result<u64> {
        if self.manifest.state == State::Sealed && !self.manifest.repaired {
            return Ok(self.manifest.connections);
        }
        let mut seen = HashSet::new();
        for source in &self.sources {
            scan::connections(source, &mut seen)?;
        }
        Ok((seen.len() as u64).max(self.manifest.connections))
    }

    /// How long was recorded, s: as the recorder measured, else up to the last event.
    pub fn duration_s(&self) -> f64 {
        let start = self.manifest.header.anchor;
        let last = self.sources.iter().map(|source| source.part.last_us).max();
        let nanoseconds = self.manifest.duration_ns.unwrap_or_else(|| {
            last.map_or(0, |last| {
                start.monotonic_ns(last).saturating_sub(start.monotonic_ns)
            })
        });
        std::time::Duration::from_nanos(nanoseconds).as_secs_f64()
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
                found: "something else than this schema version has".into(),
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
        self.sources.sort_by_key(|source| source.part.first_us);
        for source in &self.sources {
            self.counts.add(&source.part.counts);
        }
        for name in self.counts.options.keys() {
            self.options.intern(name);
        }
        self.check_complete()
    }

    /// Opens every part; false if one vanished meanwhile because it was sealed.
    fn try_find_parts(&mut self) -> Result<bool> {
        self.sources.clear();
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
        let content = Content::of(file).map_err(|source| self.folder.failed(name, source))?;
        let path = self.folder.path().join(name);
        let known = self.manifest.parts.iter().find(|part| part.name == name);
        let part = match known {
            Some(part) => part.clone(),
            None => scan::part(name, &path, &content)?,
        };
        self.sources.push(Source {
            path,
            part,
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
        let Some(mut part) = sealed else {
            return Ok(());
        };
        part.name = name.into();
        self.unsealed_events += part.counts.events;
        self.sources.push(Source {
            path,
            part,
            content: Content::Memory(content.into()),
        });
        Ok(())
    }

    fn check_complete(&self) -> Result<()> {
        let present = |part: &&Part| {
            !self
                .sources
                .iter()
                .any(|source| source.part.name == part.name)
        };
        match self.manifest.parts.iter().find(present) {
            None => Ok(()),
            Some(part) => Err(Error::PartMissing {
                path: self.folder.path().into(),
                name: part.name.clone(),
            }),
        }
    }
}

/// The parts in a folder: number and whether sealed.
pub(super) fn part_numbers(folder: &Folder) -> Result<Vec<(u32, bool)>> {
    let names = folder.names()?;
    Ok(names.iter().filter_map(|name| part_number(name)).collect())
}
