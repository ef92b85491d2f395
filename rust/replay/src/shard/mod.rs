//! Blocks of operations → requests sent at their intended times. A shard is one thread with one epoll instance and
//! shares nothing with others.

pub(crate) mod candidate;
pub(crate) mod connection;
pub(crate) mod outstanding;
pub(crate) mod poller;
pub(crate) mod pool;
pub(crate) mod processors;
pub(crate) mod queue;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::thread;
use std::time::Duration;

use crate::clock::{SECOND, monotonic, thread_cpu};
use crate::measure::Interval;
use crate::measure::cause;
use crate::measure::totals::ShardResult;
use crate::operation::{Block, Kind, Marks, Operation};
use crate::shard::poller::Poller;
use crate::shard::pool::Connections;

/// Longest single wait, ns; a stop is noticed within this time.
const WAIT_MAX: u64 = 50_000_000;

/// Most batches sent in a row before answers are read, if several are due.
const BURST: usize = 32;

/// Longest wait for answers after the last request, ns.
const DRAIN: u64 = 10 * SECOND;

/// Wait for answers under way once the run is stopped, ns.
const STOPPED_DRAIN: u64 = SECOND / 5;

/// Wait for answers to quiet requests after all others have theirs, ns; they may never come.
const QUIET_DRAIN: u64 = SECOND / 5;

/// Most requests outstanding on all connections. Beyond it nothing is sent until the target catches up, which bounds
/// memory; the wait shows as lag.
const OUTSTANDING_MAX: usize = 1 << 20;

/// Most bytes that may wait for room in the sockets. Beyond it nothing is sent until the target catches up, which
/// bounds memory; the wait shows as lag.
const UNWRITTEN_MAX: usize = 256 << 20;

/// Longest wait for room in the backlog of a UNIX-domain socket, ns.
const BACKLOG_PATIENCE: u64 = 5 * SECOND;

/// Wait before looking again if the feeder or the target has fallen behind, ns.
const PAUSE: u64 = 200_000;

/// One thread's share of a replay.
pub(crate) struct Shard {
    poller: Poller,
    connections: Connections,
    blocks: Receiver<Block>,
    /// Block being sent.
    block: Block,
    /// Index of the next operation in `block`.
    next: usize,
    /// True once the last block was taken, or no other is to be.
    finished: bool,
    /// Target's progress when sending was last held back, and the monotonic time of the first hold without any since,
    /// ns.
    held: Option<(u64, u64)>,
    /// Most requests outstanding on a connection, in a closed loop; `None` in an open one.
    window: Option<usize>,
    /// Time before an intended time at which this thread stops sleeping, ns.
    guard: u64,
    /// Number of this shard, and the channel it reports to.
    intervals: (usize, Sender<(usize, Interval)>),
    stop: Arc<AtomicBool>,
}

