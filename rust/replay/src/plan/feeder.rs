//! Events → blocks of operations, ahead of their time; each shard gets those of its own connections.
//!
//! Events are read once a round. Batches are put in order of arrival, and then multiplied, a copy a little after the other.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::mpsc::{SyncSender, TrySendError};

use membench_event::{Command, Event, Protocol};

use crate::Result;
use crate::make::content::Content;
use crate::make::keys::{KEY_MAX, ShortKeys};
use crate::operation::{Block, Kind, Marks, Operation};
use crate::plan::extent::id_in_set;
use crate::plan::fills::{Fill, FillFinder};
use crate::plan::recording::{Change, Events, Recording};
use crate::plan::schedule::{Pacing, Schedule};
use crate::plan::{Choices, Plan};

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

/// Longest time from the first copy of a batch to the last, ns.
const COPIES_MAX: u64 = 1_000_000_000;

/// Operations after which the requests of one read are sent in another write.
const BATCH_MAX: usize = 1 << 16;

/// Requests that one read of the recorded server brought.
#[derive(Clone, Debug, Default)]
struct Batch {
    /// Recorded arrival, ns on the clock of the events.
    arrival: u64,
    /// Time that the client thought before it sent them, ns.
    think: u64,
    /// Number of the copy of the clients.
    copy: u32,
    requests: u64,
    operations: Vec<Operation>,
}

/// Batches by arrival, with the order in which they came.
#[derive(Debug, Default)]
struct Ordered {
    /// Arrivals and keys of the batches in `held`.
    waiting: BinaryHeap<Reverse<(u64, u64)>>,
    held: HashMap<u64, Batch>,
    /// Key of the batch that was added last.
    sequence: u64,
}

impl Ordered {
    fn add(&mut self, batch: Batch) {
        self.sequence += 1;
        self.waiting.push(Reverse((batch.arrival, self.sequence)));
        self.held.insert(self.sequence, batch);
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Removes the earliest batch if it arrived by `arrival`, or if there are too many.
    fn pop(&mut self, arrival: u64) -> Option<Batch> {
        let Reverse((earliest, _)) = *self.waiting.peek()?;
        if earliest > arrival && self.waiting.len() <= REORDER_MAX {
            return None;
        }
        let Reverse((_, sequence)) = self.waiting.pop()?;
        self.held.remove(&sequence)
    }
}

/// Thread that turns events into operations and hands them to the shards.
pub(crate) struct Feeder<'a> {
    plan: &'a Plan,
    content: &'a Content,
    keys: ShortKeys,
    schedule: Schedule,
    /// Openings and closings of this round still to come, in order of time.
    changes: std::iter::Peekable<std::vec::IntoIter<Change>>,
    /// Channel to each shard, and the block being filled for it.
    shards: Vec<(SyncSender<Block>, Block)>,
    /// Number of the round.
    round: u32,
    /// Time by which the round comes after the first, ns.
    offset: u64,
    /// Batches that wait for others that arrived earlier but were read later.
    reordered: Ordered,
    /// Copies of batches that wait for batches before them.
    copied: Ordered,
    /// Latest arrival on each connection: batches of one connection never overtake each other.
    last_arrival: HashMap<u32, u64>,
    /// Time at which each connection's last answer was sent, for a closed loop.
    last_answer: HashMap<u32, u64>,
    /// Finder of the fills that are left out.
    finder: FillFinder,
    /// Arrival of the last batch on any connection.
    previous: Option<u64>,
}

impl<'a> Feeder<'a> {
    /// Makes a feeder of the shards at the other ends of `shards`.
    pub(crate) fn new(
        plan: &'a Plan,
        content: &'a Content,
        keys: ShortKeys,
        schedule: Schedule,
        shards: Vec<SyncSender<Block>>,
    ) -> Self {
        Self {
            plan,
            content,
            keys,
            schedule,
            changes: Vec::new().into_iter().peekable(),
            shards: shards
                .into_iter()
                .map(|shard| (shard, Block::new()))
                .collect(),
            round: 0,
            offset: 0,
            reordered: Ordered::default(),
            copied: Ordered::default(),
            last_arrival: HashMap::new(),
            last_answer: HashMap::new(),
            finder: FillFinder::default(),
            previous: None,
        }
    }

