//! A plan → threads: a feeder and the shards of one run, followed once a second until the last has ended → totals.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use crate::clock::{SECOND, monotonic, monotonic_of_utc};
use crate::late::Late;
use crate::make::content::Content;
use crate::make::keys::ShortKeys;
use crate::make::request::RequestWriter;
use crate::measure::Interval;
use crate::measure::progress::ProgressMeter;
use crate::measure::totals::{ShardResult, Totals};
use crate::operation::Block;
use crate::plan::Plan;
use crate::plan::feeder::{BLOCKS, Feeder};
use crate::plan::recording::Recording;
use crate::plan::schedule::{Pacing, Schedule};
use crate::shard::connection::Shared;
use crate::shard::pool::Connections;
use crate::shard::processors;
use crate::shard::{Flow, Shard, Wait};
use crate::target::endpoint::Endpoints;
use crate::{Error, Observer, Result, must_come};

/// Time between the last shard being ready and the start of the schedule, ns.
const LEAD: u64 = 5_000_000;

/// Time after which the observer is asked again.
const TURN: Duration = Duration::from_millis(100);

/// Everything that a run needs.
pub(crate) struct Run<'a, 'r> {
    /// Recording to replay.
    pub(crate) recording: &'a Recording<'r>,
    /// Plan made of the recording.
    pub(crate) plan: &'a Plan,
    /// Targets of the connections.
    pub(crate) endpoints: Endpoints,
    /// True if the histograms of each second are wanted.
    pub(crate) logs_histograms: bool,
    /// Rule for intended times.
    pub(crate) pacing: Pacing,
    /// Start of the schedule, ns since 1970; `None` is as soon as all shards are ready.
    pub(crate) start_at: Option<u64>,
    /// Rule for late requests.
    pub(crate) late: Late,
    /// Number of shards, at least 1.
    pub(crate) threads: usize,
    /// Content of keys and values.
    pub(crate) content: &'a Content,
    /// Way to wait for the next intended time.
    pub(crate) wait: Wait,
    /// True if the kernel stamps answers.
    pub(crate) receive_stamps: bool,
}

/// Result of a run.
pub(crate) struct RunResult {
    /// Totals of all shards.
    pub(crate) totals: Totals,
    /// Keys that are those of other ids as well.
    pub(crate) shared_keys: u64,
    /// Monotonic time of the schedule's start, ns.
    pub(crate) start: u64,
    /// True if the observer ended the run.
    pub(crate) stopped: bool,
}

/// One shard's ends of the channels, and its place among the shards.
struct ShardLinks {
    index: usize,
    /// CPU to pin the thread to.
    cpu: Option<usize>,
    blocks: Receiver<Block>,
    ready: Sender<()>,
    start: Receiver<u64>,
    intervals: Sender<(usize, Interval)>,
    stop: Arc<AtomicBool>,
}

/// Channels between the threads of a run.
struct Links {
    /// Channels that take blocks to each shard.
    blocks: Vec<SyncSender<Block>>,
    /// Channels that take the time of the start to each shard.
    starters: Vec<Sender<u64>>,
    /// Ends of each shard.
    shards: Vec<ShardLinks>,
    /// Channel that brings one message from each shard that is ready.
    readied: Receiver<()>,
    /// Channel that brings the intervals of the shards.
    reports: Receiver<(usize, Interval)>,
}

impl Links {
    /// Makes the channels for one shard on each of `cpus`.
    fn new(cpus: &[Option<usize>], stop: &Arc<AtomicBool>) -> Self {
        let (intervals, reports) = channel();
        let (ready, readied) = channel();
        let mut links = Self {
            blocks: Vec::new(),
            starters: Vec::new(),
            shards: Vec::new(),
            readied,
            reports,
        };
        for (index, cpu) in cpus.iter().copied().enumerate() {
            let (sender, blocks) = sync_channel(BLOCKS);
            let (starter, start) = channel();
            links.blocks.push(sender);
            links.starters.push(starter);
            links.shards.push(ShardLinks {
                index,
                cpu,
                blocks,
                ready: ready.clone(),
                start,
                intervals: intervals.clone(),
                stop: Arc::clone(stop),
            });
        }
        links
    }
}

