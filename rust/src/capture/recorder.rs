//! A recording on its own thread: started, watched, stopped, and what it came to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::decode::{Decoder, Responses};
use crate::event::{Event, OptionsTable};
use crate::privacy::KeyHasher;
use crate::profile::{Anchor, Filters, Header, Writer};
use crate::{Error, Result};

use super::ledger::Ledger;
use super::running::Running;
use super::sockets::OwnAddresses;
use super::status::{Shared, Status};
use super::{
    Kernel, KernelOptions, Tier, become_user, clock, give_up_privileges, invoking_user, listeners,
    prepare_to_become,
};

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
    /// The profile to write, if any.
    pub output: Option<PathBuf>,
    /// Whether an existing profile is replaced.
    pub force: bool,
    /// Listening ports.
    pub ports: Vec<u16>,
    /// What is kept of responses.
    pub responses: Responses,
    /// Size of the ring, bytes.
    pub ring_bytes: u32,
    /// Which hooks; otherwise the first that this kernel has and takes.
    pub tier: Option<Tier>,
    /// When to end by itself.
    pub duration: Option<Duration>,
    /// A key shared with other captures; otherwise a random one.
    pub key_file: Option<PathBuf>,
    /// Whether servers are asked for their counters.
    pub statistics: bool,
    /// Whether this process gives up every privilege once attached; it cannot be taken back.
    pub drop_privileges: bool,
    /// Whether events are also handed to a live consumer.
    pub live: bool,
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
}

/// One of a server's own counters over the recording, beside what was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The server's port.
    pub port: u16,
    /// The counter's name in `stats`.
    pub counter: &'static str,
    /// By how much the server says it grew.
    pub server: u64,
    /// What was recorded between the server's two answers.
    pub recorded: u64,
}

/// What recording cost this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// CPU time of this process since it attached, s.
    pub cpu_s: f64,
    /// The same an event, ns.
    pub ns_per_event: Option<f64>,
    /// Size of the profile, bytes.
    pub bytes_written: u64,
    /// The same an event.
    pub bytes_per_event: Option<f64>,
}

/// A recording that has ended.
#[derive(Clone, Debug, Serialize)]
pub struct Recording {
    /// The profile, if one was written.
    pub profile: Option<PathBuf>,
    /// From attaching to detaching, s.
    pub duration_s: f64,
    /// Events.
    pub events: u64,
    /// Requests: a multi-get is one.
    pub requests: u64,
    /// Connections.
    pub connections: u64,
    /// Of them, open before the recording.
    pub open_at_start: u64,
    /// Events by command.
    pub commands: BTreeMap<&'static str, u64>,
    /// Events by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Where every byte went.
    pub ledger: Ledger,
    /// The servers' own counters beside what was recorded.
    pub differences: Vec<Difference>,
    /// What it cost.
    pub cost: Cost,
    /// What ended it.
    pub stopped_by: String,
    /// What could not be written, if anything.
    pub write_error: Option<String>,
}

/// Why a recording is to end: the first reason counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    pub(super) token: CancellationToken,
    reason: Arc<Mutex<Option<String>>>,
}

impl Stop {
    pub(super) fn ask(&self, reason: &str) {
        lock(&self.reason).get_or_insert_with(|| reason.to_owned());
        self.token.cancel();
    }

    pub(super) fn reason(&self) -> String {
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
        let anchor = clock::anchor();
        let kernel = Kernel::attach(&KernelOptions {
            ports: options.ports.clone(),
            responses: options.responses,
            ring_bytes: options.ring_bytes,
            tier: options.tier,
        })?;
        let writer = match &options.output {
            Some(path) => Some(Writer::create_for(
                invoking_user(),
                path,
                header(&options, &kernel, &hasher, anchor),
                options.force,
            )?),
            None => None,
        };
        let listeners = listeners::find(&options.ports);
        let user = writer.as_ref().map(Writer::owner);
        let user = user.filter(|_| options.drop_privileges);
        if let Some(user) = user {
            prepare_to_become(user)?;
        }
        if options.drop_privileges {
            give_up_privileges()?;
        }
        let utc_offset = i128::from(anchor.utc_ns) - i128::from(anchor.monotonic_ns);
        let decoder = Decoder::new(hasher, options.responses, utc_offset);
        let (consumer, batches) = if options.live {
            let (sender, receiver) = sync_channel(BATCHES_QUEUED);
            (Some(sender), Some(Mutex::new(receiver)))
        } else {
            (None, None)
        };
        let (status, stop) = (Shared::default(), Stop::default());
        let running = Running::new(options, kernel, decoder, OwnAddresses::default(), anchor)
            .writing(writer)
            .feeding(consumer)
            .telling(status.clone(), stop.clone());
        let ended = Arc::new(Ended::default());
        let tell = TellEnded(Arc::clone(&ended));
        let thread = thread::Builder::new()
            .name("membench-record".into())
            .spawn(move || {
                let _tell = tell;
                if let Some(user) = user {
                    become_user(user)?;
                }
                running.run(listeners)
            })
            .map_err(|source| Error::Io {
                path: "a thread".into(),
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

fn header(options: &RecordOptions, kernel: &Kernel, hasher: &KeyHasher, anchor: Anchor) -> Header {
    let facts = kernel.facts();
    Header {
        source: options.source.clone(),
        tier: Some(facts.tier.to_owned()),
        kernel: Some(facts.kernel_release.clone()),
        filters: Filters {
            ports: options.ports.clone(),
            ..Filters::default()
        },
        responses: Some(options.responses.name().to_owned()),
        key_fingerprint: Some(hasher.fingerprint()),
        anchor,
        facts: serde_json::json!({
            "object_sha256": facts.object_sha256,
            "ring_bytes": facts.ring_bytes,
            "tier_fallback": facts.fallback,
        }),
        ..Header::default()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
