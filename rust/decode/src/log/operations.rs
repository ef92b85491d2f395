//! Lines in order, keys hashed → events: which lines make one operation, and on which connection.

use std::collections::VecDeque;

use membench_event::{Anchor, CloseSide, Command, ConnectionRow, Event, Outcome};

use super::clock::LogClock;
use super::connections::{Connection, Connections, Lookup, Peer};
use super::order::PATIENCE;

/// How many lines later a store's second line may come: other threads' come between them.
const NEARBY: usize = 64;
/// How often look-ups that wait are gone through, ns.
const SWEEP: u64 = 200_000_000;

/// A line with its key hashed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logged {
    /// memcached's time, µs since 1970.
    pub micros: u64,
    /// When it was read, ns.
    pub arrived: u64,
    /// What it says.
    pub what: What,
}

/// What a line says, without its key.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
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

/// A store, or the attempt.
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

/// A store that failed before it began; its line's descriptor means nothing.
#[derive(Clone, Copy, Debug)]
struct Refused {
    time: u64,
    stored: Stored,
    /// For how many lines its look-up may still come.
    left: usize,
}

/// Turns lines into events.
pub(super) struct Operations {
    connections: Connections,
    clock: LogClock,
    refused: Option<Refused>,
    /// The latest look-ups: key and descriptor.
    recent: VecDeque<(u64, Option<u32>)>,
    swept: u64,
    events: Vec<Event>,
}

impl Operations {
    /// Of a server whose clock is ahead of the anchor's by so many seconds.
    pub(super) fn new(anchor: Anchor, ahead_s: i64) -> Self {
        Self {
            connections: Connections::default(),
            clock: LogClock::new(anchor, ahead_s),
            refused: None,
            recent: VecDeque::with_capacity(NEARBY),
            swept: 0,
            events: Vec::new(),
        }
    }

    /// The connections.
    pub(super) fn connections(&mut self) -> &mut Connections {
        &mut self.connections
    }

    /// One row a connection.
    pub(super) fn rows(&self) -> &[ConnectionRow] {
        self.connections.rows()
    }

    /// The events so far.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Forgets them.
    pub(super) fn clear_events(&mut self) {
        self.events.clear();
    }

    /// How often memcached's clock was set back.
    pub(super) fn clock_steps(&self) -> u64 {
        self.clock.steps()
    }

    /// Look-ups that waited long enough by `now` for the other half of a store have none.
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

    /// No more lines: whatever waits becomes events.
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
        match logged.what {
            What::Lookup {
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
            What::Store(stored) if stored.outcome == Outcome::ServerError => {
                self.refuse(time, stored);
            }
            What::Store(stored) => self.store(time, &stored),
            What::Deletion {
                key,
                key_size,
                command,
            } => self.delete(time, key, key_size, command),
            What::Open { descriptor, peer } => {
                let earlier = self.connections.open(descriptor, peer, time);
                self.end(earlier);
            }
            What::Close { descriptor, side } => {
                let ended = self.connections.close(descriptor, side, time);
                self.end(ended);
            }
            What::Other => {}
        }
        self.age_refused();
    }

    /// A store was refused. If an older item may have to go, its look-up comes next, with the right connection.
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
            let connection = self.connections.at(descriptor);
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
        let connection = self.connections.at(descriptor);
        if let Some(before) = connection.pending.replace(lookup) {
            self.events.push(read(connection, before));
        }
    }

    /// A store's line comes right after that of its own look-up, on its connection: the two are one operation.
    fn store(&mut self, time: u64, stored: &Stored) {
        let connection = self.connections.at(stored.descriptor);
        let own = connection.pending.take();
        if let Some(other) = own.filter(|lookup| lookup.key != stored.key) {
            self.events.push(read(connection, other));
        }
        let own = own.filter(|lookup| lookup.key == stored.key);
        let event = store_event(connection, time, stored, own);
        self.events.push(event);
    }

    /// A deletion's line names no connection, but it comes right after that of its own look-up.
    fn delete(&mut self, time: u64, key: u64, key_size: u8, command: Option<Command>) {
        let near = self.recent.iter().rev().find(|(recent, _)| *recent == key);
        let descriptor = near.and_then(|(_, descriptor)| *descriptor);
        let connection = self.connections.at(descriptor);
        let own = connection.pending.take_if(|lookup| lookup.key == key);
        let time = own.map_or(time, |lookup| lookup.time);
        let command = command.unwrap_or(Command::Delete);
        let mut event = event(connection, time, command, key, key_size);
        event.outcome = Some(Outcome::Deleted);
        self.events.push(event);
    }

    fn end(&mut self, connection: Option<Connection>) {
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

    /// A refused store whose connection did not show.
    fn give_up_refused(&mut self) {
        if let Some(refused) = self.refused.take() {
            let connection = self.connections.at(None);
            let event = store_event(connection, refused.time, &refused.stored, None);
            self.events.push(event);
        }
    }
}

/// A look-up that no store followed. The log does not say by which command: it counts as `get`.
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

/// Bytes of the value that was sent: of an `append` that succeeded the line gives the whole new value.
fn sent_size(stored: &Stored, before: Option<Lookup>) -> Option<u32> {
    let joined = matches!(stored.command, Command::Append | Command::Prepend)
        && stored.outcome == Outcome::Stored;
    if !joined {
        return stored.size;
    }
    stored.size?.checked_sub(before?.size?)
}

/// The connection's next request: with one key, in a batch of its own, for the log tells neither.
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
