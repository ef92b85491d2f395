//! Events → a profile's parts, as they come; at the end its tables and manifest.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::create;
use super::encode::Encoder;
use super::folder::{Folder, Owner};
use super::manifest::{Header, Manifest, Part, State};
use super::room::Room;
use super::seal::seal;
use super::tables;
use super::tail::{Tail, TailWriter, open_name, sealed_name};
use crate::{Error, Result};
use membench_event::Anchor;
use membench_event::Ledger;
use membench_event::{ConnectionRow, LossRow};
use membench_event::{Event, OptionsTable};

/// When batches are written and parts sealed.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) batch: usize,
    pub(super) part_events: u64,
    pub(super) part_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: 1 << 16,
            part_events: 1_000_000,
            part_age: Duration::from_mins(5),
        }
    }
}

/// What is known of a recording when it ends.
#[derive(Clone, Debug, Default)]
pub struct End {
    /// Every connection seen.
    pub connections: Vec<ConnectionRow>,
    /// Every loss.
    pub losses: Vec<LossRow>,
    /// Where every byte went.
    pub ledger: Ledger,
    /// What memcached says of itself, by server.
    pub statistics_end: Value,
    /// What ended the recording (`duration`, `interrupted`, `disk full`, …).
    pub stopped_by: String,
    /// How long was recorded, ns.
    pub duration_ns: u64,
    /// Events left out as they are not of the sample.
    pub sampled_out: u64,
}

/// Writes a profile. Dropping it leaves what a killed recorder leaves: all but the events of the last batch.
pub struct Writer {
    folder: Arc<Folder>,
    manifest: Manifest,
    encoder: Encoder,
    options: OptionsTable,
    /// Events that the encoder holds, until they are written.
    pending: u64,
    tail: TailWriter,
    opened: Instant,
    sealing: Option<Sealing>,
    /// Parts whose sealing failed: it is tried once more at the end.
    unsealed: Vec<Tail>,
    room: Room,
    limits: Limits,
    failure: Option<Failure>,
    not_taken: u64,
}

/// A part being sealed in the background.
struct Sealing {
    thread: JoinHandle<(Tail, Result<Option<Part>>)>,
    length: u64,
}

/// The first failure to write: it is final.
struct Failure {
    path: std::path::PathBuf,
    errno: Option<i32>,
    text: String,
}

impl Writer {
    /// Starts a profile. An existing one is replaced only with `force`, and only once the new one stands. From here on
    /// the folder is used by its descriptor, so that privileges can be dropped.
    pub fn create(path: &Path, header: Header, force: bool) -> Result<Self> {
        Self::create_for(None, path, header, force)
    }

    /// The same, with the profile belonging to someone else. Once privileges are given up, a thread that uses
    /// it must have become the [`Self::owner`].
    pub fn create_for(
        owner: Option<Owner>,
        path: &Path,
        header: Header,
        force: bool,
    ) -> Result<Self> {
        Self::with_limits(owner, path, header, force, Limits::default())
    }

    /// Whom the profile belongs to.
    pub fn owner(&self) -> Owner {
        self.folder.owner()
    }

    pub(super) fn with_limits(
        owner: Option<Owner>,
        path: &Path,
        mut header: Header,
        force: bool,
        limits: Limits,
    ) -> Result<Self> {
        header.anchor = header.anchor.on_a_microsecond();
        let manifest = Manifest::new(header);
        let (folder, (room, tail)) = create::create(path, force, owner, |folder| {
            let room = Room::keep(folder)?;
            let tail = TailWriter::create(folder, 1)?;
            manifest.save(folder)?;
            Ok((room, tail))
        })?;
        Ok(Self {
            folder: Arc::new(folder),
            encoder: Encoder::new(manifest.header.anchor),
            manifest,
            options: OptionsTable::default(),
            pending: 0,
            tail,
            opened: Instant::now(),
            sealing: None,
            unsealed: Vec::new(),
            room,
            limits,
            failure: None,
            not_taken: 0,
        })
    }

