//! Events → blocks of operations, ahead of their time; each shard gets those of its own connections.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::mpsc::{SyncSender, TrySendError};

use membench_event::{Command, Event, Protocol};

use crate::Result;
use crate::make::keys::{KEY_MAX, ShortKeys};
use crate::operation::{Block, Kind, Marks, Operation};
use crate::plan::Plan;
use crate::plan::recording::{Change, Events};
use crate::plan::schedule::Schedule;

/// Bytes of the opaque field of a binary request.
const BINARY_OPAQUE: u8 = 4;

/// Operations after which a block is handed over.
const BLOCK: usize = 1024;

/// Blocks that may wait for a shard before the feeder does.
pub(crate) const BLOCKS: usize = 16;

/// Longest credible queue time, ns; longer ones count as this long.
const QUEUE_TIME_MAX: u64 = 1_000_000_000;

/// Most batches held back to be put in order of arrival.
const REORDER_MAX: usize = 1 << 16;

/// Operations after which the requests of one read are sent in another write.
const BATCH_MAX: usize = 1 << 16;

/// Requests that one read of the recorded server brought.
#[derive(Debug, Default)]
struct Batch {
    /// Recorded arrival, ns on the clock of the events.
    arrival: u64,
    requests: u64,
    operations: Vec<Operation>,
}

/// Thread that turns events into operations and hands them to the shards.
pub(crate) struct Feeder<'a> {
    plan: &'a Plan,
    keys: ShortKeys,
    schedule: Schedule,
    /// Openings and closings still to come, in order of time.
    changes: std::iter::Peekable<std::vec::IntoIter<Change>>,
    /// Channel to each shard, and the block being filled for it.
    shards: Vec<(SyncSender<Block>, Block)>,
    /// Arrivals and keys of the batches in `held`, which wait for batches that arrived earlier but were read later.
    waiting: BinaryHeap<Reverse<(u64, u64)>>,
    /// Batches held back, by the order in which they were read.
    held: HashMap<u64, Batch>,
    /// Key of the batch held back last.
    sequence: u64,
    /// Latest arrival on each connection: batches of one connection never overtake each other.
    last_arrival: HashMap<u32, u64>,
}

impl<'a> Feeder<'a> {
    /// Makes a feeder of the shards at the other ends of `shards`.
    pub(crate) fn new(
        plan: &'a Plan,
        keys: ShortKeys,
        schedule: Schedule,
        changes: Vec<Change>,
        shards: Vec<SyncSender<Block>>,
    ) -> Self {
        Self {
            plan,
            keys,
            schedule,
            changes: changes.into_iter().peekable(),
            shards: shards
                .into_iter()
                .map(|shard| (shard, Block::new()))
                .collect(),
            waiting: BinaryHeap::new(),
            held: HashMap::new(),
            sequence: 0,
            last_arrival: HashMap::new(),
        }
    }

    /// Feeds all events to the shards; returns early if a shard has ended.
    pub(crate) fn run(mut self, events: Events<'_>) -> Result<()> {
        let mut batch: Vec<Event> = Vec::new();
        for event in events {
            let event = event?;
            let continues = batch.last().is_some_and(|last| {
                let same_request = last.request == event.request;
                (last.connection, last.batch) == (event.connection, event.batch)
                    && (batch.len() < BATCH_MAX || same_request)
            });
            if !continues && self.take(&batch).is_none() {
                return Ok(());
            }
            if !continues {
                batch.clear();
            }
            batch.push(event);
        }
        // A shard that ended early returns its own error.
        let _ = self.take(&batch).and_then(|()| self.finish());
        Ok(())
    }

    /// Emits all that is held back and hands over unfinished blocks; `None` if a shard has ended.
    fn finish(&mut self) -> Option<()> {
        while let Some(batch) = self.release(true) {
            self.emit(batch)?;
        }
        self.emit_changes(u64::MAX)?;
        (0..self.shards.len()).try_for_each(|shard| self.send(shard))
    }

