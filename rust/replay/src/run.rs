//! Shards, feeder and progress of one run, from the first thread to the last.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use crate::{Error, Result};

use crate::clock::{SECOND, WallClock, monotonic};
use crate::make::keys::ShortKeys;
use crate::make::request::Requests;
use crate::measure::progress::{Progress, Watch};
use crate::measure::report::Totals;
use crate::measure::{Interval, Measures};
use crate::operation::Block;
use crate::plan::Plan;
use crate::plan::feeder::{BLOCKS, Feeder};
use crate::plan::recording::Recording;
use crate::plan::schedule::{Pacing, Schedule};
use crate::plan::template::Templates;
use crate::shard::connection::Shared;
use crate::shard::connections::Connections;
use crate::shard::processors;
use crate::shard::{Outcome, Shard};

/// Bytes taken from a socket at a time.
const INCOMING: usize = 64 * 1024;

/// From everything being ready to the first intended time, ns.
const LEAD: u64 = 5_000_000;

/// Everything a run needs.
pub(super) struct Run<'a, 'r> {
    pub(super) recording: &'a Recording<'r>,
    pub(super) plan: &'a Plan,
    pub(super) templates: &'a Arc<Templates>,
    pub(super) target: SocketAddr,
    pub(super) pacing: Pacing,
    pub(super) threads: usize,
    pub(super) seed: u64,
    pub(super) receive_stamps: bool,
    pub(super) allow_admin: bool,
}

/// How a run went.
pub(super) struct Ran {
    pub(super) totals: Totals,
    pub(super) start: u64,
    pub(super) stopped: bool,
}

/// What a shard's thread is given.
struct Place {
    index: usize,
    cpu: Option<usize>,
    blocks: Receiver<Block>,
    ready: Sender<()>,
    start: Receiver<u64>,
    intervals: Sender<(usize, Interval)>,
    stop: Arc<AtomicBool>,
}

/// What joins the threads of a run.
struct Links {
    /// Blocks to each shard.
    blocks: Vec<SyncSender<Block>>,
    /// The start to each shard.
    starters: Vec<Sender<u64>>,
    /// What each shard's thread is given.
    places: Vec<Place>,
    /// Shards that are ready.
    readied: Receiver<()>,
    /// What shards report each second.
    reports: Receiver<(usize, Interval)>,
}

impl Links {
    fn new(cpus: &[Option<usize>], stop: &Arc<AtomicBool>) -> Self {
        let (intervals, reports) = channel();
        let (ready, readied) = channel();
        let mut links = Self {
            blocks: Vec::new(),
            starters: Vec::new(),
            places: Vec::new(),
            readied,
            reports,
        };
        for (index, cpu) in cpus.iter().copied().enumerate() {
            let (sender, blocks) = sync_channel(BLOCKS);
            let (starter, start) = channel();
            links.blocks.push(sender);
            links.starters.push(starter);
            links.places.push(Place {
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
    /// Runs it to the end, or until `on_interval` says no.
    pub(super) fn execute(
        &self,
        keys: ShortKeys,
        on_interval: &mut dyn FnMut(&Progress) -> bool,
    ) -> Result<Ran> {
        let stop = Arc::new(AtomicBool::new(false));
        let cpus = processors::for_shards(self.threads);
        let links = Links::new(&cpus, &stop);
        let events = (self.recording.events)()?;
        let feeder = self.feeder(keys, links.blocks);
        thread::scope(|scope| {
            let feeder = scope.spawn(|| {
                processors::stay_off(&cpus);
                feeder.run(events)
            });
            let shards: Vec<_> = links
                .places
                .into_iter()
                .map(|place| scope.spawn(|| self.shard(place)))
                .collect();
            // Each shard is ready, or has failed and dropped its end.
            links.readied.iter().take(self.threads).for_each(drop);
            let start = monotonic() + LEAD;
            for starter in links.starters {
                // A shard that failed says so when joined.
                let _ = starter.send(start);
            }
            let watch = Watch::new(self.plan.requests, start, self.threads);
            let stopped = follow(&links.reports, watch, on_interval, &stop);
            let totals = join_shards(shards)?;
            join(feeder)?;
            Ok(Ran {
                totals,
                start,
                stopped,
            })
        })
    }

    fn feeder(&self, keys: ShortKeys, blocks: Vec<SyncSender<Block>>) -> Feeder<'_> {
        let changes = self
            .recording
            .changes(|connection| self.plan.connections.contains(&connection));
        Feeder::new(
            self.plan,
            self.templates,
            self.allow_admin,
            keys,
            Schedule::new(self.pacing),
            changes,
            blocks,
        )
    }

    fn shard(&self, place: Place) -> io::Result<Outcome> {
        if let Some(cpu) = place.cpu {
            processors::stay_on(cpu);
        }
        let lent = Shared {
            requests: Requests::new(Arc::clone(self.templates), self.seed),
            measures: Measures::new(),
            wall_clock: WallClock::new(),
            incoming: vec![0; INCOMING],
            start: 0,
        };
        let connections = Connections::new(self.target, self.receive_stamps, lent);
        let reports = (place.index, place.intervals);
        let mut shard = Shard::new(connections, place.blocks, None, reports, place.stop)?;
        shard.prepare()?;
        let _ = place.ready.send(());
        drop(place.ready);
        place.start.recv().map_or_else(
            |_| Err(io::ErrorKind::Interrupted.into()),
            |start| shard.run(start),
        )
    }
}

/// Reports progress once a second until all shards have ended; true if it was asked to stop.
fn follow(
    reports: &Receiver<(usize, Interval)>,
    mut watch: Watch,
    on_interval: &mut dyn FnMut(&Progress) -> bool,
    stop: &AtomicBool,
) -> bool {
    let mut stopped = false;
    let mut next = watch.start() + SECOND;
    loop {
        let left = Duration::from_nanos(next.saturating_sub(monotonic()));
        match reports.recv_timeout(left) {
            Ok((shard, interval)) => watch.add(shard, &interval),
            Err(RecvTimeoutError::Timeout) => {
                next += SECOND;
                if !stopped && !on_interval(&watch.take()) {
                    stopped = true;
                    stop.store(true, Ordering::Relaxed);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return stopped,
        }
    }
}

fn join_shards(shards: Vec<ScopedJoinHandle<'_, io::Result<Outcome>>>) -> Result<Totals> {
    let mut totals = Totals::default();
    for shard in shards {
        let outcome = join(shard).map_err(|source| Error::System {
            call: "sending thread",
            source,
        })?;
        totals.add(&outcome);
    }
    Ok(totals)
}

/// A thread's result; its panic becomes ours.
fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
