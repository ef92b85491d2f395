//! A recording on its own thread: started, watched, stopped, and its result.

mod companion;
mod empty;
pub(crate) mod guards;
mod header;
mod journal;
pub(crate) mod options;
pub(crate) mod output;
pub(crate) mod pace;
pub(crate) mod priority;
mod progress;
mod queue;
pub(crate) mod recording;
pub(crate) mod rotation;
mod runs;
mod sink;
pub(crate) mod status;
mod stop;
mod tally;
mod thread;

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use membench_decode::privacy::{KeyHasher, wipe_stack};
use membench_event::{Anchor, Event, OptionsTable};
use membench_profile::{Header, Owner};

use crate::recorder::companion::Companion;
use crate::recorder::guards::Guards;
use crate::recorder::journal::Journal;
use crate::recorder::options::RecordOptions;
use crate::recorder::progress::Progress;
use crate::recorder::queue::{Batches, EVENTS_QUEUED, queue};
use crate::recorder::recording::Recording;
use crate::recorder::rotation::Profiles;
use crate::recorder::runs::Runs;
use crate::recorder::sink::Sink;
use crate::recorder::status::{Shared, Status};
use crate::recorder::stop::{Stop, lock};
use crate::recorder::thread::RecordingThread;
use crate::selection::listeners::{self, Listener};
use crate::selection::memcacheds;
use crate::session::peer::OwnAddresses;
use crate::source::end::Ended;
use crate::source::inquiry::Inquiry;
use crate::source::{self, Description, Setup};
use crate::sys::Locked;
use crate::{
    Error, Followed, Result, Side, SourceSpec, Yielding, become_user, give_up_privileges,
    invoking_user, prepare_to_become,
};

/// Bytes of the caller's stack that are wiped once a recording has started; the caller may have a small stack.
const WIPED_AT_START: usize = 64 << 10;
/// Bytes of the recording thread's own stack, of 2 MiB, that are wiped at its end.
const WIPED_AT_END: usize = 1 << 20;

/// Events for a live consumer, with the options strings they refer to.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The events, in the order of their responses.
    pub events: Vec<Event>,
    /// The options strings. Batches of one recording share them.
    pub options: Arc<OptionsTable>,
    /// The moment by which their times are placed.
    pub anchor: Anchor,
    /// Connections that are new since the last batch: connection and client.
    pub connections: Vec<(u32, u32)>,
}

/// A recording that has been started.
///
/// ```no_run
/// use std::time::Duration;
///
/// use membench_capture::{RecordOptions, Recorder, SourceSpec};
///
/// let options = RecordOptions {
///     output: Some("production.mb".into()),
///     ..RecordOptions::new(SourceSpec::parse("ebpf:any")?)
/// };
/// let recorder = Recorder::start(options)?;
/// while !recorder.wait(Duration::from_secs(1)) {
///     println!("{} events", recorder.status().events);
/// }
/// println!("complete: {:?}", recorder.finish()?.ledger.complete);
/// # Ok::<(), membench_capture::Error>(())
/// ```
pub struct Recorder {
    status: Shared,
    stop: Stop,
    ended: Arc<EndFlag>,
    thread: Mutex<Option<JoinHandle<Result<Recording>>>>,
    batches: Option<Mutex<Batches>>,
    companion: Option<Companion>,
}

/// A flag that is raised once the recording's thread has ended.
#[derive(Default)]
struct EndFlag {
    is_raised: Mutex<bool>,
    changed: Condvar,
}

/// Raises the flag when dropped, however the thread ends.
struct RaiseAtEnd(Arc<EndFlag>);

impl Drop for RaiseAtEnd {
    fn drop(&mut self) {
        *lock(&self.0.is_raised) = true;
        self.0.changed.notify_all();
    }
}

impl Recorder {
    /// Opens the source and the output, gives up privileges if asked to, and records from here on.
    ///
    /// # Errors
    ///
    /// The options contradict each other, this machine does not allow the source, or the output cannot be created.
    pub fn start(options: RecordOptions) -> Result<Self> {
        let started = Self::start_with(options);
        wipe_stack::<WIPED_AT_START>();
        started
    }

