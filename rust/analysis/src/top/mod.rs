//! Events → the hot keys, commands, busy clients and bandwidth of an interval, in constant memory.

mod answer;
mod intervals;
mod sketch;

use std::collections::BTreeMap;
use std::hash::BuildHasherDefault;

use hdrhistogram::Histogram;
use serde::Serialize;

use membench_event::{Command, Event, Generations, Lookup, NumberHasher, Outcome};

use crate::quantiles::LARGEST;

use answer::answer_size;

pub use intervals::Intervals;
pub use sketch::{Entry, Sketch};

/// Number of clients that the sketch has room for.
const CLIENTS: usize = 256;
/// Connections in one generation of those whose client is known.
const CONNECTIONS: usize = 1 << 18;
/// Id in the sketch for all connections whose client is unknown.
const UNKNOWN: u64 = u64::MAX;

/// Counts the events of one interval.
#[derive(Debug)]
pub struct Top {
    keys: Sketch<Key>,
    clients: Sketch<Client>,
    /// Client of each connection that is in use, by the connection's ordinal.
    connections: Generations<u32, u32, BuildHasherDefault<NumberHasher>>,
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

/// Counts of one interval. Those of keys and clients may be too high by up to their `error`; all others are exact.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// Operations, one per key.
    pub events: u64,
    /// Most operations that a key may have had without being tracked, and upper bound of every key's `error`.
    pub key_bound: u64,
    /// Keys, most used first.
    pub keys: Vec<HotKey>,
    /// Clients, busiest first.
    pub clients: Vec<BusyClient>,
    /// Counts by command; only commands that occurred.
    pub commands: BTreeMap<&'static str, CommandCounts>,
}

/// A frequently used key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HotKey {
    /// Keyed id of the key.
    pub id: u64,
    /// Size of the key, bytes.
    pub key_size: u8,
    /// Upper bound of the operations on the key.
    pub count: u64,
    /// Most by which `count` may be too high.
    pub error: u64,
    /// Lower bound of its hits.
    pub hits: u64,
    /// Lower bound of its misses.
    pub misses: u64,
    /// Lower bound of the bytes of its values.
    pub bytes: u64,
    /// Size of its value when last seen, bytes.
    pub value_size: Option<u32>,
}

/// A client with many operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BusyClient {
    /// Ordinal of the client; `None` stands for all unknown ones.
    pub client: Option<u32>,
    /// Upper bound of its operations.
    pub count: u64,
    /// Most by which `count` may be too high.
    pub error: u64,
    /// Lower bound of the bytes of its requests and answers.
    pub bytes: u64,
}

/// Counts of one command.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CommandCounts {
    /// Operations.
    pub events: u64,
    /// Operations that hit.
    pub hits: u64,
    /// Operations that missed.
    pub misses: u64,
    /// Operations answered with an error.
    pub errors: u64,
    /// Bytes of requests, or of the stored values if the size of a request is unknown.
    pub bytes_in: u64,
    /// Bytes of answers, as far as events tell: error texts, lists of statistics and most of cas values and meta flags are
    /// not among them.
    pub bytes_out: u64,
    /// Median server time, ns; `None` if it was not recorded.
    pub server_time_p50_ns: Option<u64>,
    /// 99th percentile of the server time, ns; `None` if it was not recorded.
    pub server_time_p99_ns: Option<u64>,
}

impl Top {
    /// Creates counters with room for this many keys.
    pub fn new(keys: usize) -> Self {
        Self {
            keys: Sketch::new(keys),
            clients: Sketch::new(CLIENTS),
            connections: Generations::new(CONNECTIONS),
            commands: BTreeMap::new(),
        }
    }

    /// Assigns a connection to a client. A connection that is unused while 262,144 others are used is forgotten, and its
    /// client unknown.
    pub fn connect(&mut self, connection: u32, client: u32) {
        self.connections.turn_if_full();
        self.connections.insert(connection, client);
    }

    /// Counts events.
    pub fn feed(&mut self, events: &[Event]) {
        for event in events {
            self.commands.entry(event.command).or_default().add(event);
            let (bytes_in, bytes_out) = bytes(event);
            let client = self.connections.get(&event.connection);
            let client = self.clients.count(client.map_or(UNKNOWN, u64::from));
            client.bytes += bytes_in + bytes_out;
            if let Some(id) = event.key {
                self.keys.count(id).add(event);
            }
        }
    }