    /// Takes events. `options` is the capture's one table, which only ever grows.
    pub fn append(&mut self, events: &[Event], options: &OptionsTable) -> Result<()> {
        if let Some(failure) = &self.failure {
            self.not_taken += events.len() as u64;
            return Err(failure.again());
        }
        if self.options.names().len() != options.names().len() {
            self.options.clone_from(options);
        }
        self.encoder.take(events);
        self.pending += events.len() as u64;
        if self.encoder.len() >= self.limits.batch {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what was taken to the open part, and seals the part in the background once it is large or old.
    pub fn flush(&mut self) -> Result<()> {
        let result = self.write_pending().and_then(|()| self.look_after_parts());
        result.map_err(|error| self.fail(error))
    }

    /// Notes what servers said at the start, in the manifest.
    pub fn set_statistics_start(&mut self, statistics: Value) -> Result<()> {
        self.manifest.header.statistics_start = statistics;
        self.manifest.save(&self.folder)
    }

    /// Adds a later pair of the anchor's clocks, to be written with the next manifest.
    pub fn note_clocks(&mut self, pair: Anchor) {
        self.manifest.clocks.push(pair);
    }

    /// Writes the connections known so far, for the case that the end is not reached.
    pub fn save_connections(&mut self, rows: &[ConnectionRow]) -> Result<()> {
        self.manifest.connections = rows.len() as u64;
        let columns = tables::connection_columns(rows, self.manifest.header.anchor);
        let schema = tables::connection_schema();
        tables::save(&self.folder, tables::CONNECTIONS, &schema, columns)
    }

    /// Bytes of the profile on disk.
    pub fn bytes_written(&self) -> u64 {
        let sealed: u64 = self.manifest.parts.iter().map(|part| part.bytes).sum();
        sealed + self.open_bytes()
    }

    /// Bytes that whoever writes it may still write to its disk; none where the file system does not tell.
    pub fn free_bytes(&self) -> Option<u64> {
        self.folder.free_bytes()
    }

    /// Ends the profile: seals every part, writes the tables, then the manifest.
    ///
    /// Events that could not be written are counted as `user_queue_drops`. If a part cannot be sealed the profile stays
    /// unsealed, with all that was written readable.
    pub fn finish(mut self, end: End) -> Result<Manifest> {
        let _ = self.flush();
        let _ = self.collect_sealed(true);
        let freed = self.room.release(&self.folder);
        let result = freed.and_then(|()| self.seal_rest(&end));
        self.conclude(end, result.is_ok());
        self.manifest.save(&self.folder)?;
        result.map(|()| self.manifest)
    }

    fn write_pending(&mut self) -> Result<()> {
        if self.pending == 0 {
            return Ok(());
        }
        let batch = self.encoder.batch(&self.options);
        let batch = batch.map_err(|source| Error::Arrow {
            path: self.folder.path().join(open_name(self.tail.number)),
            source,
        })?;
        self.tail.write(&self.folder, &batch)?;
        self.pending = 0;
        self.room.ensure(&self.folder, self.open_bytes())
    }

    fn look_after_parts(&mut self) -> Result<()> {
        self.collect_sealed(false)?;
        let full = self.tail.events >= self.limits.part_events;
        let old = self.tail.events > 0 && self.opened.elapsed() >= self.limits.part_age;
        if full || old {
            self.roll()?;
        }
        Ok(())
    }

    /// Seals the open part in the background and opens the next. One is sealed at a time: this waits for the last.
    fn roll(&mut self) -> Result<()> {
        self.collect_sealed(true)?;
        let tail = self.tail.written(&self.folder)?;
        self.tail = TailWriter::create(&self.folder, tail.number + 1)?;
        self.opened = Instant::now();
        let length = tail.length;
        let folder = Arc::clone(&self.folder);
        let thread = thread::Builder::new()
            .name("membench-seal".into())
            .spawn(move || {
                let result = seal_to_file(&folder, &tail);
                (tail, result)
            })
            .map_err(|source| self.folder.failed(&sealed_name(self.tail.number), source))?;
        self.sealing = Some(Sealing { thread, length });
        Ok(())
    }

    /// Takes note of a part that was sealed in the background; waits for it if told to.
    fn collect_sealed(&mut self, wait: bool) -> Result<()> {
        let done = |sealing: &mut Sealing| wait || sealing.thread.is_finished();
        let Some(sealing) = self.sealing.take_if(done) else {
            return Ok(());
        };
        let (tail, result) = sealing
            .thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match result {
            Ok(part) => self.take_part(part)?,
            Err(error) => {
                self.unsealed.push(tail);
                return Err(error);
            }
        }
        self.room.shrink(self.open_bytes());
        Ok(())
    }

    fn take_part(&mut self, part: Option<Part>) -> Result<()> {
        self.manifest.parts.extend(part);
        self.manifest.save(&self.folder)
    }

    /// Bytes of parts that are not sealed.
    fn open_bytes(&self) -> u64 {
        let sealing = self.sealing.as_ref().map_or(0, |sealing| sealing.length);
        let failed: u64 = self.unsealed.iter().map(|tail| tail.length).sum();
        self.tail.length + sealing + failed
    }

    fn fail(&mut self, error: Error) -> Error {
        self.not_taken += std::mem::take(&mut self.pending);
        self.failure.get_or_insert_with(|| Failure::new(&error));
        error
    }

    fn seal_rest(&mut self, end: &End) -> Result<()> {
        let mut tails = std::mem::take(&mut self.unsealed);
        tails.push(self.tail.written(&self.folder)?);
        for tail in &tails {
            let part = seal_to_file(&self.folder, tail)?;
            self.manifest.parts.extend(part);
        }
        self.save_connections(&end.connections)?;
        let columns = tables::loss_columns(&end.losses, self.manifest.header.anchor);
        let schema = tables::loss_schema();
        tables::save(&self.folder, tables::LOSSES, &schema, columns)
    }

    fn conclude(&mut self, end: End, sealed: bool) {
        let manifest = &mut self.manifest;
        manifest.ledger = end.ledger;
        manifest.ledger.user_queue_drops += self.not_taken;
        manifest.ledger.complete = sealed.then(|| manifest.ledger.nothing_lost());
        manifest.connections = end.connections.len() as u64;
        manifest.statistics_end = end.statistics_end;
        manifest.sampled_out = end.sampled_out;
        manifest.stopped_by = Some(end.stopped_by);
        manifest.duration_ns = Some(end.duration_ns);
        manifest.write_error = self.failure.take().map(|failure| failure.text);
        if sealed {
            manifest.state = State::Sealed;
        }
    }
}

impl Failure {
    fn new(error: &Error) -> Self {
        let (path, errno) = match error {
            Error::Io { path, source } => (path.clone(), source.raw_os_error()),
            _ => (std::path::PathBuf::new(), None),
        };
        Self {
            path,
            errno,
            text: error.to_string(),
        }
    }

    /// The same failure for a later call.
    fn again(&self) -> Error {
        let source = self.errno.map_or_else(
            || io::Error::other(self.text.clone()),
            io::Error::from_raw_os_error,
        );
        Error::Io {
            path: self.path.clone(),
            source,
        }
    }
}

/// Seals an open part and removes it.
pub(super) fn seal_to_file(folder: &Folder, tail: &Tail) -> Result<Option<Part>> {
    let name = sealed_name(tail.number);
    let draft = format!("{name}.tmp");
    let result = write_sealed(folder, tail, &name, &draft);
    if !matches!(result, Ok(Some(_))) {
        folder.remove(&draft)?;
    }
    let part = result?;
    folder.remove(&open_name(tail.number))?;
    Ok(part)
}

fn write_sealed(folder: &Folder, tail: &Tail, name: &str, draft: &str) -> Result<Option<Part>> {
    let mut file = folder.create_file(draft)?;
    let part = seal(tail, &mut file).map_err(|source| parquet_failed(folder, draft, source))?;
    if part.is_some() {
        folder.publish(&file, draft, name)?;
    }
    Ok(part)
}

/// A failure of the disk says so, whatever it is wrapped in.
fn parquet_failed(folder: &Folder, name: &str, source: parquet::errors::ParquetError) -> Error {
    use parquet::errors::ParquetError;

    match source {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => folder.failed(name, *cause),
            Err(cause) => Error::Parquet {
                path: folder.path().join(name),
                source: ParquetError::External(cause),
            },
        },
        source => Error::Parquet {
            path: folder.path().join(name),
            source,
        },
    }
}
