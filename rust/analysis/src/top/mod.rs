//! Events → what is going on right now: hot keys, commands, clients, bandwidth, in constant memory.

mod sketch;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use membench_event::{Command, Event, Outcome};

pub use sketch::{Entry, Sketch};

/// Ids the sketch of clients has room for.
const CLIENTS: usize = 256;
/// A client nobody knows.
const UNKNOWN: u64 = u64::MAX;
/// Longest server time told apart, ns.
const LONGEST_NS: u64 = u32::MAX as u64;

/// Counts the events of one interval.
#[derive(Debug)]
pub struct Top {
    keys: Sketch<Key>,
    clients: Sketch<Client>,
    /// Each connection's client.
    connections: Vec<u32>,
    commands: BTreeMap<Command, Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Key {
    hits: u64,
    misses: u64,
    bytes: u64,
    value_size: Option<u32>,
    size: u8,
}

#[derive(Clone, Copy, Debug, Default)]
struct Client {
    bytes: u64,
}

#[derive(Debug, Default)]
struct Counts {
    events: u64,
    hits: u64,
    misses: u64,
    errors: u64,
    bytes_in: u64,
    bytes_out: u64,
    server_time: Option<Histogram<u32>>,
}

/// One interval. Counts of keys and clients are at most too high by their `error`; all else is exact.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// Operations on one key each.
    pub events: u64,
    /// How often a key may have been used without being listed, and by how much a key's count may be too high.
    pub key_bound: u64,
    /// Keys by how often they were used.
    pub keys: Vec<HotKey>,
    /// Clients by how many operations they made.
    pub clients: Vec<BusyClient>,
    /// By command, those that occurred.
    pub commands: BTreeMap<&'static str, CommandCounts>,
}

/// A key that is used often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HotKey {
    /// Its keyed id.
    pub id: u64,
    /// Bytes of the key.
    pub key_size: u8,
    /// Operations on it, at most.
    pub count: u64,
    /// By how much that may be too high.
    pub error: u64,
    /// Hits, misses and bytes of values, at least.
    pub hits: u64,
    /// See `hits`.
    pub misses: u64,
    /// See `hits`.
    pub bytes: u64,
    /// Bytes of its value when it was last seen.
    pub value_size: Option<u32>,
}

/// A client that does much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BusyClient {
    /// Its ordinal; none if it is not known.
    pub client: Option<u32>,
    /// Operations, at most.
    pub count: u64,
    /// By how much that may be too high.
    pub error: u64,
    /// Bytes of requests and values, at least.
    pub bytes: u64,
}

/// What one command did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CommandCounts {
    /// Operations.
    pub events: u64,
    /// Of them, hits.
    pub hits: u64,
    /// Of them, misses.
    pub misses: u64,
    /// Of them, errors.
    pub errors: u64,
    /// Bytes of requests; of values stored where those are not known.
    pub bytes_in: u64,
    /// Bytes of values returned.
    pub bytes_out: u64,
    /// Median server time, ns; none where it was not recorded.
    pub server_time_p50: Option<u64>,
    /// Its 99th percentile, ns.
    pub server_time_p99: Option<u64>,
}

impl Top {
    /// With room for so many keys.
    pub fn new(keys: usize) -> Self {
        Self {
            keys: Sketch::new(keys),
            clients: Sketch::new(CLIENTS),
            connections: Vec::new(),
            commands: BTreeMap::new(),
        }
    }

    /// Notes that a connection is of a client.
    pub fn connect(&mut self, connection: u32, client: u32) {
        let place = connection as usize;
        if place == self.connections.len() {
            self.connections.push(client);
        } else if let Some(known) = self.connections.get_mut(place) {
            *known = client;
        }
    }

    /// Counts events.
    pub fn feed(&mut self, events: &[Event]) {
        for event in events {
            self.commands.entry(event.command).or_default().add(event);
            let (bytes_in, bytes_out) = bytes(event);
            let client = self.connections.get(event.connection as usize);
            let client = self
                .clients
                .count(client.map_or(UNKNOWN, |client| u64::from(*client)));
            client.bytes += bytes_in + bytes_out;
            if let Some(id) = event.key {
                self.keys.count(id).add(event);
            }
        }
    }

    /// What was counted since the last call, with the `most` hottest keys and busiest clients.
    pub fn take(&mut self, most: usize) -> Snapshot {
        let snapshot = Snapshot {
            events: self.commands.values().map(|counts| counts.events).sum(),
            key_bound: self.keys.bound(),
            keys: self.keys.top(most).iter().map(hot_key).collect(),
            clients: self.clients.top(most).iter().map(busy_client).collect(),
            commands: self
                .commands
                .iter()
                .map(|(command, counts)| (command.name(), counts.told()))
                .collect(),
        };
        self.keys.clear();
        self.clients.clear();
        self.commands.clear();
        snapshot
    }
}

