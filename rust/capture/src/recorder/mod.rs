//! A recording on its own thread: started, watched, stopped, and what it came to.

pub(crate) mod empty;
mod end;
pub(crate) mod guards;
mod header;
mod journal;
pub(crate) mod pace;
pub(crate) mod recording;
pub(crate) mod rotation;
pub(crate) mod status;
pub(crate) mod tally;
pub(crate) mod thread;
mod watching;
pub(crate) mod yielding;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use membench_decode::privacy::{KeyHasher, Names};
use membench_decode::{Decoder, Responses};
use membench_event::{Anchor, ConnectionRow, Event, OptionsTable, Sample, Setting};
use membench_profile::{Owner, Writer};
use tokio_util::sync::CancellationToken;

use crate::recorder::header::header;
use crate::recorder::journal::Journal;
pub use crate::recorder::recording::Cost;
pub use crate::recorder::recording::Difference;
pub use crate::recorder::recording::Recording;
use crate::recorder::rotation::Rotation;
use crate::recorder::status::{Shared, Status};
use crate::recorder::thread::Running;
use crate::selection::listeners;
use crate::source::log::Origin;
use crate::source::{self, log as watch};
use crate::{
    Attachment, Hooks, Limits, Rotate, Selection, Side, Yielding, become_user, clock,
    give_up_privileges, invoking_user, prepare_to_become,
};
use crate::{Error, Result};

/// Batches a live consumer may lag behind before events are dropped, and counted.
const BATCHES_QUEUED: usize = 256;

/// What to record, and where to.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent choices of the user's, each with its own name"
)]
pub struct RecordOptions {
    /// The source as it was asked for.
    pub source: String,
    /// The capture file it names, if it does.
    pub file: Option<PathBuf>,
    /// The interface whose packets it names, if it does; `any` for all.
    pub interface: Option<String>,
    /// The interface that programs of ours are to be attached to, if it names one.
    pub hooked: Option<String>,
    /// How; otherwise the first way that this kernel has.
    pub attachment: Option<Attachment>,
    /// Whether packets may stand in for the kernel's hooks.
    pub fallback: bool,
    /// The profile to write, if any.
    pub output: Option<PathBuf>,
    /// Whether an existing profile is replaced.
    pub force: bool,
    /// Whose connections.
    pub selection: Selection,
    /// What is kept of responses.
    pub responses: Responses,
    /// Size of the ring, bytes.
    pub ring_bytes: u32,
    /// Which hooks; otherwise the first that this kernel has and takes.
    pub hooks: Option<Hooks>,
    /// When to end by itself.
    pub duration: Option<Duration>,
    /// When to go on in another profile.
    pub rotate: Option<Rotate>,
    /// Written bytes at which to end by itself.
    pub max_size: Option<u64>,
    /// Which keys and connections are kept.
    pub sample: Sample,
    /// Its niceness, so that others go first; none leaves the process as it is.
    pub nice: Option<i32>,
    /// What ends it before it hurts.
    pub limits: Limits,
    /// A key shared with other captures; otherwise a random one.
    pub key_file: Option<PathBuf>,
    /// Whether servers are asked for their counters.
    pub statistics: bool,
    /// Whether this process gives up every privilege once attached; it cannot be taken back.
    pub drop_privileges: bool,
    /// Whether events are also handed to a live consumer.
    pub live: bool,
    /// Where keys are remembered in plaintext, for the operator's terminal; nowhere unless they ask.
    pub names: Option<Names>,
}

impl RecordOptions {
    /// Refuses what only sockets can be recorded with.
    fn require_whole(&self) -> Result<()> {
        let refused = |option| {
            Err(Error::NotForSource {
                option,
                origin: self.source.clone(),
            })
        };
        match self {
            Self {
                rotate: Some(_), ..
            } => refused(Setting::RotateSize),
            Self { sample, .. } if !sample.is_all() => refused(Setting::SampleKeys),
            _ => Ok(()),
        }
    }
}

/// Events for a live consumer, with the options strings they refer to.
#[derive(Clone, Debug)]
pub struct Batch {
    /// In the order of their responses.
    pub events: Vec<Event>,
    /// Shared by the batches of a capture.
    pub options: Arc<OptionsTable>,
    /// Places their times.
    pub anchor: Anchor,
    /// Connections met since the last batch: connection and client.
    pub met: Vec<(u32, u32)>,
}

