//! The recorded connections of a shard, by ordinal: opened, closed, lost and made again.

use std::io;
use std::net::SocketAddr;

use crate::clock::monotonic;
use crate::operation::Operation;
use crate::shard::connection::{Connection, Shared, State};
use crate::shard::poller::{Poller, Ready};

/// How long a connection that could not be made is not tried again, ns.
const RETRY: u64 = 100_000_000;

/// Why requests were not sent or answered.
pub mod cause {
    /// The target closed the connection, or it broke.
    pub const CLOSED: &str = "closed_by_target";
    /// The connection could not be made.
    pub const REFUSED: &str = "connection_refused";
    /// No answer within the time after the last request.
    pub const TIMEOUT: &str = "no_answer_in_time";
    /// The run was stopped.
    pub const STOPPED: &str = "stopped";
}

/// Where one recorded connection stands.
#[derive(Debug, Default)]
struct Slot {
    connection: Option<Box<Connection>>,
    /// Tells events of an earlier socket from those of this one.
    generation: u32,
    lost: bool,
    retry_at: u64,
}

/// The connections of a shard.
#[derive(Debug)]
pub struct Connections {
    target: SocketAddr,
    stamped: bool,
    slots: Vec<Slot>,
    /// What they share.
    pub shared: Shared,
    /// Requests that must still be answered.
    pub due: usize,
    /// Requests sent or waiting to be, answered or not.
    pub outstanding: usize,
    /// Bytes that wait for room in a socket.
    pub unwritten: usize,
}

impl Connections {
    /// None yet.
    pub fn new(target: SocketAddr, stamped: bool, shared: Shared) -> Self {
        Self {
            target,
            stamped,
            slots: Vec::new(),
            shared,
            due: 0,
            outstanding: 0,
            unwritten: 0,
        }
    }

    /// Opens a connection unless it is.
    pub fn open(&mut self, poller: &Poller, ordinal: u32) -> io::Result<()> {
        let index = ordinal as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        let slot = &mut self.slots[index];
        if slot.connection.is_some() {
            return Ok(());
        }
        let connection = Connection::open(self.target, self.stamped)?;
        slot.generation = slot.generation.wrapping_add(1);
        poller.add(connection.socket(), token(ordinal, slot.generation))?;
        self.shared.measures.counts.reconnects += u64::from(std::mem::take(&mut slot.lost));
        slot.connection = Some(Box::new(connection));
        Ok(())
    }

    /// Closes a connection as soon as nothing is due on it.
    pub fn close(&mut self, ordinal: u32) {
        if let Some(connection) = self.get(ordinal) {
            connection.closing = true;
            self.close_if_done(ordinal);
        }
    }

    /// Requests outstanding on a connection.
    pub fn outstanding_on(&mut self, ordinal: u32) -> usize {
        self.get(ordinal)
            .map_or(0, |connection| connection.outstanding.len())
    }

    /// Sends a batch, on its connection.
    pub fn send(&mut self, poller: &Poller, batch: &[Operation]) {
        let Some(ordinal) = batch.first().map(|first| first.connection) else {
            return;
        };
        if self.is_resting(ordinal) || self.open(poller, ordinal).is_err() {
            return self.refuse(batch, cause::REFUSED);
        }
        self.change(ordinal, |connection, shared| {
            connection.send_batch(batch, shared)
        });
    }

    /// Handles what happened to a socket.
    pub fn ready(&mut self, ready: &Ready) {
        let (ordinal, generation) = parts(ready.token);
        let current = self
            .slots
            .get(ordinal as usize)
            .is_some_and(|slot| slot.generation == generation);
        if !current {
            return;
        }
        if ready.writable || ready.failed {
            self.change(ordinal, Connection::writable);
        }
        if ready.readable {
            self.change(ordinal, |connection, shared| {
                connection.readable(ready.hangup, shared)
            });
            self.close_if_done(ordinal);
        }
    }

    /// Ends every connection: what is still due has this cause.
    pub fn abandon(&mut self, cause: &'static str) {
        for slot in &mut self.slots {
            if let Some(mut connection) = slot.connection.take() {
                connection.abandon(cause, &mut self.shared.measures);
            }
        }
        (self.due, self.outstanding, self.unwritten) = (0, 0, 0);
    }

    /// Counts requests that cannot be sent.
    pub fn refuse(&mut self, batch: &[Operation], cause: &'static str) {
        self.shared.measures.refuse(batch, cause);
    }

    fn get(&mut self, ordinal: u32) -> Option<&mut Connection> {
        self.slots
            .get_mut(ordinal as usize)?
            .connection
            .as_deref_mut()
    }

    fn is_resting(&self, ordinal: u32) -> bool {
        let slot = self.slots.get(ordinal as usize);
        slot.is_some_and(|slot| slot.retry_at > 0 && slot.retry_at > monotonic())
    }

    /// Lets a connection act and keeps the sums.
    fn change(&mut self, ordinal: u32, act: impl FnOnce(&mut Connection, &mut Shared) -> State) {
        let Some(slot) = self.slots.get_mut(ordinal as usize) else {
            return;
        };
        let Some(connection) = slot.connection.as_deref_mut() else {
            return;
        };
        let before = load(connection);
        let state = act(connection, &mut self.shared);
        let after = load(connection);
        self.due = self.due + after.0 - before.0;
        self.outstanding = self.outstanding + after.1 - before.1;
        self.unwritten = self.unwritten + after.2 - before.2;
        if state == State::Lost {
            self.lose(ordinal);
        }
    }

    fn lose(&mut self, ordinal: u32) {
        let Some(slot) = self.slots.get_mut(ordinal as usize) else {
            return;
        };
        let Some(mut connection) = slot.connection.take() else {
            return;
        };
        let (due, outstanding, unwritten) = load(&connection);
        self.due -= due;
        self.outstanding -= outstanding;
        self.unwritten -= unwritten;
        slot.lost = due > 0 || !connection.closing;
        if connection.is_connected() {
            connection.abandon(cause::CLOSED, &mut self.shared.measures);
        } else {
            slot.retry_at = monotonic() + RETRY;
            connection.abandon(cause::REFUSED, &mut self.shared.measures);
        }
    }

    fn close_if_done(&mut self, ordinal: u32) {
        let done = self.get(ordinal).is_some_and(|connection| {
            connection.closing && connection.outstanding.due() == 0 && connection.unwritten() == 0
        });
        if done {
            self.lose(ordinal);
        }
    }
}

/// Requests due, requests outstanding (deferred ones included), bytes unwritten.
fn load(connection: &Connection) -> (usize, usize, usize) {
    let outstanding = &connection.outstanding;
    let deferred = connection.deferred();
    (
        outstanding.due() + deferred,
        outstanding.len() + deferred,
        connection.unwritten(),
    )
}

fn token(ordinal: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(ordinal)
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of a token")]
fn parts(token: u64) -> (u32, u32) {
    (token as u32, (token >> 32) as u32)
}