    /// Feeds all rounds of a recording to the shards; returns early if a shard has ended. Returns the number of keys that
    /// are no others than those of other ids, as too few of their length exist.
    pub(crate) fn run(mut self, recording: &Recording<'_>) -> Result<u64> {
        let changes =
            recording.changes(|connection| self.plan.connections.contains_key(&connection));
        for round in 0..self.plan.choices.extent.rounds.max(1) {
            self.round = round;
            self.finder = FillFinder::default();
            self.offset = u64::from(round).saturating_mul(self.plan.period());
            self.changes = self.changes_of_round(&changes).into_iter().peekable();
            if self.feed((recording.events)()?)?.is_none() {
                return Ok(self.keys.shared());
            }
        }
        // A shard that ended early returns its own error.
        let _ = (0..self.shards.len()).try_for_each(|shard| self.send(shard));
        Ok(self.keys.shared())
    }

    /// Feeds the events of a round; `None` if a shard has ended.
    fn feed(&mut self, events: Events<'_>) -> Result<Option<()>> {
        let mut batch: Vec<Event> = Vec::new();
        for event in events {
            let mut event = event?;
            event.time = event.time.saturating_add(self.offset);
            let continues = batch.last().is_some_and(|last| {
                let same_request = last.request == event.request;
                (last.connection, last.batch) == (event.connection, event.batch)
                    && (batch.len() < BATCH_MAX || same_request)
            });
            if !continues && self.take(&batch).is_none() {
                return Ok(None);
            }
            if !continues {
                batch.clear();
            }
            batch.push(event);
        }
        Ok(self.take(&batch).and_then(|()| self.finish_round()))
    }

    /// Returns the openings and closings of the round, of all copies, in order of time.
    fn changes_of_round(&self, recorded: &[Change]) -> Vec<Change> {
        let mut changes = Vec::new();
        for copy in 0..self.plan.choices.extent.copies.max(1) {
            changes.extend(recorded.iter().map(|change| {
                let time = match change.time {
                    0 if self.round == 0 => 0,
                    time => time.max(self.plan.first()) + self.offset + self.delay(copy),
                };
                Change {
                    time,
                    copy,
                    ..*change
                }
            }));
        }
        changes.sort_unstable();
        changes
    }

    /// Returns the time, ns, by which a copy is later than the first: all copies together keep even distances.
    fn delay(&self, copy: u32) -> u64 {
        let copies = u64::from(self.plan.choices.extent.copies.max(1));
        self.plan.distance().min(COPIES_MAX) * u64::from(copy) / copies
    }

    /// Emits all that is held back; `None` if a shard has ended.
    fn finish_round(&mut self) -> Option<()> {
        while let Some(batch) = self.reordered.pop(u64::MAX) {
            self.multiply(batch)?;
        }
        while let Some(batch) = self.copied.pop(u64::MAX) {
            self.emit(batch)?;
        }
        self.emit_changes(u64::MAX)
    }

