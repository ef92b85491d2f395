//! A first pass over the events → the requests to send, those to skip with the cause, and the keys and cas values that
//! sending depends on.

pub(crate) mod expiry;
pub(crate) mod extent;
pub(crate) mod feeder;
pub(crate) mod fills;
pub(crate) mod recording;
pub(crate) mod routes;
pub(crate) mod schedule;
pub(crate) mod share;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use membench_event::{Command, Event, Lookup, Outcome, Protocol};

use crate::make::template::{Template, Templates};
use crate::plan::expiry::{Expiries, ExpiryScale};
use crate::plan::extent::Extent;
use crate::plan::fills::{Fill, FillFinder, FillForm, Fills};
use crate::plan::recording::Events;
use crate::plan::routes::Routes;
use crate::plan::schedule::Pacing;
use crate::plan::share::Share;
use crate::{Error, Observer, Result};

/// Events read before the observer is asked again.
const TURN: u64 = 1 << 16;

/// Causes for skipping a request.
mod skip {
    pub(crate) const ADMIN: &str = "admin_command";
    pub(crate) const OTHER: &str = "unknown_command";
    pub(crate) const RECORDED_FILL: &str = "recorded_fill";
    pub(crate) const OTHER_SERVER: &str = "other_server";
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

/// Choices that a plan depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choices {
    /// Send `flush_all` and `verbosity` as well.
    pub(crate) allow_admin: bool,
    /// Find the items that must be present at the start.
    pub(crate) warm: bool,
    /// How often the requests are sent.
    pub(crate) extent: Extent,
    /// Rule for expiry times.
    pub(crate) expiry: ExpiryScale,
    /// Share of this process.
    pub(crate) share: Share,
    /// Rule for stores that follow misses.
    pub(crate) fill: Fill,
}

/// Plan of a replay, made before the first request is sent. Its counts are of this process's share, and of all rounds and
/// copies.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Templates of the recording's options strings.
    pub(crate) templates: Arc<Templates>,
    /// Target of each connection.
    pub(crate) routes: Routes,
    /// Requests to send to each target.
    pub(crate) requests_of_target: Vec<u64>,
    /// Index of each connection's target, by the connection's number.
    pub(crate) target_of_connection: Vec<u16>,
    /// Choices that the plan was made with.
    pub(crate) choices: Choices,
    /// Requests that can be sent, counted once, of all shares.
    requests_once: u64,
    /// How each key is filled after a miss, with [`Fill::Lookaside`].
    pub(crate) fills: Fills,
    /// Forms of these fills, by their numbers.
    pub(crate) fill_forms: Arc<[FillForm]>,
    /// Largest ordinal of a cas value.
    cas_max: u32,
    /// Expiry times that the choices scale.
    pub(crate) expiries: Expiries,
    /// Recorded times of the first and last requests to send, ns.
    span: Option<(u64, u64)>,
    /// Events in the recording.
    pub(crate) events: u64,
    /// Requests to send.
    pub(crate) requests: u64,
    /// Requests to send in the binary protocol.
    pub(crate) binary_requests: u64,
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
    /// Items that the recording proves present at its start, by target and key id; empty unless warming is asked for.
    pub(crate) warm: HashMap<(u16, u64), Option<WarmItem>>,
}

impl Plan {
    /// Reads all events once, unless `observer` ends the run.
    pub(crate) fn new(
        events: Events<'_>,
        templates: Arc<Templates>,
        routes: Routes,
        choices: Choices,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let mut plan = Self {
            templates,
            requests_of_target: vec![0; routes.targets.len()],
            routes,
            choices,
            ..Self::default()
        };
        let mut last = None;
        let mut finder = FillFinder::default();
        for event in events {
            let event = event?;
            let request = (event.connection, event.request);
            let is_fill = plan.take_fill(&event, &mut finder);
            plan.add(&event, last.replace(request) != Some(request), is_fill);
            if choices.warm {
                plan.add_warm(&event);
            }
            if plan.events.is_multiple_of(TURN) && !observer.goes_on() {
                return Err(Error::Stopped);
            }
        }
        plan.warm.retain(|_, item| item.is_some());
        plan.fill_forms = plan.fills.finish();
        Ok(plan)
    }