    /// Takes the events of one read. Emits their batch at once if its queue time is unknown and no other is held
    /// back; otherwise holds it back. `None` if a shard has ended.
    fn take(&mut self, events: &[Event]) -> Option<()> {
        let Some(first) = events.first() else {
            return Some(());
        };
        let queued = first
            .queue_time
            .map(|time| time.saturating_mul(1000).min(QUEUE_TIME_MAX));
        let Some(batch) = self.batch(events, first.time - queued.unwrap_or(0).min(first.time))
        else {
            return Some(());
        };
        if queued.is_none() && self.waiting.is_empty() {
            return self.emit(batch);
        }
        self.hold(first.connection, batch);
        while let Some(batch) = self.release_before(first.time.saturating_sub(QUEUE_TIME_MAX)) {
            self.emit(batch)?;
        }
        Some(())
    }

    /// Holds a batch back until every batch that may have arrived earlier has been read.
    fn hold(&mut self, connection: u32, mut batch: Batch) {
        let last = self.last_arrival.entry(connection).or_default();
        batch.arrival = batch.arrival.max(*last);
        *last = batch.arrival;
        self.sequence += 1;
        self.waiting.push(Reverse((batch.arrival, self.sequence)));
        self.held.insert(self.sequence, batch);
    }

    /// Releases the earliest batch if it arrived by `arrival`, or if too many are held back.
    fn release_before(&mut self, arrival: u64) -> Option<Batch> {
        let Reverse((earliest, _)) = self.waiting.peek()?;
        let ready = *earliest <= arrival || self.waiting.len() > REORDER_MAX;
        self.release(ready)
    }

    /// Releases the earliest batch if `ready`.
    fn release(&mut self, ready: bool) -> Option<Batch> {
        if !ready {
            return None;
        }
        let Reverse((_, sequence)) = self.waiting.pop()?;
        self.held.remove(&sequence)
    }

    /// Turns the events of one read into a batch; `None` if nothing of it can be sent.
    fn batch(&mut self, events: &[Event], arrival: u64) -> Option<Batch> {
        let mut batch = Batch {
            arrival,
            ..Batch::default()
        };
        for request in events.chunk_by(|one, next| one.request == next.request) {
            let first = batch.operations.len();
            let plan = self.plan;
            let sent = request.iter().filter(|event| plan.check(event).is_ok());
            batch
                .operations
                .extend(sent.map(|event| self.operation(event)));
            batch.requests += u64::from(batch.operations.len() > first);
            mark_all_but_last(&mut batch.operations[first..], Marks::REQUEST_CONTINUES);
        }
        mark_all_but_last(&mut batch.operations, Marks::BATCH_CONTINUES);
        (!batch.operations.is_empty()).then_some(batch)
    }

    fn operation(&mut self, event: &Event) -> Operation {
        let template = self.plan.templates.get(event.options);
        let key_size = event.key_size.unwrap_or(0);
        let value = event.command.is_storage() && event.value_size.is_some();
        let compares = event.command == Command::Cas || template.compares;
        let returned = event
            .cas
            .is_some_and(|ordinal| self.plan.cas_sent.contains(&ordinal));
        let mut marks = Marks::default();
        marks.set(Marks::TTL, event.ttl.is_some());
        marks.set(Marks::VALUE, value);
        marks.set(Marks::VIVIFIES, event.vivify_ttl.is_some());
        marks.set(Marks::KEY_REFUSED, key_size > KEY_MAX && !template.base64);
        marks.set(Marks::CAS_SENT, compares && event.cas.is_some());
        marks.set(
            Marks::CAS_RETURNED,
            returned && (!compares || template.returns_cas),
        );
        marks.set(
            Marks::DECIMAL,
            event
                .key
                .is_some_and(|key| self.plan.counters.contains(&key)),
        );
        Operation {
            key: event.key.map_or(0, |id| self.keys.number(id, key_size)),
            delta: number_of(event.delta_size),
            initial: number_of(event.initial_size),
            value_size: event.value_size.unwrap_or(0),
            cas: event.cas.unwrap_or(0),
            flags: event.flags.unwrap_or(0),
            recorded_size: event.request_size.unwrap_or(0),
            ttl: event.ttl.unwrap_or(0),
            vivify_ttl: event.vivify_ttl.unwrap_or(0),
            recache_ttl: event.recache_ttl.unwrap_or(0),
            options: event.options,
            command: event.command,
            protocol: event.protocol,
            recorded: event.outcome,
            key_size,
            opaque_size: match event.protocol {
                Protocol::Binary => BINARY_OPAQUE,
                Protocol::Text | Protocol::Meta => event.opaque_size.unwrap_or(0),
            },
            marks,
            ..Operation::new(Kind::Request, event.connection, 0)
        }
    }