    /// Takes the events of one read. Passes their batch on at once if its queue time is unknown and no other is held
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
        if queued.is_none() && self.reordered.is_empty() {
            return self.multiply(batch);
        }
        self.hold(first.connection, batch);
        while let Some(batch) = self
            .reordered
            .pop(first.time.saturating_sub(QUEUE_TIME_MAX))
        {
            self.multiply(batch)?;
        }
        Some(())
    }

    /// Holds a batch back until every batch that may have arrived earlier has been read.
    fn hold(&mut self, connection: u32, mut batch: Batch) {
        let last = self.last_arrival.entry(connection).or_default();
        batch.arrival = batch.arrival.max(*last);
        *last = batch.arrival;
        self.reordered.add(batch);
    }

    /// Emits a batch once for each copy of the clients; `None` if a shard has ended.
    fn multiply(&mut self, batch: Batch) -> Option<()> {
        let copies = self.plan.choices.extent.copies.max(1);
        if copies == 1 {
            return self.emit(batch);
        }
        let arrival = batch.arrival;
        for copy in 0..copies {
            self.copied.add(Batch {
                arrival: arrival.saturating_add(self.delay(copy)),
                copy,
                ..batch.clone()
            });
        }
        while let Some(batch) = self.copied.pop(arrival) {
            self.emit(batch)?;
        }
        Some(())
    }

    /// Turns the events of one read into a batch; `None` if nothing of it can be sent.
    fn batch(&mut self, events: &[Event], arrival: u64) -> Option<Batch> {
        let mut batch = Batch {
            arrival,
            think: self.think(events, arrival),
            ..Batch::default()
        };
        for request in events.chunk_by(|one, next| one.request == next.request) {
            let first = batch.operations.len();
            for event in request {
                if !self.is_fill(event) && self.plan.check(event).is_ok() {
                    batch.operations.push(self.operation(event));
                }
            }
            batch.requests += u64::from(batch.operations.len() > first);
            mark_all_but_last(&mut batch.operations[first..], Marks::REQUEST_CONTINUES);
        }
        mark_all_but_last(&mut batch.operations, Marks::BATCH_CONTINUES);
        (!batch.operations.is_empty()).then_some(batch)
    }

    /// True if an event is a fill that is left out.
    fn is_fill(&mut self, event: &Event) -> bool {
        let plan = self.plan;
        if plan.choices.fill == Fill::Recorded {
            return false;
        }
        let target = plan.routes.target(event.connection);
        target.is_some_and(|target| self.finder.take(target, event, &plan.templates).is_some())
    }

    /// Returns the time, ns, from the last answer on the connection to the arrival of `events`; from the last batch on any
    /// connection, if it is the first on its own.
    fn think(&mut self, events: &[Event], arrival: u64) -> u64 {
        let Some(first) = events.first() else {
            return 0;
        };
        let answered = events
            .iter()
            .map(|event| event.time.saturating_add(event.server_time.unwrap_or(0)));
        let answered = answered.max().unwrap_or(arrival);
        let before = self.last_answer.insert(first.connection, answered);
        let previous = self.previous.replace(arrival);
        arrival.saturating_sub(before.or(previous).unwrap_or(arrival))
    }

    fn operation(&self, event: &Event) -> Operation {
        let expiry = self.plan.choices.expiry;
        let template = self.plan.templates.get(event.options);
        let recorded_size = event.key_size.unwrap_or(0);
        let (key_prefix, key_size) = self.content.sizes(recorded_size);
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
            key: event.key.unwrap_or(0),
            delta: number_of(event.delta_size),
            initial: number_of(event.initial_size),
            value_size: event.value_size.unwrap_or(0),
            cas: event.cas.unwrap_or(0),
            flags: event.flags.unwrap_or(0),
            recorded_size: event.request_size.unwrap_or(0),
            ttl: expiry.scale(event.ttl.unwrap_or(0)),
            vivify_ttl: expiry.scale(event.vivify_ttl.unwrap_or(0)),
            recache_ttl: expiry.scale(event.recache_ttl.unwrap_or(0)),
            options: event.options,
            command: event.command,
            protocol: event.protocol,
            recorded: event.outcome,
            key_size,
            key_prefix,
            fill: self
                .plan
                .fill_of(event)
                .map_or(0, |number| number.saturating_add(1)),
            opaque_size: match event.protocol {
                Protocol::Binary => BINARY_OPAQUE,
                Protocol::Text | Protocol::Meta => event.opaque_size.unwrap_or(0),
            },
            marks,
            ..Operation::new(Kind::Request, event.connection, 0)
        }
    }

    /// Schedules a batch, and adds it to the block of its shard; `None` if a shard has ended. What another process sends
    /// has its place in the schedule.
    fn emit(&mut self, batch: Batch) -> Option<()> {
        self.emit_changes(batch.arrival)?;
        let intended = match self.schedule.pacing() {
            Pacing::Closed => batch.think,
            _ => self.schedule.intended(batch.arrival, batch.requests),
        };
        let Choices { extent, .. } = self.plan.choices;
        let ordinal = batch.operations.first()?.connection;
        let place = self.place(ordinal, batch.copy);
        let set = extent.key_set(self.round, batch.copy);
        // Keys are numbered by all processes, so that short ones are the same in each.
        let mut operations = batch.operations;
        for operation in &mut operations {
            if operation.key_size > 0 {
                let id = id_in_set(operation.key, set);
                operation.key = self.keys.number(id, operation.key_size);
            }
            operation.cas = self.plan.cas_of_copy(operation.cas, batch.copy);
            operation.intended = intended;
        }
        let Some((connection, shard)) = place else {
            return Some(());
        };
        self.make_room(shard)?;
        let placed = operations.into_iter().map(|operation| Operation {
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
            let Some((connection, shard)) = self.place(change.connection, change.copy) else {
                continue;
            };
            self.make_room(shard)?;
            self.shards[shard]
                .1
                .push(Operation::new(kind, connection, intended));
        }
        Some(())
    }

    /// Returns the number of a copy of a recorded connection, and the shard that keeps it; `None` if another process
    /// does.
    fn place(&self, ordinal: u32, copy: u32) -> Option<(u32, usize)> {
        let share = self.plan.choices.share;
        let number = self.plan.connections.get(&ordinal).copied().unwrap_or(0);
        if !share.has_copy(number, copy) {
            return None;
        }
        let all = u32::try_from(self.plan.connections.len()).unwrap_or(u32::MAX);
        let thread = share.thread(number, copy, self.shards.len());
        Some((number.wrapping_add(copy.wrapping_mul(all)), thread))
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
