//! A first pass over the events → what can be sent, what cannot and why, and what must be known beforehand.

pub(crate) mod feeder;
pub mod recording;
pub(crate) mod schedule;
pub mod template;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::Result;
use membench_event::{Command, Event, Outcome, Protocol};

use crate::plan::recording::Events;
use crate::plan::template::Templates;

/// Why requests are not replayed.
mod cause {
    pub(crate) const ADMIN: &str = "admin_command";
    pub(crate) const OTHER: &str = "unknown_command";
    pub(crate) const NO_KEY: &str = "not_replayable_without_key";
    pub(crate) const NO_NUMBER: &str = "not_replayable_without_number";
}

/// Whether a request can be sent, from its first event; else why not.
pub(crate) fn replayable(
    event: &Event,
    allow_admin: bool,
) -> std::result::Result<(), &'static str> {
    use Command as C;
    match event.command {
        C::Other => Err(cause::OTHER),
        // memcached knows no such opcode, and reads more than was sent for it.
        C::Verbosity if event.protocol == Protocol::Binary => Err(cause::OTHER),
        C::FlushAll | C::Verbosity if !allow_admin => Err(cause::ADMIN),
        C::FlushAll | C::Verbosity | C::MetaNoop | C::Stats | C::Version | C::Quit => Ok(()),
        _ if event.key.is_none() || matches!(event.key_size, None | Some(0)) => Err(cause::NO_KEY),
        C::Incr | C::Decr if event.delta.is_none() => Err(cause::NO_NUMBER),
        C::Touch | C::Gat | C::Gats if event.ttl.is_none() => Err(cause::NO_NUMBER),
        _ => Ok(()),
    }
}

/// An item that the target must hold before the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WarmItem {
    /// Bytes of its key.
    pub key_size: u8,
    /// Bytes of its value, from the first event that shows them.
    pub value_size: Option<u32>,
    /// Its client flags, if an event shows them.
    pub flags: u32,
}

/// What is known before the first request is sent.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Events in the recording.
    pub events: u64,
    /// Requests to send.
    pub requests: u64,
    /// Their recorded bytes.
    pub bytes: u64,
    /// Requests not to send, by cause.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Their recorded bytes.
    pub skipped_bytes: BTreeMap<&'static str, u64>,
    /// Keys that are counted with: their values are decimal.
    pub counters: HashSet<u64>,
    /// Ordinals of cas values that requests compare with.
    pub cas_sent: HashSet<u32>,
    /// Connections with requests to send.
    pub connections: HashSet<u32>,
    /// Items that the recording proves present at its start, by key id; empty unless asked for.
    pub warm: HashMap<u64, Option<WarmItem>>,
}

impl Plan {
    /// Reads all events once.
    pub(crate) fn new(
        events: Events<'_>,
        templates: &Templates,
        allow_admin: bool,
        warm: bool,
    ) -> Result<Self> {
        let mut plan = Self::default();
        let mut last = None;
        for event in events {
            let event = event?;
            let request = (event.connection, event.request);
            plan.add(
                &event,
                last.replace(request) != Some(request),
                templates,
                allow_admin,
            );
            if warm {
                plan.add_warm(&event);
            }
        }
        plan.warm.retain(|_, item| item.is_some());
        Ok(plan)
    }

    fn add(&mut self, event: &Event, first: bool, templates: &Templates, allow_admin: bool) {
        self.events += 1;
        let size = u64::from(event.request_size.unwrap_or(0));
        if let Err(cause) = replayable(event, allow_admin) {
            *self.skipped.entry(cause).or_default() += u64::from(first);
            *self.skipped_bytes.entry(cause).or_default() += size;
            return;
        }
        self.requests += u64::from(first);
        self.bytes += size;
        self.connections.insert(event.connection);
        if matches!(
            event.command,
            Command::Incr | Command::Decr | Command::MetaArithmetic
        ) {
            self.counters.extend(event.key);
        }
        let compares = event.command == Command::Cas || templates.get(event.options).compares;
        if compares {
            self.cas_sent.extend(event.cas);
        }
    }

    /// The first event on a key says whether it was there; later ones how large it was.
    fn add_warm(&mut self, event: &Event) {
        let (Some(key), Some(key_size), Some(outcome)) = (event.key, event.key_size, event.outcome)
        else {
            return;
        };
        let shown = event.value_size.filter(|_| outcome == Outcome::Hit);
        let flags = event.flags.unwrap_or(0);
        let item = self.warm.entry(key).or_insert_with(|| {
            proves_present(event.command, outcome, event).then_some(WarmItem {
                key_size,
                value_size: shown,
                flags,
            })
        });
        if let Some(item) = item {
            item.value_size = item.value_size.or(shown);
        }
    }
}

/// Whether an event proves that its key was there before it.
fn proves_present(command: Command, outcome: Outcome, event: &Event) -> bool {
    use Command as C;
    match outcome {
        Outcome::Hit | Outcome::Stale | Outcome::Exists | Outcome::Deleted | Outcome::Touched => {
            true
        }
        Outcome::NotStored => command == C::Add,
        Outcome::Stored => match command {
            C::Replace | C::Append | C::Prepend | C::Cas => true,
            C::Incr | C::Decr | C::MetaArithmetic => event.vivify_ttl.is_none(),
            _ => false,
        },
        _ => false,
    }
}
