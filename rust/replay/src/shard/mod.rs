//! Blocks of operations → requests sent at their intended times; one thread, one epoll, nothing shared.

pub mod connection;
pub mod connections;
mod outstanding;
pub mod poller;
pub mod processors;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use crate::clock::{SECOND, monotonic, thread_cpu};
use crate::measure::{Interval, Measures};
use crate::operation::{Block, Kind, Marks, Operation};
use crate::shard::connections::{Connections, cause};
use crate::shard::poller::Poller;

/// Longest single wait, ns: how soon a stop is noticed.
const WAIT_MAX: u64 = 50_000_000;

/// Batches sent before looking for answers again, when behind.
const BURST: usize = 32;

/// How long answers are waited for after the last request, ns.
const DRAIN: u64 = 10 * SECOND;

/// How long answers to quiet requests, which may never come, are waited for after everything else, ns.
const QUIET_DRAIN: u64 = SECOND / 5;

/// Beyond this many requests outstanding, or bytes unwritten, nothing is sent until the target catches up: memory is
/// bounded, and the wait shows as lag.
const OUTSTANDING_MAX: usize = 1 << 20;
const UNWRITTEN_MAX: usize = 256 << 20;

/// Wait when the feeder is behind or the target is, ns.
const PAUSE: u64 = 200_000;

/// What a shard has found when it ends.
#[derive(Debug)]
pub struct Outcome {
    /// What it measured.
    pub measures: Measures,
    /// Cas values that could not match.
    pub unknown_cas: u64,
    /// CPU time of its thread between the first and the last moment of the run, ns.
    pub cpu: u64,
    /// How long it stopped sleeping before an intended time, ns.
    pub guard: u64,
    /// When its last answer (or request) passed, monotonic ns.
    pub ended: u64,
}

/// One thread's share of a replay.
pub struct Shard {
    poller: Poller,
    connections: Connections,
    blocks: Receiver<Block>,
    block: Block,
    next: usize,
    finished: bool,
    /// At most this many requests outstanding on a connection: for closed loops.
    window: Option<usize>,
    guard: u64,
    intervals: (usize, Sender<(usize, Interval)>),
    stop: Arc<AtomicBool>,
}

