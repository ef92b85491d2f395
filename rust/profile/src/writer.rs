//! Events → a profile: parts while recording, the tables and the final manifest at the end.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::clocks::ClockThinning;
use super::connections;
use super::create;
use super::encode::Encoder;
use super::folder::Folder;
use super::manifest::{Header, Manifest, Part, State, TableFile};
use super::observation::Observation;
use super::owner::Owner;
use super::room::Room;
use super::seal::seal;
use super::streams::Streams;
use super::tables;
use super::tail::{StreamFile, Tail, TailWriter, open_name, sealed_name};
use crate::{Error, Result};
use membench_event::Anchor;
use membench_event::Ledger;
use membench_event::{ConnectionRow, LossRow, ServerRun};
use membench_event::{Event, OptionsTable};

/// The open connections are written at most for one part in this many of the time.
const SAVING_SHARE: u32 = 100;

/// Thresholds at which batches are written and parts sealed.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Events of a batch.
    pub(super) batch: usize,
    /// Events of a part.
    pub(super) part_events: u64,
    /// Time since a part was opened.
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

/// Facts about a recording that are known when it ends.
#[derive(Clone, Debug, Default)]
pub struct End {
    /// The connections that are still open: those that were not appended.
    pub connections: Vec<ConnectionRow>,
    /// All losses.
    pub losses: Vec<LossRow>,
    /// Account of every byte.
    pub ledger: Ledger,
    /// memcached's own statistics at the end, by server.
    pub statistics_end: Value,
    /// Processes that served while the recording lasted.
    pub server_runs: Vec<ServerRun>,
    /// Reason why the recording ended (`duration`, `SIGINT`, `output failed`, …).
    pub stopped_by: String,
    /// Duration of the recording, ns.
    pub duration_ns: u64,
    /// Events left out because they are not in the sample.
    pub sampled_out: u64,
}

/// Writes a profile.
///
/// Events are collected into batches, batches are appended to an open part, and a large or old part is sealed in the
/// background. Dropping the writer without [`Writer::finish`] leaves the profile as a killed recorder does: unsealed,
/// but readable up to the last batch that was flushed.
///
/// ```
/// use membench_event::{Command, Event, OptionsTable};
/// use membench_profile::{End, Header, Profile, Writer};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("production.mb");
/// let mut writer = Writer::create(&path, Header::default(), false)?;
///
/// let get = Event { time: 2_000_000, key: Some(42), ..Event::new(Command::Get) };
/// writer.append(&[get], &OptionsTable::default())?;
///
/// let manifest = writer.finish(End { stopped_by: "duration".into(), ..End::default() })?;
/// assert_eq!(manifest.parts[0].counts.events, 1);
/// assert_eq!(Profile::open(&path)?.summary()?.state, "sealed");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer {
    folder: Arc<Folder>,
    manifest: Manifest,
    encoder: Encoder,
    options: OptionsTable,
    /// Events that the encoder holds and that are not written yet.
    pending: u64,
    tail: TailWriter,
    opened: Instant,
    sealing: Option<Sealing>,
    /// Parts that could not be sealed; the end tries again.
    unsealed: Vec<Tail>,
    room: Room,
    clocks: ClockThinning,
    limits: Limits,
    /// The connections that have ended.
    connections: Option<StreamFile>,
    /// Tables of the observation beside the recording.
    streams: Streams,
    /// Connections that have ended and could not be written yet.
    ended: Vec<ConnectionRow>,
    /// Time before which the open connections are not written again.
    open_saved_until: Instant,
    failure: Option<Failure>,
    /// Events that could not be written.
    unwritten: u64,
}

/// A part being sealed in the background.
struct Sealing {
    thread: JoinHandle<(Tail, Result<Option<Part>>)>,
    length: u64,
}

/// The first write failure, which is final: every later call fails with it.
struct Failure {
    path: std::path::PathBuf,
    errno: Option<i32>,
    text: String,
}