    fn start_with(mut options: RecordOptions) -> Result<Self> {
        options.check()?;
        let hasher = key_hasher(&options)?;
        let locked = Locked::new(hasher.secret());
        let key_fingerprint = hasher.fingerprint();
        let is_log = options.source.is_log();
        let mut followed = if is_log {
            Followed::default()
        } else {
            options.selection.find()?
        };
        output::check(&options)?;
        // This comes before the first thread, and after all that fails for wrong arguments: it cannot be undone.
        let yielding = options
            .nice
            .map_or_else(Yielding::default, priority::make_way);
        let own = OwnAddresses::default();
        let (source, description) = source::open(Setup {
            options: &options,
            followed: &followed,
            hasher,
            own: &own,
        })?;
        if is_log {
            followed.ports = description.servers.iter().map(|one| one.port).collect();
        }
        require_server(&options, &followed)?;
        options.selection.ports.clone_from(&followed.ports);
        let limits = options.limits(description.is_live());
        let profiles = create_profiles(&options, || Header {
            key_fingerprint: Some(key_fingerprint),
            ..header::header(&options, &followed, &description, limits, yielding)
        })?;
        let journal = (description.is_live() && !is_log).then(Journal::open);
        if let Some(journal) = &journal {
            journal.attached(&options, description.object());
        }
        let listeners = find_listeners(&description, &followed);
        let is_waiting = description.spec == SourceSpec::Sockets && listeners.is_empty();
        let elsewhere = if is_waiting {
            memcacheds::describe()
        } else {
            None
        };
        source.beat();
        let user = give_up(&options, profiles.as_ref())?;
        let (feed, batches) = options.live.then(|| queue(EVENTS_QUEUED)).unzip();
        let stop = Stop::default();
        let status = Shared::default();
        status.update(|status| {
            *status = Status {
                elsewhere,
                ..first_status(&description, limits, yielding)
            };
        });
        let beside = options
            .observed
            .then(|| Companion::new(description.anchor, own.clone()));
        let (companion, observed) = beside.unzip();
        let thread = RecordingThread {
            observed,
            inquiry: Inquiry::new(own, options.statistics && !is_log),
            sink: Sink::new(
                profiles,
                feed,
                options.sample,
                description.anchor,
                stop.clone(),
            )
            .patient(options.patient && !description.is_live()),
            guards: Guards::new(limits),
            status: status.clone(),
            stop: stop.clone(),
            progress: Progress::start(&description),
            runs: Runs::default(),
            options,
            followed,
            description,
            source,
            _locked: locked,
        };
        let (ended, thread) = spawn(user, move || {
            let recording = thread.run(listeners)?;
            if let Some(journal) = journal {
                journal.detached(&recording);
            }
            Ok(recording)
        })?;
        Ok(Self {
            status,
            stop,
            ended,
            thread: Mutex::new(Some(thread)),
            batches: batches.map(Mutex::new),
            companion,
        })
    }

    /// Returns the latest status.
    pub fn status(&self) -> Status {
        self.status.get()
    }

    /// Asks the recording to end and seal; the first reason counts.
    pub fn stop(&self, reason: &str) {
        self.stop.ask(Ended::Asked(reason.to_owned()));
    }

    /// Returns true if the recording has ended.
    pub fn done(&self) -> bool {
        *lock(&self.ended.is_raised)
    }

    /// Returns true once the recording was asked to end, or its source has ended.
    pub fn is_ending(&self) -> bool {
        self.stop.token.is_cancelled()
    }

    /// Hands on rows of an observer that runs beside the recording, as JSON; see [`membench_profile::Observation::parse`].
    /// Returns false if the recording lags behind, has ended, or was not told of an observer.
    ///
    /// # Errors
    ///
    /// The rows fit no table.
    pub fn observe(&self, rows: &str) -> Result<bool> {
        self.companion
            .as_ref()
            .map_or(Ok(false), |companion| companion.hand_on(rows))
    }

    /// Tells that the observer has handed on its last rows, for which the end of the recording waits a moment.
    pub fn end_observation(&self) {
        if let Some(companion) = &self.companion {
            companion.end();
        }
    }

    /// Keeps a connection of the observer's to a server out of the recording, by its local end.
    pub fn exclude(&self, address: SocketAddr) {
        if let Some(companion) = &self.companion {
            companion.exclude(address);
        }
    }

