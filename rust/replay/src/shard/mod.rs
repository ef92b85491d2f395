//! Blocks of operations → requests sent at their intended times. A shard is one thread with one epoll instance and
//! shares nothing with others.

pub(crate) mod candidate;
pub(crate) mod connection;
pub(crate) mod link;
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
use crate::late::Late;
use crate::measure::Interval;
use crate::measure::cause;
use crate::measure::totals::ShardResult;
use crate::operation::{Block, Kind, Marks, Operation};
use crate::plan::schedule::{Pacing, WINDOW};
use crate::shard::poller::Poller;
use crate::shard::pool::{Connections, Idleness};

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

/// Longest wait for connections to shake hands and sign in before the start, ns.
const OPENING_PATIENCE: u64 = 10 * SECOND;

/// Wait before looking again if the feeder or the target has fallen behind, ns.
const PAUSE: u64 = 200_000;

/// Longest turn that counts as watching the clock, ns: in a longer one the thread lost its CPU, or worked.
const TURN_MAX: u64 = 10_000;

/// Rule for the time at which a shard sends the next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// At its intended time.
    Open,
    /// Once all answers on its connection have come, and the time that `intended` holds has passed since.
    Closed,
    /// As soon as no more requests than this would be outstanding on its connection.
    Window(usize),
}

impl Flow {
    /// Returns the rule of a pacing.
    pub(crate) fn of(pacing: Pacing) -> Self {
        match pacing {
            Pacing::Closed | Pacing::ClosedWithoutThinking => Self::Closed,
            Pacing::Max => Self::Window(WINDOW),
            _ => Self::Open,
        }
    }
}

/// Way in which a thread waits for the next intended time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Sleep until then: the wake-up comes late, and costs nothing.
    Sleep,
    /// Sleep until shortly before, as the machine's wake-ups need it, and then watch the clock.
    #[default]
    Hybrid,
    /// Watch the clock: each thread uses a whole CPU.
    Spin,
}