impl Writer {
    /// Creates a profile that belongs to the calling user.
    ///
    /// An existing profile is replaced only with `force`, and only once the new one has been created. From then on the
    /// folder is used by its descriptor, so that privileges can be dropped.
    pub fn create(path: &Path, header: Header, force: bool) -> Result<Self> {
        Self::create_for(None, path, header, force)
    }

    /// Creates a profile that belongs to `owner`; see [`Self::create`].
    ///
    /// Once privileges are dropped, every thread that uses the writer must run as [`Self::owner`].
    pub fn create_for(
        owner: Option<Owner>,
        path: &Path,
        header: Header,
        force: bool,
    ) -> Result<Self> {
        Self::with_limits(owner, path, header, force, Limits::default())
    }

    /// Number of events that were appended and are not on the disk yet.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// User and group that own the profile.
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
        let clocks = ClockThinning::new(header.anchor);
        let manifest = Manifest::new(header);
        let (folder, (room, tail)) = create::create(path, force, owner, |folder| {
            let room = Room::create(folder)?;
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
            clocks,
            limits,
            connections: None,
            streams: Streams::default(),
            ended: Vec::new(),
            open_saved_until: Instant::now(),
            failure: None,
            unwritten: 0,
        })
    }

    /// Appends events. `options` must be the capture's one table, which only ever grows.
    pub fn append(&mut self, events: &[Event], options: &OptionsTable) -> Result<()> {
        if let Some(failure) = &self.failure {
            self.unwritten += events.len() as u64;
            return Err(failure.to_error());
        }
        if self.options.names().len() != options.names().len() {
            self.options.clone_from(options);
        }
        self.encoder.extend(events);
        self.pending += events.len() as u64;
        if self.encoder.len() >= self.limits.batch {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes the collected events to the open part, and seals that part in the background if it is large or old.
    pub fn flush(&mut self) -> Result<()> {
        let result = self.write_pending().and_then(|()| self.roll_if_due());
        result.map_err(|error| self.fail(error))
    }

    /// Stores the servers' statistics at the start in the manifest.
    pub fn set_statistics_start(&mut self, statistics: Value) -> Result<()> {
        self.manifest.header.statistics_start = statistics;
        self.manifest.save(&self.folder)
    }

    /// Offers a later reading of the anchor's clocks, to be written with the next manifest. Cheap enough for every
    /// second.
    ///
    /// At most one reading a minute is kept, the first a minute after the anchor. At 1,440 readings every second one is
    /// removed and the interval doubles, so that the list stays short and covers the whole recording evenly. If the
    /// anchor's clocks are equal, the source gives times in UTC: no other clock can drift from it, and nothing is kept.
    pub fn note_clocks(&mut self, pair: Anchor) {
        self.clocks.offer(pair, &mut self.manifest.clocks);
    }

    /// Appends connections that have ended: each is given once, and not among the open ones of [`End`].
    pub fn append_connections(&mut self, ended: Vec<ConnectionRow>) -> Result<()> {
        self.manifest.connections += ended.len() as u64;
        self.ended.extend(ended);
        if self.ended.is_empty() {
            return Ok(());
        }
        let file = match &mut self.connections {
            Some(file) => file,
            none => none.insert(StreamFile::create(
                &self.folder,
                connections::ENDED.into(),
                &tables::connection_schema(),
            )?),
        };
        let batch = connections::batch(&self.folder, &self.ended, self.manifest.header.anchor)?;
        file.write(&self.folder, &batch)?;
        self.ended.clear();
        Ok(())
    }

    /// Writes the connections that are open, in case the recorder is killed. Cheap enough for every second: if there are
    /// so many that it takes long, it is done less often.
    pub fn save_open_connections(&mut self, open: &[ConnectionRow]) -> Result<()> {
        let begun = Instant::now();
        if begun < self.open_saved_until {
            return Ok(());
        }
        let anchor = self.manifest.header.anchor;
        connections::save_open(&self.folder, open, anchor)?;
        self.open_saved_until = begun + begun.elapsed() * SAVING_SHARE;
        Ok(())
    }

    /// Appends what was observed beside the recording.
    pub fn append_observation(&mut self, rows: &Observation) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.to_error());
        }
        self.streams.write(&self.folder, rows)?;
        self.room.ensure(&self.folder, self.open_bytes())
    }

    /// Size of all parts on disk, bytes.
    pub fn bytes_written(&self) -> u64 {
        let sealed: u64 = self.manifest.parts.iter().map(|part| part.bytes).sum();
        sealed + self.open_bytes()
    }

    /// Free space that the owner may fill on the profile's disk, bytes; `None` if the file system does not report it.
    pub fn free_bytes(&self) -> Option<u64> {
        self.folder.free_bytes()
    }

    /// Finishes the profile: seals every part, then writes the tables, then the manifest.
    ///
    /// Events that could not be written are counted as `unwritten`. If a part cannot be sealed, the profile
    /// stays unsealed and everything written stays readable.
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

    fn roll_if_due(&mut self) -> Result<()> {
        self.collect_sealed(false)?;
        let full = self.tail.events >= self.limits.part_events;
        let old = self.tail.events > 0 && self.opened.elapsed() >= self.limits.part_age;
        if full || old {
            self.roll()?;
        }
        Ok(())
    }

    /// Seals the open part in the background and opens the next. Waits for the previous sealing: one runs at a time.
    fn roll(&mut self) -> Result<()> {
        self.collect_sealed(true)?;
        let tail = self.tail.to_tail(&self.folder)?;
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

    /// Adds a part that was sealed in the background to the manifest. With `wait`, waits for a sealing that still runs.
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

    /// Size of the parts that are not sealed, bytes.
    fn open_bytes(&self) -> u64 {
        let sealing = self.sealing.as_ref().map_or(0, |sealing| sealing.length);
        let failed: u64 = self.unsealed.iter().map(|tail| tail.length).sum();
        let connections = self.connections.as_ref();
        let connections = connections.map_or(0, |file| file.length);
        self.tail.length() + sealing + failed + connections + self.streams.bytes()
    }

    fn fail(&mut self, error: Error) -> Error {
        self.unwritten += std::mem::take(&mut self.pending);
        self.failure.get_or_insert_with(|| Failure::new(&error));
        error
    }

    fn seal_rest(&mut self, end: &End) -> Result<()> {
        let mut tails = std::mem::take(&mut self.unsealed);
        tails.push(self.tail.to_tail(&self.folder)?);
        for tail in &tails {
            let part = seal_to_file(&self.folder, tail)?;
            self.manifest.parts.extend(part);
        }
        let connections = self.seal_connections(&end.connections)?;
        let columns = tables::loss_columns(&end.losses, self.manifest.header.anchor);
        let schema = tables::loss_schema();
        let losses = tables::save(&self.folder, tables::LOSSES, &schema, columns)?;
        self.manifest.tables = vec![connections, losses];
        self.manifest
            .tables
            .extend(self.streams.seal(&self.folder)?);
        Ok(())
    }

    fn seal_connections(&mut self, open: &[ConnectionRow]) -> Result<TableFile> {
        let written = self.connections.as_ref();
        let ended = written
            .map(|file| file.to_tail(&self.folder, 0))
            .transpose()?;
        let rest = [&self.ended[..], open].concat();
        let batch = connections::batch(&self.folder, &rest, self.manifest.header.anchor);
        connections::seal(&self.folder, ended.as_ref(), [batch])
    }

    fn conclude(&mut self, end: End, sealed: bool) {
        let manifest = &mut self.manifest;
        manifest.ledger = end.ledger;
        manifest.ledger.unwritten += self.unwritten;
        manifest.ledger.complete = sealed.then(|| manifest.ledger.nothing_lost());
        manifest.connections += end.connections.len() as u64;
        manifest.statistics_end = end.statistics_end;
        manifest.server_runs = end.server_runs;
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

    /// Rebuilds the error for a later call.
    fn to_error(&self) -> Error {
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

/// Seals an open part into a file of its own, then removes the open part. Returns `None` if it has no events.
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

/// Converts a Parquet error. An I/O error inside it is reported as such.
pub(super) fn parquet_failed(
    folder: &Folder,
    name: &str,
    source: parquet::errors::ParquetError,
) -> Error {
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