impl Batch {
    /// The connections of `rows` that no batch has told yet.
    pub(crate) fn met(rows: &[ConnectionRow], told: usize) -> Vec<(u32, u32)> {
        let new = rows.get(told..).unwrap_or_default();
        new.iter().map(|row| (row.connection, row.client)).collect()
    }
}

/// Why a recording is to end: the first reason counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    pub(crate) token: CancellationToken,
    reason: Arc<Mutex<Option<String>>>,
}

impl Stop {
    pub(crate) fn ask(&self, reason: &str) {
        lock(&self.reason).get_or_insert_with(|| reason.to_owned());
        self.token.cancel();
    }

    pub(crate) fn reason(&self) -> String {
        lock(&self.reason)
            .clone()
            .unwrap_or_else(|| "stop".to_owned())
    }
}

/// A recording that has been started.
pub struct Recorder {
    status: Shared,
    stop: Stop,
    ended: Arc<Ended>,
    thread: Mutex<Option<JoinHandle<Result<Recording>>>>,
    batches: Option<Mutex<Receiver<Batch>>>,
}

#[derive(Default)]
struct Ended {
    flag: Mutex<bool>,
    changed: Condvar,
}

/// Tells that the thread has ended, however it ends.
struct TellEnded(Arc<Ended>);

impl Drop for TellEnded {
    fn drop(&mut self) {
        *lock(&self.0.flag) = true;
        self.0.changed.notify_all();
    }
}

impl Recorder {
    /// Opens the output, attaches, gives up privileges if told so, and records from here on.
    pub fn start(options: RecordOptions) -> Result<Self> {
        let hasher = match &options.key_file {
            Some(path) => KeyHasher::from_file(path)?,
            None => KeyHasher::random()?,
        };
        let hasher = hasher.with_names(options.names.clone());
        let yielding = options
            .nice
            .map_or_else(Yielding::default, yielding::stand_back);
        if options.file.is_none()
            && options.interface.is_none()
            && options.hooked.is_none()
            && let Some(origin) = Origin::open(&options.source, options.statistics)?
        {
            return Self::start_log(options, hasher, origin, clock::anchor(), yielding);
        }
        source::check(&options)?;
        require_responses(&options)?;
        let followed = options.selection.find()?;
        let (mut source, notice) = source::open(&options, &followed)?;
        let anchor = source.anchor();
        let rotation = options.output.as_ref().map(|path| {
            let mut header = header(&options, &followed, &source, &hasher, anchor, yielding);
            header.facts["instead"] = notice.clone().into();
            header.facts["removal"] = source.removal().into();
            Rotation::new(options.rotate, path.clone(), header, options.force)
        });
        let writer = rotation
            .as_ref()
            .map(|rotation| rotation.first(invoking_user()));
        let writer = writer.transpose()?;
        let journal = source.is_live().then(Journal::open);
        if let Some(journal) = &journal {
            journal.attached(&options, source.object());
        }
        let listeners = if source.is_live() {
            listeners::find(&followed)
        } else {
            Vec::new()
        };
        source.beat();
        let user = give_up(&options, writer.as_ref())?;
        let utc_offset = i128::from(anchor.utc_ns) - i128::from(anchor.monotonic_ns);
        let decoder = Decoder::new(hasher, options.responses, utc_offset)
            .client_side(followed.side == Side::Client);
        let (consumer, batches) = queue(&options);
        let (status, stop) = (Shared::default(), Stop::default());
        let removal = source.removal().map(|line| {
            format!(
                "attached by clsact: if this process and its helper are killed, `{line}` removes it"
            )
        });
        status.update(|status| {
            status.source = source.name().unwrap_or_else(|| options.source.clone());
            status.notice = notice.or(removal);
            status.yielding = yielding;
            status.limits = options.limits;
        });
        let running = Running::new(options, followed, source, decoder, anchor)
            .writing(writer, rotation)
            .feeding(consumer)
            .telling(status.clone(), stop.clone());
        Self::spawn(user, status, stop, batches, move || {
            let recording = running.run(listeners)?;
            if let Some(journal) = journal {
                journal.detached(&recording);
            }
            Ok(recording)
        })
    }