impl Run<'_, '_> {
    /// Runs to the end of the schedule, or until `observer` ends the run.
    pub(crate) fn execute(
        &self,
        keys: ShortKeys,
        observer: &mut dyn Observer,
    ) -> Result<RunResult> {
        let stop = Arc::new(AtomicBool::new(false));
        let cpus = processors::for_shards(self.threads);
        let links = Links::new(&cpus, &stop);
        let feeder = self.feeder(keys, links.blocks);
        thread::scope(|scope| {
            let feeder = scope.spawn(|| {
                processors::avoid(&cpus);
                feeder.run(self.recording)
            });
            let shards: Vec<_> = links
                .shards
                .into_iter()
                .map(|links| scope.spawn(|| self.shard(links)))
                .collect();
            // A shard that fails drops its sender instead of sending, so this does not wait for it.
            links.readied.iter().take(self.threads).for_each(drop);
            let passed = must_come(self.start_at);
            let start = match self.start_at {
                Some(start) if passed.is_ok() => monotonic_of_utc(start),
                _ => monotonic() + LEAD,
            };
            if passed.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            for starter in links.starters {
                // Sending fails if the shard has failed, which joining it reports.
                let _ = starter.send(start);
            }
            let planned = (self.plan.requests, self.plan.length(self.pacing));
            let meter = ProgressMeter::new(planned, start, self.threads, self.logs_histograms);
            let stopped = follow(&links.reports, meter, observer, &stop);
            let totals = join_shards(shards)?;
            let shared_keys = join(feeder)?;
            passed?;
            Ok(RunResult {
                totals,
                shared_keys,
                start,
                stopped,
            })
        })
    }

    /// Makes the feeder of the shards that receive `blocks`.
    fn feeder(&self, keys: ShortKeys, blocks: Vec<SyncSender<Block>>) -> Feeder<'_> {
        Feeder::new(
            self.plan,
            self.content,
            keys,
            Schedule::new(self.pacing),
            blocks,
        )
    }

    /// Runs one shard in the calling thread.
    fn shard(&self, links: ShardLinks) -> io::Result<ShardResult> {
        if let Some(cpu) = links.cpu {
            processors::pin(cpu);
        }
        let connections = Connections::new(
            self.endpoints.clone(),
            self.receive_stamps,
            Arc::clone(&self.plan.fill_forms),
            Shared::new(
                RequestWriter::new(Arc::clone(&self.plan.templates), self.content),
                self.late,
            ),
        );
        let reports = (links.index, links.intervals);
        let flow = Flow::of(self.pacing);
        let mut shard = Shard::new(
            connections,
            links.blocks,
            (flow, self.late, self.wait),
            reports,
            links.stop,
        )?;
        shard.prepare()?;
        let _ = links.ready.send(());
        drop(links.ready);
        links.start.recv().map_or_else(
            |_| Err(io::ErrorKind::Interrupted.into()),
            |start| shard.run(start),
        )
    }
}

/// Tells `observer` the progress until all shards have ended, and then what is left of the last second. Sets `stop` and
/// returns true if it ends the run.
fn follow(
    reports: &Receiver<(usize, Interval)>,
    mut meter: ProgressMeter,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> bool {
    let mut stopped = false;
    let mut next = meter.start() + SECOND;
    loop {
        let left = Duration::from_nanos(next.saturating_sub(monotonic()));
        match reports.recv_timeout(left.min(TURN)) {
            Ok((shard, interval)) => meter.add(shard, &interval),
            Err(RecvTimeoutError::Timeout) => {
                let mut goes_on = observer.goes_on();
                if monotonic() >= next {
                    next += SECOND;
                    let told = observer.interval(&meter.take());
                    goes_on &= stopped || told;
                }
                if !stopped && !goes_on {
                    stopped = true;
                    stop.store(true, Ordering::Relaxed);
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                observer.interval(&meter.take());
                return stopped;
            }
        }
    }
}

/// Waits for all shards and adds up their results.
fn join_shards(shards: Vec<ScopedJoinHandle<'_, io::Result<ShardResult>>>) -> Result<Totals> {
    let mut totals = Totals::default();
    for shard in shards {
        let result = join(shard).map_err(|source| Error::System {
            call: "sending thread",
            source,
        })?;
        totals.add(&result);
    }
    Ok(totals)
}

/// Waits for a thread and returns its result; propagates its panic.
fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
