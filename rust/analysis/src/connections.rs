//! Operations → statistics of the clients' connections: pipelining, batches, skew.

use std::collections::HashMap;

use membench_profile::Ordinals;
use serde::Serialize;

use super::numbers::{count, share};
use super::operation::Operation;
use super::quantiles::{Distribution, Quantiles};

/// Counts of every connection, 40 bytes each.
#[derive(Default)]
pub(super) struct ConnectionCounts {
    states: Vec<State>,
    depth: Distribution,
    keys: Distribution,
    requests: u64,
    pipelined: u64,
}

#[derive(Clone, Copy, Default)]
struct State {
    id: u32,
    requests: u64,
    first: u64,
    last: u64,
    batch: u32,
    in_batch: u64,
}

/// Facts about a connection that its events do not carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// Ordinal of the connection, as in events.
    pub connection: u32,
    /// Ordinal of the client's address.
    pub client: u32,
    /// Time of opening, `CLOCK_MONOTONIC` ns; `None` if before the recording.
    pub opened: Option<u64>,
    /// Time of closing, `CLOCK_MONOTONIC` ns; `None` if the recording does not show it.
    pub closed: Option<u64>,
}

/// Table of all connections, summed up; of those that events are on, it tells the client.
#[derive(Clone, Debug, Default)]
pub struct KnownConnections {
    count: u64,
    open_at_start: u64,
    open_at_end: u64,
    clients: Ordinals,
    lifetimes: Distribution,
    /// Client of each connection that events are on.
    client_of: HashMap<u32, u32>,
}

impl KnownConnections {
    /// Adds a connection. `is_used` is true if events are on it.
    pub fn add(&mut self, facts: &ConnectionFacts, is_used: bool) {
        self.count += 1;
        self.open_at_start += u64::from(facts.opened.is_none());
        self.open_at_end += u64::from(facts.closed.is_none());
        self.clients.insert(facts.client);
        if let Some((opened, closed)) = facts.opened.zip(facts.closed) {
            self.lifetimes
                .record(closed.saturating_sub(opened) / 1_000_000);
        }
        if is_used {
            self.client_of.insert(facts.connection, facts.client);
        }
    }

    /// True if no connection is known.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Statistics of the clients' connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Connections {
    /// Connections with at least one request.
    pub count: u64,
    /// Connections known to the recording, including idle ones.
    pub known: Option<u64>,
    /// Known connections that were open before the recording began.
    pub open_at_start: Option<u64>,
    /// Known connections that were still open when the recording ended.
    pub open_at_end: Option<u64>,
    /// Distinct client addresses.
    pub clients: Option<u64>,
    /// Requests on each connection.
    pub requests: Option<Quantiles>,
    /// Time from the first to the last request of each connection, ms.
    pub active_ms: Option<Quantiles>,
    /// Time from open to close of each connection that did both during the recording, ms.
    pub lifetime_ms: Option<Quantiles>,
    /// Requests that one read of the server took in: 1 if clients wait for each response.
    pub pipeline_depth: Option<Quantiles>,
    /// Share of requests that shared a read with others, 0…1.
    pub pipelined: Option<f64>,
    /// Keys of each request that has more than one.
    pub multi_get_keys: Option<Quantiles>,
    /// Share of requests of the busiest connection, 0…1.
    pub busiest_connection: Option<f64>,
    /// Share of requests of the busiest tenth of the connections, 0…1.
    pub busiest_tenth: Option<f64>,
    /// Share of requests of the busiest client address, 0…1.
    pub busiest_client: Option<f64>,
}

impl ConnectionCounts {
    pub(super) fn observe(&mut self, operation: &Operation) {
        if !operation.first {
            return;
        }
        self.requests += 1;
        if operation.keys > 1 {
            self.keys.record(u64::from(operation.keys));
        }
        if let Some(depth) = self.state(operation).request(operation) {
            self.batch(depth);
        }
    }

    fn state(&mut self, operation: &Operation) -> &mut State {
        if operation.connection >= self.states.len() {
            self.states
                .resize(operation.connection + 1, State::default());
        }
        &mut self.states[operation.connection]
    }

    fn batch(&mut self, depth: u64) {
        self.depth.record(depth);
        if depth > 1 {
            self.pipelined += depth;
        }
    }

    /// Summarises all connections. `known` is the profile's table of connections, if it has one.
    pub(super) fn finish(mut self, known: Option<&KnownConnections>) -> Connections {
        for index in 0..self.states.len() {
            self.batch(self.states[index].in_batch);
        }
        let (mut requests, mut active) = (Distribution::default(), Distribution::default());
        for state in &self.states {
            requests.record(state.requests);
            active.record((state.last - state.first) / 1_000_000);
        }
        let mut ranked: Vec<_> = self.states.iter().map(|state| state.requests).collect();
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        let tenth = ranked[..ranked.len().div_ceil(10)].iter().sum();
        let clients = known.map(|known| self.by_client(known));
        Connections {
            count: count(self.states.len()),
            known: known.map(|known| known.count),
            open_at_start: known.map(|known| known.open_at_start),
            open_at_end: known.map(|known| known.open_at_end),
            clients: known.map(|known| known.clients.len()),
            requests: requests.finish(),
            active_ms: active.finish(),
            lifetime_ms: known.and_then(|known| known.lifetimes.clone().finish()),
            pipeline_depth: self.depth.finish(),
            pipelined: share(self.pipelined, self.requests),
            multi_get_keys: self.keys.finish(),
            busiest_connection: ranked.first().and_then(|&most| share(most, self.requests)),
            busiest_tenth: share(tenth, self.requests),
            busiest_client: clients
                .and_then(|clients| share(*clients.iter().max()?, self.requests)),
        }
    }

    /// Counts the requests of each client.
    fn by_client(&self, known: &KnownConnections) -> Vec<u64> {
        let mut requests = HashMap::<u32, u64>::new();
        for state in &self.states {
            if let Some(&client) = known.client_of.get(&state.id) {
                *requests.entry(client).or_default() += state.requests;
            }
        }
        requests.into_values().collect()
    }
}

impl State {
    /// Counts a request. If it starts a new batch, returns the depth of the previous one.
    fn request(&mut self, operation: &Operation) -> Option<u64> {
        let new_batch = self.requests > 0 && operation.event.batch != self.batch;
        let ended = new_batch.then_some(self.in_batch);
        if self.requests == 0 {
            self.id = operation.event.connection;
            self.first = operation.time;
        }
        self.requests += 1;
        self.last = operation.time;
        self.batch = operation.event.batch;
        self.in_batch = if new_batch { 1 } else { self.in_batch + 1 };
        ended
    }
}