    /// Returns the counts since the last call, with the `most` hottest keys and busiest clients, and starts a new
    /// interval.
    pub fn take(&mut self, most: usize) -> Snapshot {
        let snapshot = Snapshot {
            events: self.commands.values().map(|counts| counts.events).sum(),
            key_bound: self.keys.bound(),
            keys: self.keys.top(most).iter().map(hot_key).collect(),
            clients: self.clients.top(most).iter().map(busy_client).collect(),
            commands: self
                .commands
                .iter()
                .map(|(command, counts)| (command.name(), counts.summary()))
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
        self.hits += u64::from(event.lookup() == Some(Lookup::Hit));
        self.misses += u64::from(event.lookup() == Some(Lookup::Miss));
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
        let errors = [Some(Outcome::ClientError), Some(Outcome::ServerError)];
        self.hits += u64::from(event.lookup() == Some(Lookup::Hit));
        self.misses += u64::from(event.lookup() == Some(Lookup::Miss));
        self.errors += u64::from(errors.contains(&event.outcome));
        if let Some(time) = event.server_time {
            self.time(time);
        }
    }

    fn time(&mut self, nanoseconds: u64) {
        let histogram = self
            .server_time
            .get_or_insert_with(|| Histogram::new(2).expect("the precision is valid"));
        let recorded = histogram.record(nanoseconds.min(LARGEST));
        debug_assert!(recorded.is_ok(), "the histogram grows up to `LARGEST`");
    }

    fn summary(&self) -> CommandCounts {
        let quantile = |quantile| {
            self.server_time
                .as_ref()
                .map(|times| times.value_at_quantile(quantile))
        };
        CommandCounts {
            events: self.events,
            hits: self.hits,
            misses: self.misses,
            errors: self.errors,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            server_time_p50_ns: quantile(0.5),
            server_time_p99_ns: quantile(0.99),
        }
    }
}

/// Returns the bytes of an event's request, and those of its answer.
fn bytes(event: &Event) -> (u64, u64) {
    let value = u64::from(event.value_size.unwrap_or(0));
    let stores = event.command.is_storage();
    let sent = event
        .request_size
        .map_or(if stores { value } else { 0 }, u64::from);
    (sent, answer_size(event))
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
            delta_size: None,
            initial_size: None,
            vivify_ttl: None,
            recache_ttl: None,
            opaque_size: None,
            options: Options(0),
            outcome: Some(if command == Command::Set {
                Outcome::Stored
            } else {
                read
            }),
            server_time: value_size.map(u64::from),
            queue_time: None,
        }
    }

    #[test]
    fn a_quiet_read_without_an_answer_is_a_miss() {
        let mut top = Top::new(10);
        let quiet = Event {
            outcome: Some(Outcome::Suppressed),
            ..event(0, Command::Get, 7, None)
        };
        top.feed(&[event(0, Command::Get, 7, Some(100)), quiet, quiet]);
        let snapshot = top.take(5);
        let get = &snapshot.commands["get"];
        assert_eq!((get.hits, get.misses), (1, 2));
        let key = &snapshot.keys[0];
        assert_eq!((key.hits, key.misses), (1, 2));
    }

    #[test]
    fn an_interval_is_summarised_and_forgotten() {
        let mut top = Top::new(10);
        top.connect(0, 3);
        top.connect(1, 3);
        let events = [
            event(0, Command::Get, 7, Some(100)),
            event(1, Command::Get, 7, None),
            event(2, Command::Set, 8, Some(50)),
        ];
        let [hit, miss, stored] = events.map(|event| answer_size(&event));
        assert!(hit > 100);
        top.feed(&events);
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
        assert_eq!(clients, [(Some(3), 2, hit + miss), (None, 1, 50 + stored)]);
        let get = &snapshot.commands["get"];
        assert_eq!((get.events, get.hits, get.misses), (2, 1, 1));
        assert_eq!(
            (get.bytes_in, get.bytes_out, get.server_time_p50_ns),
            (0, hit + miss, Some(100))
        );
        assert_eq!(snapshot.commands["set"].bytes_in, 50);
        assert_eq!((snapshot.events, snapshot.key_bound), (3, 0));
        assert_eq!(top.take(5).events, 0);
    }
}