    /// Records from memcached's own log from here on.
    fn start_log(
        options: RecordOptions,
        hasher: KeyHasher,
        origin: Origin,
        anchor: Anchor,
        yielding: Yielding,
    ) -> Result<Self> {
        options.require_whole()?;
        let (output, force) = (options.output.clone(), options.force);
        let (consumer, batches) = queue(&options);
        let (status, stop) = (Shared::default(), Stop::default());
        status.update(|status| {
            status.yielding = yielding;
            status.limits = options.limits;
        });
        let (running, header) = watch::Running::new(options, hasher, origin, anchor);
        let writer = match output {
            Some(path) => Some(Writer::create_for(invoking_user(), &path, header, force)?),
            None => None,
        };
        let user = give_up(running.options(), writer.as_ref())?;
        let running = running
            .writing(writer)
            .feeding(consumer)
            .telling(status.clone(), stop.clone());
        Self::spawn(user, status, stop, batches, move || running.run())
    }

    /// Runs a recording on a thread of its own, as the profile's owner.
    fn spawn(
        user: Option<Owner>,
        status: Shared,
        stop: Stop,
        batches: Option<Mutex<Receiver<Batch>>>,
        run: impl FnOnce() -> Result<Recording> + Send + 'static,
    ) -> Result<Self> {
        let ended = Arc::new(Ended::default());
        let tell = TellEnded(Arc::clone(&ended));
        let thread = std::thread::Builder::new()
            .name("membench-record".into())
            .spawn(move || {
                let _tell = tell;
                if let Some(user) = user {
                    become_user(user)?;
                }
                run()
            })
            .map_err(|source| Error::NotStarted {
                what: "thread",
                source,
            })?;
        Ok(Self {
            status,
            stop,
            ended,
            thread: Mutex::new(Some(thread)),
            batches,
        })
    }

    /// The latest look.
    pub fn status(&self) -> Status {
        self.status.get()
    }

    /// Asks it to end and seal.
    pub fn stop(&self, reason: &str) {
        self.stop.ask(reason);
    }

    /// Whether it has ended.
    pub fn done(&self) -> bool {
        *lock(&self.ended.flag)
    }

    /// Waits for its end; whether it came within `patience`.
    pub fn wait(&self, patience: Duration) -> bool {
        let flag = lock(&self.ended.flag);
        let waited = self
            .ended
            .changed
            .wait_timeout_while(flag, patience, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// What it came to. Waits for the end; can be asked once.
    pub fn finish(&self) -> Result<Recording> {
        let thread = lock(&self.thread).take().ok_or(Error::RecorderTaken)?;
        thread.join().map_err(|_| Error::RecorderPanicked)?
    }

    /// The next batch for a live consumer, if one comes within `patience`.
    pub fn next_batch(&self, patience: Duration) -> Option<Batch> {
        let batches = lock(self.batches.as_ref()?);
        batches.recv_timeout(patience).ok()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop.ask("dropped");
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

/// A queue to a live consumer, if there is to be one.
fn queue(options: &RecordOptions) -> (Option<SyncSender<Batch>>, Option<Mutex<Receiver<Batch>>>) {
    if !options.live {
        return (None, None);
    }
    let (sender, receiver) = sync_channel(BATCHES_QUEUED);
    (Some(sender), Some(Mutex::new(receiver)))
}

/// Gives up privileges if told so; returns whom the recording's thread is to become.
fn give_up(options: &RecordOptions, writer: Option<&Writer>) -> Result<Option<Owner>> {
    if !options.drop_privileges {
        return Ok(None);
    }
    let user = writer.map(Writer::owner);
    if let Some(user) = user {
        prepare_to_become(user)?;
    }
    give_up_privileges()?;
    Ok(user)
}

/// Refuses lengths alone for clients: they read in arbitrary chunks, so receive lengths do not match responses.
fn require_responses(options: &RecordOptions) -> Result<()> {
    if options.selection.side == Side::Client && options.responses == Responses::Lengths {
        return Err(Error::Selection {
            option: Setting::Side,
            wanted: "client".to_owned(),
            found: "clients read in arbitrary chunks, so lengths say nothing: keep the `bytes` or `none` of responses"
                .to_owned(),
        });
    }
    Ok(())
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