    /// Returns `Ok` if the request of `event` can be sent, else the cause for skipping it.
    pub(crate) fn check(&self, event: &Event) -> std::result::Result<(), &'static str> {
        use Command as C;
        if self.routes.target(event.connection).is_none() {
            return Err(skip::OTHER_SERVER);
        }
        match event.command {
            C::Other => Err(skip::OTHER),
            // memcached does not know this opcode, and reads more bytes than the request has.
            C::Verbosity if event.protocol == Protocol::Binary => Err(skip::OTHER),
            C::FlushAll | C::Verbosity if !self.choices.allow_admin => Err(skip::ADMIN),
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
        let Extent { rounds, .. } = self.choices.extent;
        let others = u64::from(rounds.max(1) - 1);
        let recorded = self.span_length() + others.saturating_mul(self.period());
        pacing.length(recorded, self.requests_once * self.choices.extent.times())
    }

    /// Returns the recorded time, ns, from the start of one round to that of the next: the last request of a round and the
    /// first of the next are as far apart as any two are on average.
    pub(crate) fn period(&self) -> u64 {
        self.span_length() + self.distance()
    }

    /// Returns the recorded time between two requests on average, ns.
    pub(crate) fn distance(&self) -> u64 {
        self.span_length() / self.requests_once.max(1)
    }

    /// Returns the recorded time of the first request that can be sent, ns.
    pub(crate) fn first(&self) -> u64 {
        self.span.map_or(0, |(start, _)| start)
    }

    /// Returns the ordinal by which a copy of the clients knows a cas value.
    pub(crate) fn cas_of_copy(&self, ordinal: u32, copy: u32) -> u32 {
        let each = self.cas_max.wrapping_add(1);
        ordinal.wrapping_add(copy.wrapping_mul(each))
    }

    fn span_length(&self) -> u64 {
        self.span
            .map_or(0, |(start, end)| end.saturating_sub(start))
    }

    /// True if an event is a fill that is left out, as fills are sent after the target's own misses. Learns from it how
    /// its key is filled.
    fn take_fill(&mut self, event: &Event, finder: &mut FillFinder) -> bool {
        if self.choices.fill == Fill::Recorded {
            return false;
        }
        let Some(target) = self.routes.target(event.connection) else {
            return false;
        };
        let delay = finder.take(target, event, &self.templates);
        self.fills.learn(target, event, delay, &self.templates);
        delay.is_some()
    }

    /// Returns the number of the fill of an event's key; `None` if the event does not look it up, or fills are sent as
    /// recorded.
    pub(crate) fn fill_of(&self, event: &Event) -> Option<u32> {
        let is_lookup = Lookup::new(event.command, None, false, None).is_some();
        if self.choices.fill == Fill::Recorded || !is_lookup {
            return None;
        }
        let target = self.routes.target(event.connection)?;
        Some(self.fills.number(target, event.key?))
    }

