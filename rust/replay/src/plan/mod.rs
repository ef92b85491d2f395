//! A first pass over the events → the requests to send, those to skip with the cause, and the keys and cas values that
//! sending depends on.

pub(crate) mod feeder;
pub(crate) mod recording;
pub(crate) mod schedule;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use membench_event::{Command, Event, Outcome, Protocol};

use crate::make::template::Templates;
use crate::plan::recording::Events;
use crate::plan::schedule::Pacing;
use crate::{Error, Observer, Result};

/// Events read before the observer is asked again.
const TURN: u64 = 1 << 16;

/// Causes for skipping a request.
mod skip {
    pub(crate) const ADMIN: &str = "admin_command";
    pub(crate) const OTHER: &str = "unknown_command";
    pub(crate) const NO_KEY: &str = "not_replayable_without_key";
    pub(crate) const NO_NUMBER: &str = "not_replayable_without_number";
    pub(crate) const TOO_LARGE: &str = "value_too_large";
}

/// Largest value that memcached can be told to take, bytes.
const VALUE_MAX: u32 = 1 << 30;

/// Item that the target must hold before the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WarmItem {
    /// Bytes of the key.
    pub(crate) key_size: u8,
    /// Bytes of the value, from the first hit that shows them.
    pub(crate) value_size: Option<u32>,
    /// Client flags of the first event on the key; 0 if it shows none.
    pub(crate) flags: u32,
}

/// Plan of a replay, made before the first request is sent.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Templates of the recording's options strings.
    pub(crate) templates: Arc<Templates>,
    /// True if `flush_all` and `verbosity` are sent.
    allow_admin: bool,
    /// Recorded times of the first and last requests to send, ns.
    span: Option<(u64, u64)>,
    /// Events in the recording.
    pub(crate) events: u64,
    /// Requests to send.
    pub(crate) requests: u64,
    /// Recorded bytes of the requests to send.
    pub(crate) bytes: u64,
    /// Requests to skip, by cause.
    pub(crate) skipped: BTreeMap<&'static str, u64>,
    /// Recorded bytes of the requests to skip, by cause.
    pub(crate) skipped_bytes: BTreeMap<&'static str, u64>,
    /// Ids of the keys that requests count with; their values are decimal numbers.
    pub(crate) counters: HashSet<u64>,
    /// Ordinals of the cas values that requests compare with.
    pub(crate) cas_sent: HashSet<u32>,
    /// Numbers of the connections with requests to send, by their ordinals, which may be any.
    pub(crate) connections: HashMap<u32, u32>,
    /// Items that the recording proves present at its start, by key id; empty unless warming is asked for.
    pub(crate) warm: HashMap<u64, Option<WarmItem>>,
}

impl Plan {
    /// Reads all events once, unless `observer` ends the run. `warm` asks for the items that must be present at the start.
    pub(crate) fn new(
        events: Events<'_>,
        templates: Arc<Templates>,
        allow_admin: bool,
        warm: bool,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let mut plan = Self {
            templates,
            allow_admin,
            ..Self::default()
        };
        let mut last = None;
        for event in events {
            let event = event?;
            let request = (event.connection, event.request);
            plan.add(&event, last.replace(request) != Some(request));
            if warm {
                plan.add_warm(&event);
            }
            if plan.events.is_multiple_of(TURN) && !observer.goes_on() {
                return Err(Error::Stopped);
            }
        }
        plan.warm.retain(|_, item| item.is_some());
        Ok(plan)
    }

    /// Returns `Ok` if the request of `event` can be sent, else the cause for skipping it.
    pub(crate) fn check(&self, event: &Event) -> std::result::Result<(), &'static str> {
        use Command as C;
        match event.command {
            C::Other => Err(skip::OTHER),
            // memcached does not know this opcode, and reads more bytes than the request has.
            C::Verbosity if event.protocol == Protocol::Binary => Err(skip::OTHER),
            C::FlushAll | C::Verbosity if !self.allow_admin => Err(skip::ADMIN),
            C::FlushAll | C::Verbosity | C::MetaNoop | C::Stats | C::Version | C::Quit => Ok(()),
            _ if event.key.is_none() || matches!(event.key_size, None | Some(0)) => {
                Err(skip::NO_KEY)
            }
            C::Incr | C::Decr if event.delta_size.is_none() => Err(skip::NO_NUMBER),
            C::Touch | C::Gat | C::Gats if event.ttl.is_none() => Err(skip::NO_NUMBER),
            _ if event.command.is_storage() && event.value_size > Some(VALUE_MAX) => {
                Err(skip::TOO_LARGE)
            }
            _ => Ok(()),
        }
    }

    /// Returns the length of the schedule, ns, but for differences in queue time.
    pub(crate) fn length(&self, pacing: Pacing) -> u64 {
        let recorded = self
            .span
            .map_or(0, |(start, end)| end.saturating_sub(start));
        pacing.length(recorded, self.requests)
    }

    /// Counts an event; `first` if no event of its request came before.
    fn add(&mut self, event: &Event, first: bool) {
        self.events += 1;
        let size = u64::from(event.request_size.unwrap_or(0));
        if let Err(cause) = self.check(event) {
            *self.skipped.entry(cause).or_default() += u64::from(first);
            *self.skipped_bytes.entry(cause).or_default() += size;
            return;
        }
        let (start, _) = *self.span.get_or_insert((event.time, event.time));
        self.span = Some((start, event.time));
        self.requests += u64::from(first);
        self.bytes += size;
        let next = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
        self.connections.entry(event.connection).or_insert(next);
        if matches!(
            event.command,
            Command::Incr | Command::Decr | Command::MetaArithmetic
        ) {
            self.counters.extend(event.key);
        }
        let compares = event.command == Command::Cas || self.templates.get(event.options).compares;
        if compares {
            self.cas_sent.extend(event.cas);
        }
    }

    /// Learns from an event what the target must hold at the start. The first event on a key decides if the item was
    /// present; a later hit shows its size.
    fn add_warm(&mut self, event: &Event) {
        let (Some(key), Some(key_size), Some(outcome)) = (event.key, event.key_size, event.outcome)
        else {
            return;
        };
        let is_shown = |size: &u32| outcome == Outcome::Hit && *size <= VALUE_MAX;
        let shown = event.value_size.filter(is_shown);
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

/// True if an event proves that its item was present before it.
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