    /// Waits for the end; true if it came within `patience`.
    pub fn wait(&self, patience: Duration) -> bool {
        let is_raised = lock(&self.ended.is_raised);
        let waited = self
            .ended
            .changed
            .wait_timeout_while(is_raised, patience, |is_raised| !*is_raised);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for the end and returns the result, once.
    ///
    /// # Errors
    ///
    /// The profile could not be sealed, the recording panicked, or its result was already taken.
    pub fn finish(&self) -> Result<Recording> {
        let thread = lock(&self.thread).take().ok_or(Error::RecorderTaken)?;
        thread.join().map_err(|_| Error::RecorderPanicked)?
    }

    /// Returns the next batch for a live consumer, if one comes within `patience`.
    pub fn next_batch(&self, patience: Duration) -> Option<Batch> {
        lock(self.batches.as_ref()?).next(patience)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop("dropped");
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

fn key_hasher(options: &RecordOptions) -> Result<KeyHasher> {
    let hasher = match &options.key_file {
        Some(path) => KeyHasher::from_file(path, invoking_user().map(|user| user.uid))?,
        None => KeyHasher::random()?,
    };
    Ok(hasher.with_names(options.names.clone()))
}

/// Creates the first profile, if one is to be written.
fn create_profiles(
    options: &RecordOptions,
    header: impl FnOnce() -> Header,
) -> Result<Option<Profiles>> {
    let Some(path) = &options.output else {
        return Ok(None);
    };
    let owner = invoking_user();
    let profiles = Profiles::create(path.clone(), header(), options.rotate, owner, options.force);
    profiles.map(Some)
}

/// Fails if there is no server to record at its sockets, unless the recording may wait for one.
fn require_server(options: &RecordOptions, followed: &Followed) -> Result<()> {
    let is_wanted = options.source == SourceSpec::Sockets
        && followed.side == Side::Server
        && !options.wait
        && followed.sees_all_processes();
    if !is_wanted || !listeners::find(followed).is_empty() {
        return Ok(());
    }
    Err(Error::NoServer {
        why: empty::reason(followed, false),
        running: memcacheds::describe(),
    })
}

/// Finds the servers of a live source while this process may still see them. A log names its own.
fn find_listeners(description: &Description, followed: &Followed) -> Vec<Listener> {
    if description.is_live() && !description.spec.is_log() {
        listeners::find(followed)
    } else {
        Vec::new()
    }
}

/// The status of a recording that has just attached.
fn first_status(description: &Description, limits: crate::Limits, yielding: Yielding) -> Status {
    let kernel = description.kernel.as_ref();
    let removal = description.removal.as_ref().map(|line| {
        format!(
            "attached by clsact: if this process and its helper are killed, `{line}` removes it"
        )
    });
    Status {
        kind: description.spec.kind(),
        source: description.spec.to_string(),
        hooks: kernel.map(|facts| facts.hooks),
        fallback: kernel.and_then(|facts| facts.fallback.clone()),
        kernel: kernel.map(|facts| facts.kernel_release.clone()),
        notice: description.instead.clone().or(removal),
        yielding,
        limits,
        ..Status::default()
    }
}

/// Gives up privileges if asked to; returns the user that the recording's thread is to become.
fn give_up(options: &RecordOptions, profiles: Option<&Profiles>) -> Result<Option<Owner>> {
    if !options.drop_privileges {
        return Ok(None);
    }
    let user = profiles.map(Profiles::owner);
    if let Some(user) = user {
        prepare_to_become(user)?;
    }
    give_up_privileges(0)?;
    Ok(user)
}

/// Runs a recording on a thread of its own, as the profiles' owner.
fn spawn(
    user: Option<Owner>,
    run: impl FnOnce() -> Result<Recording> + Send + 'static,
) -> Result<(Arc<EndFlag>, JoinHandle<Result<Recording>>)> {
    let ended = Arc::new(EndFlag::default());
    let raise = RaiseAtEnd(Arc::clone(&ended));
    let thread = std::thread::Builder::new()
        .name("membench-record".into())
        .spawn(move || {
            let _raise = raise;
            if let Some(user) = user {
                become_user(user)?;
            }
            let recording = run();
            wipe_stack::<WIPED_AT_END>();
            recording
        })
        .map_err(|source| Error::NotStarted {
            what: "thread",
            source,
        })?;
    Ok((ended, thread))
}
