//! Connections of a shard, by recorded ordinal: opens, closes and reconnects them, and sums up their load.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use membench_event::{NumberMap, Protocol};

use crate::clock::monotonic;
use crate::measure::cause;
use crate::operation::{Kind, Marks, Operation};
use crate::plan::fills::FillForm;
use crate::shard::connection::{Connection, Shared, State};
use crate::shard::poller::{Poller, Ready};
use crate::target::endpoint::Endpoints;

/// Pause before a connection that could not be made is tried again, ns.
const RETRY: u64 = 100_000_000;

/// State of one recorded connection.
#[derive(Debug, Default)]
struct Slot {
    connection: Option<Box<Connection>>,
    /// Number of sockets so far; tells readiness of an earlier socket from that of this one.
    generation: u32,
    /// True if the last socket was lost, not closed as recorded.
    lost: bool,
    /// Monotonic time before which no socket is opened, ns.
    retry_at: u64,
    /// True if more has arrived than was read, so that the connection is among the `unread`.
    unread: bool,
    /// Monotonic time since which no answer is due, ns; `None` before the first request.
    idle_since: Option<u64>,
    /// True if answers are due.
    busy: bool,
}

/// Answers that are due on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idleness {
    /// Some are due.
    Busy,
    /// None is due since this monotonic time, ns.
    Since(u64),
    /// No request was sent on it.
    Unused,
}

/// Connections of a shard.
#[derive(Debug)]
pub(crate) struct Connections {
    endpoints: Endpoints,
    stamped: bool,
    slots: NumberMap<u32, Slot>,
    /// Connections on which more has arrived than was read, with the token's generation and if they were hung up.
    unread: VecDeque<(u32, u32, bool)>,
    /// Forms of the stores that follow misses.
    forms: Arc<[FillForm]>,
    /// Such stores, by the monotonic time at which they are due, ns, and in the order of the misses.
    fills: BTreeMap<(u64, u64), Operation>,
    /// Number of misses that were followed by a store so far.
    filled: u64,
    /// State that the connections share.
    pub(crate) shared: Shared,
    /// Requests due an answer, and deferred operations.
    pub(crate) due: usize,
    /// Requests without an answer so far, due one or not, and deferred operations.
    pub(crate) outstanding: usize,
    /// Bytes that wait for room in a socket.
    pub(crate) unwritten: usize,
}

impl Connections {
    /// Makes a set without connections. With `stamped`, the kernel stamps what they receive.
    pub(crate) fn new(
        endpoints: Endpoints,
        stamped: bool,
        forms: Arc<[FillForm]>,
        shared: Shared,
    ) -> Self {
        Self {
            endpoints,
            forms,
            fills: BTreeMap::new(),
            filled: 0,
            stamped,
            slots: NumberMap::default(),
            unread: VecDeque::new(),
            shared,
            due: 0,
            outstanding: 0,
            unwritten: 0,
        }
    }

    /// Opens a connection, unless it is open.
    pub(crate) fn open(&mut self, poller: &Poller, ordinal: u32) -> io::Result<()> {
        let slot = self.slots.entry(ordinal).or_default();
        if slot.connection.is_some() {
            return Ok(());
        }
        let endpoint = self.endpoints.get(ordinal).ok_or(io::ErrorKind::NotFound)?;
        let connection = Connection::open(endpoint, self.stamped)?;
        slot.generation = slot.generation.wrapping_add(1);
        poller.add(connection.socket(), token(ordinal, slot.generation))?;
        self.shared.measures.counts.reconnects += u64::from(std::mem::take(&mut slot.lost));
        slot.connection = Some(Box::new(connection));
        Ok(())
    }

    /// True if a connection is being opened that will take requests later than the system says it is made.
    pub(crate) fn are_opening(&self) -> bool {
        let mut open = self
            .slots
            .values()
            .filter_map(|slot| slot.connection.as_deref());
        self.endpoints.take_time() && open.any(|connection| !connection.is_ready())
    }

    /// Opens a connection unless it is open, now and then while that fails; returns true once it takes requests.
    pub(crate) fn make_ready(&mut self, poller: &Poller, ordinal: u32) -> bool {
        if !self.must_wait(ordinal)
            && self.open(poller, ordinal).is_err()
            && let Some(slot) = self.slots.get_mut(&ordinal)
        {
            slot.retry_at = monotonic() + RETRY;
        }
        self.get(ordinal)
            .is_some_and(|connection| connection.is_ready())
    }