impl Wait {
    /// Returns its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Hybrid => "hybrid",
            Self::Spin => "spin",
        }
    }

    /// Parses `sleep`, `hybrid` or `spin`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "sleep" => Some(Self::Sleep),
            "hybrid" => Some(Self::Hybrid),
            "spin" => Some(Self::Spin),
            _ => None,
        }
    }
}

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
    flow: Flow,
    late: Late,
    wait: Wait,
    /// Time spent watching the clock, ns.
    spun: u64,
    /// Monotonic time at which the last batch was sent, ns.
    sent_at: u64,
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
        (flow, late, wait): (Flow, Late, Wait),
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
            flow,
            late,
            wait,
            spun: 0,
            sent_at: 0,
            guard: 0,
            intervals,
            stop,
        })
    }

    /// Prepares for the run: calibrates the guard, waits for the first block, and opens the connections that were open
    /// at the start.
    pub(crate) fn prepare(&mut self) -> io::Result<()> {
        self.guard = match self.wait {
            Wait::Sleep => 0,
            Wait::Hybrid => self.poller.calibrate()?,
            Wait::Spin => u64::MAX,
        };
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
        self.await_opened()
    }

    /// Waits until the connections have shaken hands and signed in, so that no request has to.
    fn await_opened(&mut self) -> io::Result<()> {
        let deadline = monotonic() + OPENING_PATIENCE;
        while self.connections.are_opening()
            && monotonic() < deadline
            && !self.stop.load(Ordering::Relaxed)
        {
            for ready in self.poller.wait(WAIT_MAX)? {
                self.connections.ready(&ready);
            }
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
        let (cpu, switches) = (thread_cpu(), processors::preemptions());
        let mut report_at = start + SECOND;
        let mut drain = Drain::default();
        let mut cause = cause::TIMEOUT;
        loop {
            let due = self.dispatch(start);
            let fill = self.connections.send_fills(&self.poller);
            let due = due.into_iter().chain(fill).min();
            let now = monotonic();
            if now >= report_at {
                report_at += SECOND;
                self.report();
            }
            if cause != cause::STOPPED && self.stop.load(Ordering::Relaxed) {
                cause = cause::STOPPED;
                drain = Drain::at_most(STOPPED_DRAIN);
                self.refuse_due(now.saturating_sub(start));
                self.connections.refuse_fills(cause);
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
            if self.wait_until(due, now)? {
                self.spun += monotonic().saturating_sub(now).min(TURN_MAX);
            }
        }
        self.connections.refuse_fills(cause);
        self.connections.abandon(cause);
        self.report();
        Ok(ShardResult {
            cpu: thread_cpu() - cpu,
            spun: self.spun,
            preemptions: processors::preemptions().saturating_sub(switches),
            guard: if self.wait == Wait::Spin {
                0
            } else {
                self.guard
            },
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
            let now = monotonic();
            let Some(due) = self.due(&first, start, now) else {
                self.hold(now);
                return Some(now + WAIT_MAX);
            };
            if due > now {
                self.held = None;
                return Some(due);
            }
            if self.must_connect(&first) || self.must_hold(&first, batch.len()) {
                self.hold(now);
                return Some(now + PAUSE);
            }
            self.held = None;
            self.next = batch.end;
            if self.flow != Flow::Open && first.kind == Kind::Request {
                self.sent_at = now;
                for operation in &mut self.block[batch.clone()] {
                    operation.intended = due.saturating_sub(start);
                }
            }
            if self.late.drops && first.kind == Kind::Request && now - due > self.late.after {
                self.connections.refuse(&self.block[batch], cause::LATE);
                continue;
            }
            match first.kind {
                // A failure is counted when the first request is sent, which tries again.
                Kind::Open => drop(self.connections.open(&self.poller, first.connection)),
                Kind::Close => self.connections.close(first.connection),
                Kind::Request => self.connections.send(&self.poller, &self.block[batch]),
            }
        }
        Some(monotonic())
    }

    /// Returns the monotonic time at which a batch that begins with `first` is due, ns; `None` if answers decide that.
    fn due(&self, first: &Operation, start: u64, now: u64) -> Option<u64> {
        match self.flow {
            Flow::Open => Some(start.saturating_add(first.intended)),
            Flow::Closed if first.kind == Kind::Request => {
                let earliest = self.sent_at.max(start);
                let since = match self.connections.idleness(first.connection) {
                    Idleness::Busy => return None,
                    Idleness::Since(time) => time,
                    Idleness::Unused => earliest,
                };
                Some(since.saturating_add(first.intended).max(earliest))
            }
            Flow::Closed | Flow::Window(_) => Some(now.max(start)),
        }
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

    /// True if a batch must wait until its connection takes requests. A closed loop waits for that as for answers, so that
    /// a target which is gone for a while does not use up what follows.
    fn must_connect(&mut self, first: &Operation) -> bool {
        self.flow != Flow::Open
            && first.kind == Kind::Request
            && !self.connections.make_ready(&self.poller, first.connection)
    }

    /// True if a batch of `length` operations must wait for the target to catch up.
    fn must_hold(&mut self, first: &Operation, length: usize) -> bool {
        if self.connections.outstanding > OUTSTANDING_MAX
            || self.connections.unwritten > UNWRITTEN_MAX
        {
            return true;
        }
        let Flow::Window(window) = self.flow else {
            return false;
        };
        let outstanding = self.connections.due_on(first.connection);
        outstanding > 0 && outstanding + length > window
    }

    /// Waits for answers until the guard before `due`, and handles them. Does not wait if that time has come; returns true
    /// if it then found nothing to do.
    fn wait_until(&mut self, due: Option<u64>, now: u64) -> io::Result<bool> {
        let left = due.map_or(PAUSE, |due| due.saturating_sub(now));
        let timeout = left.saturating_sub(self.guard).min(WAIT_MAX);
        let timeout = match due {
            None if self.wait != Wait::Spin => PAUSE,
            _ => timeout,
        };
        let timeout = if self.connections.has_unread() {
            0
        } else {
            timeout
        };
        let is_early = due.is_none_or(|due| due > now);
        let mut is_idle = timeout == 0 && is_early && !self.connections.has_unread();
        self.connections.read_on();
        for ready in self.poller.wait(timeout)? {
            self.connections.ready(&ready);
            is_idle = false;
        }
        Ok(is_idle)
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
        if self.flow != Flow::Open {
            self.block.clear();
        }
        let due = self
            .block
            .iter()
            .take_while(|operation| operation.intended <= elapsed);
        let due = due.count();
        self.block.truncate(due);
        self.refuse_block(cause::STOPPED);
    }

    /// Counts the rest of the block as unsent, for this cause. In a closed loop nothing of it is due yet.
    fn refuse_block(&mut self, cause: &'static str) {
        if self.flow != Flow::Open {
            for operation in self.block.iter_mut().skip(self.next) {
                operation.intended = u64::MAX;
            }
        }
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
