//! Lookups without a result and the stores that follow them → how clients fill their cache, and which stores they did it by.

use std::collections::HashMap;
use std::sync::Arc;

use membench_event::{Command, Event, Lookup, Options, Protocol};

use crate::make::template::Templates;

/// Longest time between a miss and the store that fills it, ns. A later store has another reason.
const LONGEST: u64 = 10_000_000_000;

/// Number of a key without a known value: a miss of it cannot be filled.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// Stores that follow misses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fill {
    /// Sent as they were recorded, whatever the target finds.
    #[default]
    Recorded,
    /// Sent after each miss at the target, and only then, as the clients of a look-aside cache do.
    Lookaside,
}

impl Fill {
    /// Parses `recorded` or `lookaside`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "recorded" => Some(Self::Recorded),
            "lookaside" => Some(Self::Lookaside),
            _ => None,
        }
    }
}

/// Store that fills a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FillForm {
    pub(crate) command: Command,
    pub(crate) protocol: Protocol,
    pub(crate) options: Options,
    pub(crate) value_size: u32,
    pub(crate) flags: u32,
    pub(crate) ttl: Option<i32>,
    /// Time from the answer to the store, ns; until the whole recording is known, `None` without one of this key.
    delay: Option<u64>,
}

impl FillForm {
    /// Returns the time from the answer without a result to the store, ns.
    pub(crate) fn delay(&self) -> u64 {
        self.delay.unwrap_or(0)
    }

    /// Makes the form of a store, or of one that a hit shows to be possible.
    fn of(event: &Event, templates: &Templates) -> Option<Self> {
        let value_size = event.value_size?;
        if is_whole_store(event, templates) {
            return Some(Self {
                command: event.command,
                protocol: event.protocol,
                options: event.options,
                value_size,
                flags: event.flags.unwrap_or(0),
                ttl: event.ttl,
                delay: None,
            });
        }
        let is_hit = lookup(event) == Some(Lookup::Hit);
        is_hit.then(|| Self {
            command: match event.protocol {
                Protocol::Meta => Command::MetaSet,
                Protocol::Text | Protocol::Binary => Command::Set,
            },
            protocol: event.protocol,
            options: Options::default(),
            value_size,
            flags: event.flags.unwrap_or(0),
            ttl: (event.protocol != Protocol::Meta).then_some(0),
            delay: None,
        })
    }
}

/// True for a store of a whole value that needs no item.
fn is_whole_store(event: &Event, templates: &Templates) -> bool {
    match event.command {
        Command::Set | Command::Add => true,
        Command::MetaSet => {
            let template = templates.get(event.options);
            !template.compares && matches!(template.mode(), None | Some(b'S' | b's' | b'E' | b'e'))
        }
        _ => false,
    }
}

fn lookup(event: &Event) -> Option<Lookup> {
    let creates = event.vivify_ttl.is_some();
    Lookup::new(event.command, event.outcome, creates, event.value_size)
}

/// Finder of the stores that fill, in events in order. Two finders that take the same events find the same stores.
#[derive(Debug, Default)]
pub(crate) struct FillFinder {
    /// Time of the last answer without a result, by target and key.
    missed: HashMap<(u16, u64), u64>,
}

impl FillFinder {
    /// Takes the next event. Returns the time since the miss, ns, if it fills one.
    pub(crate) fn take(
        &mut self,
        target: u16,
        event: &Event,
        templates: &Templates,
    ) -> Option<u64> {
        let key = (target, event.key?);
        match lookup(event) {
            Some(Lookup::Miss) => {
                let answered = event.time.saturating_add(event.server_time.unwrap_or(0));
                self.missed.insert(key, answered);
                None
            }
            Some(Lookup::Hit) => {
                self.missed.remove(&key);
                None
            }
            _ if is_whole_store(event, templates) => {
                let delay = event.time.saturating_sub(self.missed.remove(&key)?);
                (delay <= LONGEST).then_some(delay)
            }
            _ => None,
        }
    }
}

/// Forms of the stores that fill, by target and key.
#[derive(Debug, Default)]
pub(crate) struct Fills {
    numbers: HashMap<(u16, u64), u32>,
    forms: Vec<FillForm>,
}