    /// Closes a connection once nothing is due on it.
    pub(crate) fn close(&mut self, ordinal: u32) {
        if let Some(connection) = self.get(ordinal) {
            connection.closing = true;
            self.close_if_done(ordinal);
        }
    }

    /// Returns the number of requests on a connection whose answer is due.
    pub(crate) fn due_on(&mut self, ordinal: u32) -> usize {
        self.get(ordinal).map_or(0, |connection| load(connection).0)
    }

    /// Tells if answers are due on a connection.
    pub(crate) fn idleness(&self, ordinal: u32) -> Idleness {
        match self.slots.get(&ordinal) {
            Some(Slot { busy: true, .. }) => Idleness::Busy,
            Some(Slot {
                idle_since: Some(since),
                ..
            }) => Idleness::Since(*since),
            _ => Idleness::Unused,
        }
    }

    /// Sends a batch on its connection, which is opened if it is not. Counts the batch as unsent if it cannot be.
    pub(crate) fn send(&mut self, poller: &Poller, batch: &[Operation]) {
        let Some(ordinal) = batch.first().map(|first| first.connection) else {
            return;
        };
        if self.must_wait(ordinal) || self.open(poller, ordinal).is_err() {
            return self.refuse(batch, cause::REFUSED);
        }
        let _ = self.update(ordinal, |connection, shared| {
            connection.send_batch(batch, shared)
        });
    }

    /// Reads from and writes to a socket that is ready. Ignores a token of an earlier socket.
    pub(crate) fn ready(&mut self, ready: &Ready) {
        let (ordinal, generation) = split(ready.token);
        let current = self
            .slots
            .get(&ordinal)
            .is_some_and(|slot| slot.generation == generation);
        if !current {
            return;
        }
        if ready.writable || ready.failed {
            let _ = self.update(ordinal, Connection::writable);
        }
        if ready.readable {
            self.read(ordinal, generation, ready.hangup);
        }
    }

    /// True if more has arrived on a connection than was read.
    pub(crate) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Reads on where more had arrived than was read.
    pub(crate) fn read_on(&mut self) {
        for _ in 0..self.unread.len() {
            let Some((ordinal, generation, hangup)) = self.unread.pop_front() else {
                return;
            };
            let Some(slot) = self.slots.get_mut(&ordinal) else {
                continue;
            };
            slot.unread = false;
            if slot.generation == generation {
                self.read(ordinal, generation, hangup);
            }
        }
    }

    fn read(&mut self, ordinal: u32, generation: u32, hangup: bool) {
        let state = self.update(ordinal, |connection, shared| {
            connection.readable(hangup, shared)
        });
        if state == State::More
            && let Some(slot) = self.slots.get_mut(&ordinal)
            && !std::mem::replace(&mut slot.unread, true)
        {
            self.unread.push_back((ordinal, generation, hangup));
        }
        self.close_if_done(ordinal);
    }

    /// Closes every connection, and counts what is still due or unsent for this cause.
    pub(crate) fn abandon(&mut self, cause: &'static str) {
        for slot in self.slots.values_mut() {
            if let Some(mut connection) = slot.connection.take() {
                connection.abandon(cause, &mut self.shared);
            }
        }
        (self.due, self.outstanding, self.unwritten) = (0, 0, 0);
        // Nothing follows a miss that only the end of the run shows.
        self.shared.measures.misses.clear();
    }

    /// Counts the requests of a batch as unsent, for this cause.
    pub(crate) fn refuse(&mut self, batch: &[Operation], cause: &'static str) {
        self.shared.refuse(batch, cause);
    }

    fn get(&mut self, ordinal: u32) -> Option<&mut Connection> {
        self.slots.get_mut(&ordinal)?.connection.as_deref_mut()
    }

    /// True if a connection that could not be made must not be tried again yet.
    fn must_wait(&self, ordinal: u32) -> bool {
        let slot = self.slots.get(&ordinal);
        slot.is_some_and(|slot| slot.retry_at > 0 && slot.retry_at > monotonic())
    }