impl Key {
    fn add(&mut self, event: &Event) {
        self.hits += u64::from(event.outcome == Some(Outcome::Hit));
        self.misses += u64::from(event.outcome == Some(Outcome::Miss));
        self.bytes += u64::from(event.value_size.unwrap_or(0));
        self.value_size = event.value_size.or(self.value_size);
        self.size = event.key_size.unwrap_or(self.size);
    }
}

impl Counts {
    fn add(&mut self, event: &Event) {
        let (bytes_in, bytes_out) = bytes(event);
        self.events += 1;
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
        match event.outcome {
            Some(Outcome::Hit | Outcome::Stale | Outcome::Won) => self.hits += 1,
            Some(Outcome::Miss) => self.misses += 1,
            Some(Outcome::ClientError | Outcome::ServerError) => self.errors += 1,
            _ => {}
        }
        if let Some(time) = event.server_time {
            self.time(u64::from(time));
        }
    }

    fn time(&mut self, nanoseconds: u64) {
        let histogram = self.server_time.get_or_insert_with(|| {
            Histogram::new_with_bounds(1, LONGEST_NS, 2).expect("the bounds are in order")
        });
        histogram.saturating_record(nanoseconds);
    }

    fn told(&self) -> CommandCounts {
        let quantile = |of| {
            self.server_time
                .as_ref()
                .map(|times| times.value_at_quantile(of))
        };
        CommandCounts {
            events: self.events,
            hits: self.hits,
            misses: self.misses,
            errors: self.errors,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            server_time_p50: quantile(0.5),
            server_time_p99: quantile(0.99),
        }
    }
}

/// Bytes of an event's request, and of the value it returned.
fn bytes(event: &Event) -> (u64, u64) {
    let value = u64::from(event.value_size.unwrap_or(0));
    let stores = event.command.is_storage();
    let sent = event
        .request_size
        .map_or(if stores { value } else { 0 }, u64::from);
    (sent, if stores { 0 } else { value })
}

fn hot_key(entry: &Entry<Key>) -> HotKey {
    let Key {
        hits,
        misses,
        bytes,
        value_size,
        size,
    } = entry.notes;
    HotKey {
        id: entry.id,
        key_size: size,
        count: entry.count,
        error: entry.error,
        hits,
        misses,
        bytes,
        value_size,
    }
}

fn busy_client(entry: &Entry<Client>) -> BusyClient {
    BusyClient {
        client: u32::try_from(entry.id).ok(),
        count: entry.count,
        error: entry.error,
        bytes: entry.notes.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use membench_event::{Options, Protocol};

    fn event(connection: u32, command: Command, key: u64, value_size: Option<u32>) -> Event {
        let read = value_size.map_or(Outcome::Miss, |_| Outcome::Hit);
        Event {
            time: 0,
            connection,
            batch: 0,
            request: 0,
            command,
            protocol: Protocol::Text,
            key: Some(key),
            key_size: Some(10),
            value_size,
            request_size: None,
            ttl: None,
            flags: None,
            cas: None,
            delta: None,
            initial: None,
            vivify_ttl: None,
            recache_ttl: None,
            opaque_size: None,
            options: Options(0),
            outcome: Some(if command == Command::Set {
                Outcome::Stored
            } else {
                read
            }),
            server_time: value_size,
            queue_time: None,
        }
    }

    #[test]
    fn an_interval_is_summed_up_and_forgotten() {
        let mut top = Top::new(10);
        top.connect(0, 3);
        top.connect(1, 3);
        top.feed(&[
            event(0, Command::Get, 7, Some(100)),
            event(1, Command::Get, 7, None),
            event(2, Command::Set, 8, Some(50)),
        ]);
        let snapshot = top.take(5);
        let keys: Vec<_> = snapshot
            .keys
            .iter()
            .map(|key| (key.id, key.count, key.hits, key.misses, key.bytes))
            .collect();
        assert_eq!(keys, [(7, 2, 1, 1, 100), (8, 1, 0, 0, 50)]);
        let clients: Vec<_> = snapshot
            .clients
            .iter()
            .map(|client| (client.client, client.count, client.bytes))
            .collect();
        assert_eq!(clients, [(Some(3), 2, 100), (None, 1, 50)]);
        let get = &snapshot.commands["get"];
        assert_eq!((get.events, get.hits, get.misses), (2, 1, 1));
        assert_eq!(
            (get.bytes_in, get.bytes_out, get.server_time_p50),
            (0, 100, Some(100))
        );
        assert_eq!(snapshot.commands["set"].bytes_in, 50);
        assert_eq!((snapshot.events, snapshot.key_bound), (3, 0));
        assert_eq!(top.take(5).events, 0);
    }
}
