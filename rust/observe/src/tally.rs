//! The workers' sums in shared memory → what came since the last look.

use std::collections::BTreeMap;

use membench_bpf::{Loaded, Memory};
use membench_common::observe::{self, counter, state};
use zerocopy::FromBytes;

use crate::{Account, Misses, Result, TcpEvents, Worker, interval::STATES, sums::Sums};

/// The maps with sums.
pub(crate) struct Tally {
    workers: Memory,
    seen: Memory,
    counters: Memory,
    /// By a worker's place; `None` for one that was just being listed.
    last: Vec<Option<observe::Worker>>,
    last_counters: [u64; counter::STRIDE],
    /// The counters at the end: requests that the detaching cuts are not counted as broken.
    frozen: Option<[u64; counter::STRIDE]>,
}

/// Everything that came since the last look.
pub(crate) struct Change {
    pub(crate) account: Account,
    pub(crate) workers: Vec<Worker>,
    pub(crate) misses: Misses,
    /// Time of short waits that ended, ns.
    pub(crate) waited_briefly: u64,
    /// Time of waits that ended while an unknown task ran, ns.
    pub(crate) waited_for_unknown: u64,
    /// Requests that took as long as asked for.
    pub(crate) slow: u64,
    /// Slow requests for which the ring had no room.
    pub(crate) slow_unread: u64,
    pub(crate) tcp_events: TcpEvents,
}

impl Tally {
    pub(crate) fn open(object: &Loaded) -> Result<Self> {
        Ok(Self {
            workers: object.map("workers")?.memory()?,
            seen: object.map("seen")?.memory()?,
            counters: object.map("amounts")?.memory()?,
            last: Vec::new(),
            last_counters: [0; counter::STRIDE],
            frozen: None,
        })
    }

    /// Counts no losses from now on.
    pub(crate) fn freeze(&mut self) {
        self.frozen.get_or_insert(sums(&self.counters));
    }

    /// Returns what came since the last call. `now` is the time, `CLOCK_MONOTONIC`, ns.
    pub(crate) fn take(&mut self, now: u64) -> Change {
        let mut all = Sums::new();
        let mut workers = Vec::new();
        let listed = self.listed();
        self.last.resize(listed.max(self.last.len()), None);
        for index in 0..listed {
            let Some(now) = self.worker(index, now) else {
                continue;
            };
            let before = self.last.get(index).copied().flatten();
            let change = Since {
                now: &now,
                before: before.as_ref(),
            };
            let sums = change.sums();
            all.add(&sums);
            if !change.is_over() {
                workers.push(change.worker(sums.account()));
            }
            if let Some(last) = self.last.get_mut(index) {
                *last = Some(now);
            }
        }
        workers.sort_by_key(|worker| {
            (
                std::cmp::Reverse(worker.requests),
                worker.process,
                worker.thread,
            )
        });
        let counted = self.counted();
        let amount = |which: usize| counted.get(which).copied().unwrap_or(0);
        Change {
            account: all.account(),
            workers,
            misses: Misses {
                runs: 0,
                broken: amount(counter::BROKEN),
                unseen: amount(counter::UNSEEN),
                unlisted: amount(counter::UNLISTED),
                moved: amount(counter::MOVED),
                no_state: amount(counter::NO_STATE),
                unanswered: amount(counter::UNANSWERED),
                continued: amount(counter::CONTINUED),
                untold_switches: amount(counter::UNTOLD),
            },
            waited_briefly: amount(counter::BRIEF),
            waited_for_unknown: amount(counter::UNKNOWN),
            slow: amount(counter::SLOW),
            slow_unread: amount(counter::SLOW_LOST),
            tcp_events: TcpEvents {
                retransmits: amount(counter::RETRANSMITTED),
                resets_sent: amount(counter::RESET_SENT),
                resets_received: amount(counter::RESET_RECEIVED),
            },
        }
    }

    /// Returns a worker's process, thread and name, by its place; zeros if it was not listed at the last look.
    pub(crate) fn identity(&self, index: u32) -> (u32, u32, String) {
        let worker = self.last.get(index as usize).copied().flatten();
        worker.map_or_else(Default::default, |worker| {
            let (process, thread) = numbers(&worker);
            (process, thread, name(&worker.name))
        })
    }

