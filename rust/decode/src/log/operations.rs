//! Lines in order, keys hashed → events: joins the lines of one operation and finds its connection.

use std::collections::VecDeque;

use membench_event::{Anchor, CloseSide, Command, Event, Outcome};

use crate::Connections;

use super::clock::LogClock;
use super::descriptors::{Connection, Descriptors, Lookup, Peer};
use super::order::PATIENCE;

/// Search window for the second line of an operation, lines. Other threads' lines may lie between the two.
const NEARBY: usize = 64;
/// Interval between two searches for look-ups that have waited too long, ns.
const SWEEP: u64 = 200_000_000;

/// A line with its key hashed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logged {
    /// Time by memcached's wall clock, µs since 1970.
    pub micros: u64,
    /// Time at which the line was read, ns.
    pub arrived: u64,
    /// The action that the line reports.
    pub action: HashedAction,
}

/// An action of memcached, its key hashed.
#[derive(Clone, Copy, Debug)]
pub(super) enum HashedAction {
    Lookup {
        key: u64,
        key_size: u8,
        found: bool,
        descriptor: Option<u32>,
        size: Option<u32>,
    },
    Store(Stored),
    Deletion {
        key: u64,
        key_size: u8,
        command: Option<Command>,
    },
    Open {
        descriptor: u32,
        peer: Peer,
    },
    Close {
        descriptor: u32,
        side: Option<CloseSide>,
    },
    Other,
}

/// A store, successful or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub key: u64,
    pub key_size: u8,
    pub outcome: Outcome,
    pub command: Command,
    pub ttl: Option<u32>,
    pub descriptor: Option<u32>,
    pub size: Option<u32>,
}

/// A store that failed before it began. The descriptor in its line is meaningless.
#[derive(Clone, Copy, Debug)]
struct Refused {
    time: u64,
    stored: Stored,
    /// Number of lines within which its look-up may still come.
    left: usize,
}

/// The operations of one log, assembled from its lines.
pub(super) struct Operations {
    connections: Descriptors,
    clock: LogClock,
    refused: Option<Refused>,
    /// Key and descriptor of the latest look-ups.
    recent: VecDeque<(u64, Option<u32>)>,
    /// Time of the latest search for look-ups that have waited too long, ns.
    swept: u64,
    events: Vec<Event>,
}

impl Operations {
    /// Creates the operations of a server whose clock is ahead of the anchor's by `ahead_s` seconds.
    pub(super) fn new(anchor: Anchor, ahead_s: i64) -> Self {
        Self {
            connections: Descriptors::default(),
            clock: LogClock::new(anchor, ahead_s),
            refused: None,
            recent: VecDeque::with_capacity(NEARBY),
            swept: 0,
            events: Vec::new(),
        }
    }

    /// Connections by descriptor, for changes.
    pub(super) fn connections(&mut self) -> &mut Descriptors {
        &mut self.connections
    }

    /// The table of connections.
    pub(super) fn table(&self) -> &Connections {
        self.connections.table()
    }

    /// Events since they were last cleared.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Forgets the events.
    pub(super) fn clear_events(&mut self) {
        self.events.clear();
    }

    /// Returns how often memcached's clock was set back.
    pub(super) fn clock_steps(&self) -> u64 {
        self.clock.steps()
    }

    /// Returns the time of a moment on memcached's clock, `CLOCK_MONOTONIC`, ns.
    pub(super) fn place(&self, micros: u64) -> u64 {
        self.clock.place(micros)
    }