    /// Counts an event; `first` if no event of its request came before, `is_fill` if it is left out as a fill.
    fn add(&mut self, event: &Event, first: bool, is_fill: bool) {
        let Choices { extent, share, .. } = self.choices;
        self.events += 1;
        let size = u64::from(event.request_size.unwrap_or(0));
        let checked = self.check(event);
        let checked = checked.and(if is_fill {
            Err(skip::RECORDED_FILL)
        } else {
            Ok(())
        });
        if let Err(cause) = checked {
            if share.has(event.connection.into()) {
                *self.skipped.entry(cause).or_default() += u64::from(first) * extent.times();
                *self.skipped_bytes.entry(cause).or_default() += size * extent.times();
            }
            return;
        }
        let (start, _) = *self.span.get_or_insert((event.time, event.time));
        self.span = Some((start, event.time));
        let next = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
        let number = *self.connections.entry(event.connection).or_insert(next);
        if number == next {
            let target = self.routes.target(event.connection).unwrap_or(0);
            self.target_of_connection.push(target);
        }
        let times = share.copies(number, extent.copies) * u64::from(extent.rounds.max(1));
        self.requests_once += u64::from(first);
        self.requests += u64::from(first) * times;
        let target = self.target_of_connection.get(number as usize);
        let target = usize::from(target.copied().unwrap_or(0));
        if let Some(requests) = self.requests_of_target.get_mut(target) {
            *requests += u64::from(first) * times;
        }
        let is_binary = first && event.protocol == Protocol::Binary;
        self.binary_requests += u64::from(is_binary) * times;
        self.bytes += size * times;
        let mut expiries = Expiries::default();
        if first {
            self.choices.expiry.count(event, &mut expiries);
        }
        self.expiries.scaled += expiries.scaled * times;
        self.expiries.distorted += expiries.distorted * times;
        self.cas_max = self.cas_max.max(event.cas.unwrap_or(0));
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

    /// Returns the number of connections that this process opens.
    pub(crate) fn connection_count(&self) -> u64 {
        let Choices { extent, share, .. } = self.choices;
        let numbers = self.connections.values();
        numbers
            .map(|number| share.copies(*number, extent.copies))
            .sum()
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
        let Some(target) = self.routes.target(event.connection) else {
            return;
        };
        let template = self.templates.get(event.options);
        let item = self.warm.entry((target, key)).or_insert_with(|| {
            proves_present(event, outcome, template).then_some(WarmItem {
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

/// True if an event proves that its item was present before it; `mode` is that of a meta `set`.
fn proves_present(event: &Event, outcome: Outcome, template: &Template) -> bool {
    use Command as C;
    let mode = template.mode().map(|mode| mode.to_ascii_uppercase());
    match outcome {
        Outcome::Hit | Outcome::Stale | Outcome::Exists | Outcome::Deleted | Outcome::Touched => {
            true
        }
        // The item is due to be refilled; `N` would have made it.
        Outcome::Won => event.vivify_ttl.is_none(),
        Outcome::NotStored => event.command == C::Add || mode == Some(b'E'),
        Outcome::Stored => match event.command {
            C::Replace | C::Append | C::Prepend | C::Cas => true,
            C::MetaSet => {
                template.compares
                    || (matches!(mode, Some(b'A' | b'P' | b'R')) && event.vivify_ttl.is_none())
            }
            C::Incr | C::Decr | C::MetaArithmetic => event.vivify_ttl.is_none(),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use membench_event::OptionsTable;

    use super::*;

    #[test]
    fn every_outcome_that_needs_an_item_proves_it_present() {
        use {Command as C, Outcome as O};
        let mut table = OptionsTable::default();
        let rows = [
            (C::Get, "", O::Hit, None, true),
            (C::Get, "", O::Miss, None, false),
            (C::MetaGet, "v", O::Won, None, true),
            (C::MetaGet, "v N", O::Won, Some(30), false),
            (C::MetaGet, "v", O::Stale, None, true),
            (C::Touch, "", O::Touched, None, true),
            (C::Delete, "", O::Deleted, None, true),
            (C::Add, "", O::NotStored, None, true),
            (C::Replace, "", O::NotStored, None, false),
            (C::Append, "", O::Stored, None, true),
            (C::Set, "", O::Stored, None, false),
            (C::Cas, "", O::Exists, None, true),
            (C::MetaSet, "ME", O::NotStored, None, true),
            (C::MetaSet, "MA", O::Stored, None, true),
            (C::MetaSet, "MA N", O::Stored, Some(30), false),
            (C::MetaSet, "MR", O::Stored, None, true),
            (C::MetaSet, "MR", O::NotStored, None, false),
            (C::MetaSet, "C", O::Stored, None, true),
            (C::MetaSet, "", O::Stored, None, false),
            (C::Incr, "", O::Stored, None, true),
            (C::Incr, "", O::Stored, Some(0), false),
        ];
        for (command, options, outcome, vivify_ttl, expected) in rows {
            let index = table.intern(options).unwrap();
            let event = Event {
                options: index,
                vivify_ttl,
                ..Event::new(command)
            };
            let templates = Templates::new(&table);
            let found = proves_present(&event, outcome, templates.get(index));
            assert_eq!(found, expected, "{command:?} {options} {outcome:?}");
        }
    }
}