impl Shard {
    /// A shard for the calling thread; it reports under its number once a second.
    pub fn new(
        connections: Connections,
        blocks: Receiver<Block>,
        window: Option<usize>,
        intervals: (usize, Sender<(usize, Interval)>),
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            connections,
            blocks,
            block: Block::new(),
            next: 0,
            finished: false,
            window,
            guard: 0,
            intervals,
            stop,
        })
    }

    /// Gets ready: learns how late this machine wakes, waits for the first block, opens what was open at the start.
    pub fn prepare(&mut self) -> io::Result<()> {
        self.guard = self.poller.calibrate()?;
        match self.blocks.recv() {
            Ok(block) => self.block = block,
            Err(_) => self.finished = true,
        }
        while let Some(first) = self.block.get(self.next)
            && (first.kind, first.intended) == (Kind::Open, 0)
        {
            self.connections.open(&self.poller, first.connection)?;
            self.next += 1;
        }
        Ok(())
    }

    /// Runs the schedule from `start` (monotonic ns) to its end.
    pub fn run(mut self, start: u64) -> io::Result<Outcome> {
        self.connections.shared.start = start;
        let cpu = thread_cpu();
        let mut report_at = start + SECOND;
        let mut drain = Drain::default();
        loop {
            let due = self.dispatch(start);
            let now = monotonic();
            if now >= report_at {
                report_at += SECOND;
                self.report();
            }
            if self.stop.load(Ordering::Relaxed) {
                self.stop();
                break;
            }
            if due.is_none() && drain.is_over(&self.connections, now) {
                break;
            }
            self.turn(due, now)?;
        }
        self.report();
        self.connections.abandon(cause::TIMEOUT);
        Ok(Outcome {
            cpu: thread_cpu() - cpu,
            guard: self.guard,
            ended: monotonic(),
            unknown_cas: self.connections.shared.requests.unknown_cas,
            measures: self.connections.shared.measures,
        })
    }

    /// Sends what is due; returns when the next operation is, or none at the end.
    fn dispatch(&mut self, start: u64) -> Option<u64> {
        for _ in 0..BURST {
            let Some(batch) = self.batch() else {
                return (!self.finished).then(|| monotonic() + PAUSE);
            };
            let first = self.block[batch.start];
            let due = start + first.intended;
            let now = monotonic();
            if due > now {
                return Some(due);
            }
            if self.must_hold(&first, batch.len()) {
                return Some(now + PAUSE);
            }
            self.next = batch.end;
            match first.kind {
                // A failure to open shows when the first request is sent.
                Kind::Open => drop(self.connections.open(&self.poller, first.connection)),
                Kind::Close => self.connections.close(first.connection),
                Kind::Request => self.connections.send(&self.poller, &self.block[batch]),
            }
        }
        Some(monotonic())
    }

    /// The next batch's place in the block; fetches a block when this one is used up.
    fn batch(&mut self) -> Option<std::ops::Range<usize>> {
        if self.next >= self.block.len() && !self.fetch() {
            return None;
        }
        let rest = &self.block[self.next..];
        let continued = rest
            .iter()
            .take_while(|operation| operation.marks.has(Marks::BATCH_CONTINUES));
        let end = (self.next + continued.count() + 1).min(self.block.len());
        Some(self.next..end)
    }

    fn fetch(&mut self) -> bool {
        match self.blocks.try_recv() {
            Ok(block) => {
                self.block = block;
                self.next = 0;
                !self.block.is_empty()
            }
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => {
                self.finished = true;
                false
            }
        }
    }

    fn must_hold(&mut self, first: &Operation, length: usize) -> bool {
        if self.connections.outstanding > OUTSTANDING_MAX
            || self.connections.unwritten > UNWRITTEN_MAX
        {
            return true;
        }
        let Some(window) = self.window else {
            return false;
        };
        let outstanding = self.connections.outstanding_on(first.connection);
        outstanding > 0 && outstanding + length > window
    }

    /// Waits for answers until shortly before `due`, or not at all if that is now.
    fn turn(&mut self, due: Option<u64>, now: u64) -> io::Result<()> {
        let left = due.map_or(PAUSE, |due| due.saturating_sub(now));
        let timeout = left.saturating_sub(self.guard).min(WAIT_MAX);
        let timeout = if due.is_none() { PAUSE } else { timeout };
        for ready in self.poller.wait(timeout)? {
            self.connections.ready(&ready);
        }
        Ok(())
    }

    fn report(&mut self) {
        let interval = self.connections.shared.measures.take_interval();
        // Nobody listening any more is no reason to stop.
        let (shard, intervals) = &self.intervals;
        let _ = intervals.send((*shard, interval));
    }

    /// Counts what will not be sent.
    fn stop(&mut self) {
        while let Some(batch) = self.batch() {
            self.next = batch.end;
            if self.block[batch.start].kind == Kind::Request {
                self.connections.refuse(&self.block[batch], cause::STOPPED);
            }
        }
        self.connections.abandon(cause::STOPPED);
    }
}

/// The end of a run: answers still due, then those that may come.
#[derive(Debug, Default)]
struct Drain {
    since: Option<u64>,
    quiet_since: Option<u64>,
}

impl Drain {
    fn is_over(&mut self, connections: &Connections, now: u64) -> bool {
        let since = *self.since.get_or_insert(now);
        if connections.due > 0 || connections.unwritten > 0 {
            return now > since + DRAIN;
        }
        if connections.outstanding == 0 {
            return true;
        }
        now > *self.quiet_since.get_or_insert(now) + QUIET_DRAIN
    }
}