impl Shard {
    /// Makes a shard for the calling thread. It reports an interval once a second, under the number in `intervals`.
    pub(crate) fn new(
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
            held: None,
            window,
            guard: 0,
            intervals,
            stop,
        })
    }

    /// Prepares for the run: calibrates the guard, waits for the first block, and opens the connections that were open
    /// at the start.
    pub(crate) fn prepare(&mut self) -> io::Result<()> {
        self.guard = self.poller.calibrate()?;
        match self.blocks.recv() {
            Ok(block) => self.block = block,
            Err(_) => self.finished = true,
        }
        while let Some(first) = self.block.get(self.next)
            && (first.kind, first.intended) == (Kind::Open, 0)
        {
            self.open_first(first.connection)?;
            self.next += 1;
        }
        Ok(())
    }

    /// Opens a connection before the start. A full backlog of a UNIX-domain socket, which refuses where TCP would queue,
    /// empties as the server accepts.
    fn open_first(&mut self, connection: u32) -> io::Result<()> {
        let deadline = monotonic() + BACKLOG_PATIENCE;
        loop {
            match self.connections.open(&self.poller, connection) {
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && monotonic() < deadline =>
                {
                    thread::sleep(Duration::from_millis(1));
                }
                other => return other,
            }
        }
    }

    /// Runs the schedule, which starts at `start` (monotonic ns), to its end or until stopped.
    pub(crate) fn run(mut self, start: u64) -> io::Result<ShardResult> {
        self.connections.shared.start = start;
        let cpu = thread_cpu();
        let mut report_at = start + SECOND;
        let mut drain = Drain::default();
        let mut cause = cause::TIMEOUT;
        loop {
            let due = self.dispatch(start);
            let now = monotonic();
            if now >= report_at {
                report_at += SECOND;
                self.report();
            }
            if cause != cause::STOPPED && self.stop.load(Ordering::Relaxed) {
                cause = cause::STOPPED;
                drain = Drain::at_most(STOPPED_DRAIN);
                self.refuse_due(now.saturating_sub(start));
                self.finished = true;
                self.held = None;
                continue;
            }
            if self.has_stalled(now) {
                self.refuse_rest(cause);
                break;
            }
            if due.is_none() && drain.is_over(&self.connections, now) {
                break;
            }
            self.wait(due, now)?;
        }
        self.connections.abandon(cause);
        self.report();
        Ok(ShardResult {
            cpu: thread_cpu() - cpu,
            guard: self.guard,
            ended: monotonic(),
            unknown_cas: self.connections.shared.requests.unknown_cas,
            measures: self.connections.shared.measures,
        })
    }

    /// Sends batches that are due. Returns the monotonic time to look again, ns; `None` at the end of the schedule.
    fn dispatch(&mut self, start: u64) -> Option<u64> {
        for _ in 0..BURST {
            let Some(batch) = self.batch() else {
                return (!self.finished).then(|| monotonic() + PAUSE);
            };
            let first = self.block[batch.start];
            let due = start.saturating_add(first.intended);
            let now = monotonic();
            if due > now {
                return Some(due);
            }
            if self.must_hold(&first, batch.len()) {
                self.hold(now);
                return Some(now + PAUSE);
            }
            self.held = None;
            self.next = batch.end;
            match first.kind {
                // A failure is counted when the first request is sent, which tries again.
                Kind::Open => drop(self.connections.open(&self.poller, first.connection)),
                Kind::Close => self.connections.close(first.connection),
                Kind::Request => self.connections.send(&self.poller, &self.block[batch]),
            }
        }
        Some(monotonic())
    }

    /// Returns the place of the next batch in the block, after fetching a new block if this one is used up; `None` if
    /// there is no block.
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

    /// Takes the next block; false if none is ready, or none is left.
    fn fetch(&mut self) -> bool {
        if self.finished {
            return false;
        }
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

    /// True if a batch of `length` operations must wait for the target to catch up.
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

    /// Waits for answers until the guard before `due`, and handles them. Does not wait if that time has come.
    fn wait(&mut self, due: Option<u64>, now: u64) -> io::Result<()> {
        let left = due.map_or(PAUSE, |due| due.saturating_sub(now));
        let timeout = left.saturating_sub(self.guard).min(WAIT_MAX);
        let timeout = if due.is_none() { PAUSE } else { timeout };
        let timeout = if self.connections.has_unread() {
            0
        } else {
            timeout
        };
        self.connections.read_on();
        for ready in self.poller.wait(timeout)? {
            self.connections.ready(&ready);
        }
        Ok(())
    }

    /// Reports the interval that ends now.
    fn report(&mut self) {
        let interval = self.connections.shared.measures.take_interval();
        // Sending fails if nobody follows the run any more, which is no reason to stop it.
        let (shard, intervals) = &self.intervals;
        let _ = intervals.send((*shard, interval));
    }

    /// Notes that sending is held back at `now`, and since when the target has neither read nor answered anything.
    fn hold(&mut self, now: u64) {
        let counts = &self.connections.shared.measures.counts;
        let progress = counts.bytes_written + counts.bytes_read;
        match self.held {
            Some((before, _)) if before == progress => {}
            _ => self.held = Some((progress, now)),
        }
    }

    /// True if sending has been held back for too long by a target that reads and answers nothing.
    fn has_stalled(&self, now: u64) -> bool {
        self.held.is_some_and(|(_, since)| now > since + DRAIN)
    }

    /// Drops the rest of the block. Counts what was due `elapsed` ns after the start as unsent because of a stop.
    fn refuse_due(&mut self, elapsed: u64) {
        let rest = self.block.split_off(self.next.min(self.block.len()));
        self.block = rest;
        self.next = 0;
        let due = self
            .block
            .iter()
            .take_while(|operation| operation.intended <= elapsed);
        let due = due.count();
        self.block.truncate(due);
        self.refuse_block(cause::STOPPED);
    }

    /// Counts the rest of the block as unsent, for this cause.
    fn refuse_block(&mut self, cause: &'static str) {
        let rest = self.block.get(self.next..).unwrap_or_default();
        for batch in rest.chunk_by(|operation, _| operation.marks.has(Marks::BATCH_CONTINUES)) {
            if batch
                .first()
                .is_some_and(|first| first.kind == Kind::Request)
            {
                self.connections.refuse(batch, cause);
            }
        }
        self.next = self.block.len();
    }

    /// Counts the rest of the schedule as unsent, for this cause.
    fn refuse_rest(&mut self, cause: &'static str) {
        self.refuse_block(cause);
        while !self.finished
            && let Ok(block) = self.blocks.recv()
        {
            (self.block, self.next) = (block, 0);
            self.refuse_block(cause);
        }
    }
}

/// Wait for the last answers: first those that are due, then those that may come.
#[derive(Debug)]
struct Drain {
    /// Longest wait for answers that are due, ns.
    patience: u64,
    /// Monotonic time at which the last request had been sent, ns.
    since: Option<u64>,
    /// Monotonic time from which no answer was due any more, ns.
    quiet_since: Option<u64>,
}

impl Default for Drain {
    fn default() -> Self {
        Self::at_most(DRAIN)
    }
}

impl Drain {
    /// Makes a wait of at most `patience` ns for answers that are due.
    fn at_most(patience: u64) -> Self {
        Self {
            patience,
            since: None,
            quiet_since: None,
        }
    }

    /// True if nothing is outstanding, or the wait has lasted long enough.
    fn is_over(&mut self, connections: &Connections, now: u64) -> bool {
        let since = *self.since.get_or_insert(now);
        if connections.due > 0 || connections.unwritten > 0 {
            return now > since + self.patience;
        }
        if connections.outstanding == 0 {
            return true;
        }
        now > *self.quiet_since.get_or_insert(now) + QUIET_DRAIN
    }
}