    /// Turns look-ups into reads once they have waited too long at `now`, ns, for a store to follow.
    pub(super) fn sweep(&mut self, now: u64) {
        if now.saturating_sub(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        for connection in self.connections.all() {
            let old = |lookup: &mut Lookup| now.saturating_sub(lookup.arrived) >= PATIENCE;
            if let Some(lookup) = connection.pending.take_if(old) {
                self.events.push(read(connection, lookup));
            }
        }
    }

    /// Ends the log: everything that waits becomes events.
    pub(super) fn finish(&mut self) {
        self.give_up_refused();
        for connection in self.connections.all() {
            if let Some(lookup) = connection.pending.take() {
                self.events.push(read(connection, lookup));
            }
        }
    }

    /// Takes the next line in order.
    pub(super) fn settle(&mut self, logged: Logged) {
        let time = self.clock.time(logged.micros);
        match logged.action {
            HashedAction::Lookup {
                key,
                key_size,
                found,
                descriptor,
                size,
            } => {
                let lookup = Lookup {
                    time,
                    key,
                    key_size,
                    found,
                    size,
                    arrived: logged.arrived,
                };
                self.look_up(lookup, descriptor);
            }
            HashedAction::Store(stored) if stored.outcome == Outcome::ServerError => {
                self.refuse(time, stored);
            }
            HashedAction::Store(stored) => self.store(time, &stored),
            HashedAction::Deletion {
                key,
                key_size,
                command,
            } => self.delete(time, key, key_size, command),
            HashedAction::Open { descriptor, peer } => {
                let earlier = self.connections.open(descriptor, peer, time);
                self.settle_last(earlier);
            }
            HashedAction::Close { descriptor, side } => {
                let closed = self.connections.close(descriptor, side, time);
                self.settle_last(closed);
            }
            HashedAction::Other => {}
        }
        self.age_refused();
    }

    /// Takes a refused store. After a refused `set` memcached looks up the older item to remove it, and that line names
    /// the connection.
    fn refuse(&mut self, time: u64, stored: Stored) {
        self.give_up_refused();
        self.refused = Some(Refused {
            time,
            stored,
            left: NEARBY,
        });
        if !matches!(stored.command, Command::Set | Command::Other) {
            self.give_up_refused();
        }
    }

    fn look_up(&mut self, lookup: Lookup, descriptor: Option<u32>) {
        let of_refused = |refused: &mut Refused| refused.stored.key == lookup.key;
        if let Some(refused) = self.refused.take_if(of_refused) {
            let connection = self.connections.get_or_add(descriptor);
            let earlier = connection.pending.take();
            let earlier = earlier.map(|lookup| read(connection, lookup));
            let event = store_event(connection, refused.time, &refused.stored, None);
            self.events.extend(earlier.into_iter().chain([event]));
            return;
        }
        if self.recent.len() == NEARBY {
            self.recent.pop_front();
        }
        self.recent.push_back((lookup.key, descriptor));
        let connection = self.connections.get_or_add(descriptor);
        if let Some(before) = connection.pending.replace(lookup) {
            self.events.push(read(connection, before));
        }
    }

    /// Takes a store. On its connection, its line directly follows that of its own look-up: the two are one operation.
    fn store(&mut self, time: u64, stored: &Stored) {
        let connection = self.connections.get_or_add(stored.descriptor);
        let own = connection.pending.take();
        if let Some(other) = own.filter(|lookup| lookup.key != stored.key) {
            self.events.push(read(connection, other));
        }
        let own = own.filter(|lookup| lookup.key == stored.key);
        let event = store_event(connection, time, stored, own);
        self.events.push(event);
    }

    /// Takes a deletion. Its line names no connection, but follows that of its own look-up, which does.
    fn delete(&mut self, time: u64, key: u64, key_size: u8, command: Option<Command>) {
        let near = self.recent.iter().rev().find(|(recent, _)| *recent == key);
        let descriptor = near.and_then(|(_, descriptor)| *descriptor);
        let connection = self.connections.get_or_add(descriptor);
        let own = connection.pending.take_if(|lookup| lookup.key == key);
        let time = own.map_or(time, |lookup| lookup.time);
        let command = command.unwrap_or(Command::Delete);
        let mut event = event(connection, time, command, key, key_size);
        event.outcome = Some(Outcome::Deleted);
        self.events.push(event);
    }

    /// Takes a connection that was closed: no store can follow its last look-up.
    fn settle_last(&mut self, connection: Option<Connection>) {
        if let Some(mut connection) = connection
            && let Some(lookup) = connection.pending.take()
        {
            self.events.push(read(&mut connection, lookup));
        }
    }

    fn age_refused(&mut self) {
        match &mut self.refused {
            Some(Refused { left: 0, .. }) => self.give_up_refused(),
            Some(refused) => refused.left -= 1,
            None => {}
        }
    }

    /// Makes the event of a refused store whose connection remained unknown.
    fn give_up_refused(&mut self) {
        if let Some(refused) = self.refused.take() {
            let connection = self.connections.get_or_add(None);
            let event = store_event(connection, refused.time, &refused.stored, None);
            self.events.push(event);
        }
    }
}

/// Makes the event of a look-up that no store followed. The log does not name its command; it counts as `get`.
fn read(connection: &mut Connection, lookup: Lookup) -> Event {
    let mut event = event(
        connection,
        lookup.time,
        Command::Get,
        lookup.key,
        lookup.key_size,
    );
    event.outcome = Some(if lookup.found {
        Outcome::Hit
    } else {
        Outcome::Miss
    });
    event.value_size = lookup.size.filter(|_| lookup.found);
    event
}

fn store_event(
    connection: &mut Connection,
    time: u64,
    stored: &Stored,
    before: Option<Lookup>,
) -> Event {
    let mut event = event(
        connection,
        time,
        stored.command,
        stored.key,
        stored.key_size,
    );
    event.outcome = Some(stored.outcome);
    if stored.outcome != Outcome::ServerError {
        event.ttl = stored.ttl.map(|ttl| ttl.cast_signed().max(-1));
        event.value_size = sent_size(stored, before);
    }
    event
}

/// Returns the size of the value that was sent, bytes. The line of a successful `append` or `prepend` gives the size of
/// the whole new value, from which the size before is subtracted.
fn sent_size(stored: &Stored, before: Option<Lookup>) -> Option<u32> {
    let joined = matches!(stored.command, Command::Append | Command::Prepend)
        && stored.outcome == Outcome::Stored;
    if !joined {
        return stored.size;
    }
    stored.size?.checked_sub(before?.size?)
}

/// Makes the event of the connection's next request. The log shows neither multi-gets nor reads of the socket: the
/// request has one key and a batch of its own.
fn event(
    connection: &mut Connection,
    time: u64,
    command: Command,
    key: u64,
    key_size: u8,
) -> Event {
    let request = connection.requests;
    connection.requests = request.saturating_add(1);
    Event {
        time,
        connection: connection.ordinal,
        batch: request,
        request,
        key: Some(key),
        key_size: Some(key_size),
        ..Event::new(command)
    }
}