    /// Runs `act` on a connection and updates the sums. Closes the connection if it was lost.
    fn update(
        &mut self,
        ordinal: u32,
        act: impl FnOnce(&mut Connection, &mut Shared) -> State,
    ) -> State {
        let Some(slot) = self.slots.get_mut(&ordinal) else {
            return State::Lost;
        };
        let Some(connection) = slot.connection.as_deref_mut() else {
            return State::Lost;
        };
        let before = load(connection);
        let acted_at = self.shared.acted_at;
        let state = act(connection, &mut self.shared);
        let after = load(connection);
        slot.busy = after.0 > 0;
        // Opening a connection sends no request and takes no answer.
        if self.shared.acted_at != acted_at {
            slot.idle_since = Some(self.shared.acted_at);
        }
        self.due = self.due + after.0 - before.0;
        self.outstanding = self.outstanding + after.1 - before.1;
        self.unwritten = self.unwritten + after.2 - before.2;
        if !self.shared.measures.misses.is_empty() {
            self.schedule_fills(ordinal);
        }
        if state == State::Lost {
            self.discard(ordinal);
        }
        state
    }

    /// Schedules the stores that follow the misses of a connection.
    fn schedule_fills(&mut self, ordinal: u32) {
        for missed in std::mem::take(&mut self.shared.measures.misses) {
            let Some(form) = self.forms.get(missed.form as usize) else {
                continue;
            };
            let due = self.shared.acted_at.saturating_add(form.delay());
            self.filled += 1;
            self.shared.measures.counts.fills.scheduled += 1;
            let mut marks = Marks::default();
            marks.set(Marks::VALUE, true);
            marks.set(Marks::FILL, true);
            marks.set(Marks::TTL, form.ttl.is_some());
            let operation = Operation {
                command: form.command,
                protocol: form.protocol,
                options: form.options,
                key: missed.key,
                key_size: missed.key_size,
                key_prefix: missed.key_prefix,
                value_size: form.value_size,
                flags: form.flags,
                ttl: form.ttl.unwrap_or(0),
                opaque_size: if form.protocol == Protocol::Binary {
                    4
                } else {
                    0
                },
                marks,
                ..Operation::new(
                    Kind::Request,
                    ordinal,
                    due.saturating_sub(self.shared.start),
                )
            };
            self.fills.insert((due, self.filled), operation);
        }
    }

    /// Sends the stores after misses that are due. Returns the monotonic time at which the next is, ns.
    pub(crate) fn send_fills(&mut self, poller: &Poller) -> Option<u64> {
        while let Some(first) = self.fills.first_entry() {
            let (due, _) = *first.key();
            if due > monotonic() {
                return Some(due);
            }
            let operation = first.remove();
            self.send(poller, &[operation]);
        }
        None
    }

    /// Counts the stores that are still to follow misses as unsent, for this cause.
    pub(crate) fn refuse_fills(&mut self, cause: &'static str) {
        for operation in std::mem::take(&mut self.fills).into_values() {
            self.shared.refuse(&[operation], cause);
        }
    }

    /// Closes the socket of a connection, and counts what is still due or unsent on it.
    fn discard(&mut self, ordinal: u32) {
        let Some(slot) = self.slots.get_mut(&ordinal) else {
            return;
        };
        let Some(mut connection) = slot.connection.take() else {
            return;
        };
        let (due, outstanding, unwritten) = load(&connection);
        slot.busy = false;
        self.due -= due;
        self.outstanding -= outstanding;
        self.unwritten -= unwritten;
        slot.lost = due > 0 || !connection.closing;
        if connection.is_ready() {
            connection.abandon(cause::CLOSED, &mut self.shared);
        } else {
            slot.retry_at = monotonic() + RETRY;
            connection.abandon(cause::REFUSED, &mut self.shared);
        }
        self.schedule_fills(ordinal);
    }

    /// Closes a connection that is to be closed, if nothing is due or unwritten on it.
    fn close_if_done(&mut self, ordinal: u32) {
        let done = self.get(ordinal).is_some_and(|connection| {
            connection.closing && connection.outstanding.due() == 0 && connection.unwritten() == 0
        });
        if done {
            self.discard(ordinal);
        }
    }
}

/// Returns requests due, requests outstanding (both with deferred operations), and bytes unwritten.
fn load(connection: &Connection) -> (usize, usize, usize) {
    let outstanding = &connection.outstanding;
    let deferred = connection.deferred();
    (
        outstanding.least_due() + deferred,
        outstanding.len() + deferred,
        connection.unwritten(),
    )
}

/// Makes the poller's token for one socket of a connection.
fn token(ordinal: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(ordinal)
}

/// Splits a token into ordinal and generation.
#[expect(clippy::cast_possible_truncation, reason = "the halves of a token")]
fn split(token: u64) -> (u32, u32) {
    (token as u32, (token >> 32) as u32)
}