    /// Returns the number of workers that are listed.
    fn listed(&self) -> usize {
        let seen = self
            .seen
            .read(0)
            .and_then(|bytes| u64::read_from_bytes(&bytes).ok());
        usize::try_from(seen.unwrap_or(0)).map_or(0, |seen| seen.min(self.workers.entries()))
    }

    /// Returns a worker, with the clock of its current state up to `now`; `None` if it is just being listed.
    fn worker(&self, index: usize, now: u64) -> Option<observe::Worker> {
        // A state that changes while it is copied shows by the number of changes. Seldom more than one look is needed.
        let mut copy = None;
        for _ in 0..8 {
            let bytes = self.workers.read(index)?;
            let worker = observe::Worker::read_from_bytes(&bytes).ok()?;
            let again = self.workers.read(index)?;
            let changes = observe::Worker::read_from_bytes(&again).ok()?.changes;
            copy = Some(worker);
            if worker.changes == changes && changes % 2 == 0 {
                break;
            }
        }
        let mut worker = copy.filter(|worker| worker.since != 0)?;
        if let Some(time) = worker.times.get_mut(usize::try_from(worker.state).ok()?) {
            *time += now.saturating_sub(worker.since);
        }
        Some(worker)
    }

    /// Returns what the counters grew by since the last call.
    fn counted(&mut self) -> [u64; counter::STRIDE] {
        let now = sums(&self.counters);
        let mut sums = self.frozen.unwrap_or(now);
        // These are no losses.
        for counter in [
            counter::SLOW,
            counter::SLOW_LOST,
            counter::RETRANSMITTED,
            counter::RESET_SENT,
            counter::RESET_RECEIVED,
        ] {
            sums[counter] = now[counter];
        }
        let before = std::mem::replace(&mut self.last_counters, sums);
        for (sum, before) in sums.iter_mut().zip(before) {
            *sum = sum.wrapping_sub(before);
        }
        sums
    }
}

/// Returns each counter's sum over the CPUs.
fn sums(counters: &Memory) -> [u64; counter::STRIDE] {
    let mut sums = [0_u64; counter::STRIDE];
    for cpu in 0..counters.entries() {
        let bytes = counters.read(cpu).unwrap_or_default();
        let words = <[u64; counter::STRIDE]>::read_from_bytes(&bytes).unwrap_or_default();
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = sum.wrapping_add(word);
        }
    }
    sums
}

/// A worker now and at the last look.
struct Since<'a> {
    now: &'a observe::Worker,
    before: Option<&'a observe::Worker>,
}

impl Since<'_> {
    fn amount(&self, of: impl Fn(&observe::Worker) -> u64) -> u64 {
        of(self.now).saturating_sub(self.before.map_or(0, of))
    }

    /// True if the thread had ended before, so that nothing came.
    fn is_over(&self) -> bool {
        let ended = |worker: &observe::Worker| worker.state == state::ENDED as u64;
        self.before.is_some_and(ended)
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums::new();
        sums.add_since(self.before.map(|worker| &worker.account), &self.now.account);
        sums
    }

    fn time(&self, state: usize) -> u64 {
        self.amount(|worker| worker.times.get(state).copied().unwrap_or(0))
    }

    fn worker(&self, account: Account) -> Worker {
        let worker = self.now;
        let (process, thread) = numbers(worker);
        let states: BTreeMap<_, _> = STATES
            .iter()
            .enumerate()
            .map(|(state, name)| (*name, self.time(state)))
            .collect();
        Worker {
            process,
            thread,
            name: name(&worker.name),
            requests: account.requests,
            whole_ns: account.whole_ns,
            parts_ns: account.parts_ns,
            quantiles: account.quantiles,
            reads: self.amount(|worker| worker.reads),
            wake_ups: self.amount(|worker| worker.wake_ups),
            states_ns: states,
        }
    }
}

/// Returns the numbers of a worker's process and thread: in the observer's pid namespace, if it has any there.
fn numbers(worker: &observe::Worker) -> (u32, u32) {
    if worker.own_thread == 0 {
        (worker.process, worker.thread)
    } else {
        (worker.own_process, worker.own_thread)
    }
}

/// Returns a thread's name as text.
pub(crate) fn name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    let name = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}