    /// Schedules a batch, and adds it to the block of its shard; `None` if a shard has ended.
    fn emit(&mut self, batch: Batch) -> Option<()> {
        self.emit_changes(batch.arrival)?;
        let intended = self.schedule.intended(batch.arrival, batch.requests);
        let connection = self.number(batch.operations.first()?.connection);
        let shard = self.shard_of(connection);
        self.make_room(shard)?;
        let placed = batch.operations.into_iter().map(|operation| Operation {
            intended,
            connection,
            ..operation
        });
        self.shards[shard].1.extend(placed);
        Some(())
    }

    /// Schedules the openings and closings before a read at `time`; `None` if a shard has ended.
    fn emit_changes(&mut self, time: u64) -> Option<()> {
        while let Some(change) = self.changes.next_if(|change| change.is_before(time)) {
            let kind = if change.opens {
                Kind::Open
            } else {
                Kind::Close
            };
            let intended = match change.time {
                0 => 0,
                time => self.schedule.intended(time, 0),
            };
            let connection = self.number(change.connection);
            let shard = self.shard_of(connection);
            self.make_room(shard)?;
            self.shards[shard]
                .1
                .push(Operation::new(kind, connection, intended));
        }
        Some(())
    }

    /// Returns the number of a recorded connection, by which shards keep it.
    fn number(&self, ordinal: u32) -> u32 {
        self.plan.connections.get(&ordinal).copied().unwrap_or(0)
    }

    fn shard_of(&self, connection: u32) -> usize {
        connection as usize % self.shards.len()
    }

    /// Hands a shard its block if that is full; `None` if the shard has ended.
    fn make_room(&mut self, shard: usize) -> Option<()> {
        if self.shards[shard].1.len() < BLOCK {
            return Some(());
        }
        self.send(shard)
    }

    /// Hands a shard its block; `None` if the shard has ended. If its queue is full, first hands the other shards their
    /// unfinished blocks, so that they do not run dry while this thread waits.
    fn send(&mut self, shard: usize) -> Option<()> {
        match self.try_send(shard) {
            Err(TrySendError::Full(block)) => {
                for other in 0..self.shards.len() {
                    if let Err(TrySendError::Full(block)) = self.try_send(other) {
                        self.shards[other].1 = block;
                    }
                }
                self.shards[shard].0.send(block).ok()
            }
            other => other.ok(),
        }
    }

    /// Hands a shard its block without waiting; the error holds the block if the queue is full.
    fn try_send(&mut self, shard: usize) -> std::result::Result<(), TrySendError<Block>> {
        let (sender, block) = &mut self.shards[shard];
        if block.is_empty() {
            return Ok(());
        }
        sender.try_send(std::mem::replace(block, Block::with_capacity(BLOCK)))
    }
}

/// Returns the number of this many digits that a replay counts with: a one, then zeros, so that counting rarely changes
/// the number of digits.
fn number_of(digits: Option<u8>) -> u64 {
    digits.map_or(0, |digits| {
        10_u64.saturating_pow(u32::from(digits.saturating_sub(1)))
    })
}

fn mark_all_but_last(operations: &mut [Operation], mark: Marks) {
    if let Some((_, others)) = operations.split_last_mut() {
        for operation in others {
            operation.marks.set(mark, true);
        }
    }
}