impl Fills {
    /// Learns the form of a key's fills from an event; `delay` is that of a fill. A store tells more than a hit.
    pub(crate) fn learn(
        &mut self,
        target: u16,
        event: &Event,
        delay: Option<u64>,
        templates: &Templates,
    ) {
        let (Some(key), Some(form)) = (event.key, FillForm::of(event, templates)) else {
            return;
        };
        let next = u32::try_from(self.forms.len()).unwrap_or(UNKNOWN);
        let number = *self.numbers.entry((target, key)).or_insert(next);
        if number == next {
            self.forms.push(form);
        }
        if let Some(known) = self.forms.get_mut(number as usize)
            && is_whole_store(event, templates)
        {
            let delay = known.delay.or(delay);
            *known = FillForm { delay, ..form };
        }
    }

    /// Gives keys without a delay of their own the median delay, and returns all forms.
    pub(crate) fn finish(&mut self) -> Arc<[FillForm]> {
        let mut delays: Vec<u64> = self.forms.iter().filter_map(|form| form.delay).collect();
        delays.sort_unstable();
        let median = delays.get(delays.len() / 2).copied().unwrap_or(0);
        for form in &mut self.forms {
            form.delay.get_or_insert(median);
        }
        std::mem::take(&mut self.forms).into()
    }

    /// Returns the number of a key's form, or [`UNKNOWN`].
    pub(crate) fn number(&self, target: u16, key: u64) -> u32 {
        self.numbers.get(&(target, key)).copied().unwrap_or(UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use membench_event::{OptionsTable, Outcome};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn event(command: Command, outcome: Outcome, time: u64) -> Event {
        Event {
            key: Some(7),
            value_size: (outcome != Outcome::Miss).then_some(100),
            outcome: Some(outcome),
            server_time: Some(5),
            time,
            ..Event::new(command)
        }
    }

    #[test]
    fn a_store_after_a_miss_fills_it_unless_something_came_between() {
        use {Command as C, Outcome as O};
        let miss = |time| event(C::Get, O::Miss, time);
        let set = |time| event(C::Set, O::Stored, time);
        let table: [(&[Event], Option<u64>); 6] = [
            (&[miss(10), set(40)], Some(25)),
            (&[miss(10), event(C::Add, O::NotStored, 40)], Some(25)),
            (&[set(40)], None),
            (&[miss(10), set(20), set(40)], None),
            (&[miss(10), event(C::Get, O::Hit, 20), set(40)], None),
            (&[miss(10), set(11 * SECOND)], None),
        ];
        let templates = Templates::new(&OptionsTable::default());
        for (events, expected) in table {
            let mut finder = FillFinder::default();
            let last = events
                .iter()
                .map(|event| finder.take(0, event, &templates))
                .last();
            assert_eq!(last, Some(expected), "{events:?}");
        }
    }

    #[test]
    fn the_last_store_of_a_key_is_how_it_is_filled() {
        let templates = Templates::new(&OptionsTable::default());
        let mut fills = Fills::default();
        let set = |key, size, ttl| Event {
            key: Some(key),
            value_size: Some(size),
            ttl: Some(ttl),
            ..event(Command::Set, Outcome::Stored, 0)
        };
        fills.learn(0, &set(1, 10, 60), Some(300), &templates);
        fills.learn(0, &set(1, 20, 70), None, &templates);
        let hit = Event {
            key: Some(2),
            ..event(Command::Get, Outcome::Hit, 0)
        };
        fills.learn(0, &hit, None, &templates);
        fills.learn(1, &set(1, 30, 80), Some(500), &templates);
        let forms = fills.finish();
        let told = |target, key| {
            let form = forms.get(fills.number(target, key) as usize)?;
            Some((form.value_size, form.ttl, form.delay()))
        };
        assert_eq!(told(0, 1), Some((20, Some(70), 300)));
        assert_eq!(told(0, 2), Some((100, Some(0), 500)));
        assert_eq!(told(1, 1), Some((30, Some(80), 500)));
        assert_eq!(told(1, 2), None);
    }
}
