//! Events in order → the item of each key as an unlimited memory would hold it. 16 bytes per distinct key.

use super::effect::Effect;
use super::slabs::{Footprint, ItemSize};
use membench_event::{Event, Outcome};

/// Expiry of an item that does not expire, ms.
const NEVER: u32 = u32::MAX;
/// Tick of memcached's clock, ms: an item may expire up to this much before its ttl ends.
const TICK: u32 = 1000;

/// State of a key's item just before an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Before {
    /// The key has not occurred in this recording.
    #[default]
    Unseen,
    /// The key occurred, but no store of it is known.
    NeverStored,
    /// It was stored, and neither removed nor expired since.
    Stored,
    /// Its recorded ttl has ended.
    Expired,
    /// It was deleted.
    Deleted,
    /// A `flush_all` removed it.
    Flushed,
}

/// One event on a key, with its item before and after.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    /// The key's ordinal.
    pub(super) key: usize,
    /// Effect of the event on the item.
    pub(super) effect: Effect,
    /// State of the item before the event.
    pub(super) before: Before,
    /// True if the item is stored after the event.
    pub(super) stored: bool,
    /// True within a second of the end of the recorded ttl: memcached may have expired the item.
    pub(super) expiring: bool,
    /// Footprint and expiry before the event.
    pub(super) old: Item,
    /// Footprint and expiry after the event.
    pub(super) new: Item,
    /// Number of flushes so far.
    pub(super) flushes: u16,
}

/// State kept per key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Item {
    /// Last known value size, bytes, plus 1; 0 if no value was seen.
    value: u32,
    /// Memory that the item takes, bytes; 0 if it was never stored.
    pub(super) footprint: u32,
    /// Expiry, ms since the start; [`NEVER`] if it does not expire.
    expires: u32,
    /// Number of flushes before it was stored.
    flushes: u16,
    state: State,
    /// True if it has client flags other than 0.
    has_flags: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unseen,
    NeverStored,
    Stored,
    Deleted,
    Expired,
    Flushed,
}

impl Item {
    /// Last known value size, bytes.
    pub(super) fn value(&self) -> Option<u32> {
        self.value.checked_sub(1)
    }

    /// Expiry, ms since the start; `None` if it does not expire.
    pub(super) fn expires(&self) -> Option<u32> {
        (self.expires != NEVER).then_some(self.expires)
    }

    fn before(&self, now: u32, flushes: u16) -> Before {
        match self.state {
            State::Unseen => Before::Unseen,
            State::NeverStored => Before::NeverStored,
            State::Deleted => Before::Deleted,
            State::Expired => Before::Expired,
            State::Flushed => Before::Flushed,
            State::Stored if self.flushes != flushes => Before::Flushed,
            State::Stored if self.expires <= now => Before::Expired,
            State::Stored => Before::Stored,
        }
    }

    fn expire(&mut self, now: u32, ttl: Option<i32>) {
        self.expires = match ttl.map(u32::try_from) {
            None | Some(Ok(0)) => NEVER,
            Some(Ok(seconds)) => now
                .saturating_add(seconds.saturating_mul(1000))
                .min(NEVER - 1),
            Some(Err(_)) => now,
        };
    }
}

/// The items of all keys.
pub(super) struct Items {
    footprint: Footprint,
    by_key: Vec<Item>,
    flushes: u16,
    /// Time at which a `flush_all` takes effect, ms since the start.
    flush_at: Option<u32>,
}

impl Items {
    pub(super) fn new(size: ItemSize) -> Self {
        Self {
            footprint: Footprint::new(size),
            by_key: Vec::new(),
            flushes: 0,
            flush_at: None,
        }
    }

    /// Schedules the `flush_all` that came at `time`, ns since the start. The event's ttl is its delay.
    pub(super) fn flush(&mut self, event: &Event, time: u64) {
        let now = milliseconds(time);
        let delay = event
            .ttl
            .and_then(|ttl| u32::try_from(ttl).ok())
            .unwrap_or(0);
        self.flush_at = Some(now.saturating_add(delay.saturating_mul(1000)));
    }

    /// Applies an event at `time`, ns since the start, to the item of a key.
    pub(super) fn access(
        &mut self,
        key: usize,
        effect: Effect,
        event: &Event,
        time: u64,
    ) -> Access {
        let now = milliseconds(time);
        self.flush_if_due(now);
        if key >= self.by_key.len() {
            self.by_key.resize(key + 1, Item::default());
        }
        let old = self.by_key[key];
        let before = old.before(now, self.flushes);
        let mut new = old;
        new.state = after(effect, before, event);
        new.flushes = self.flushes;
        if new.state == State::Stored {
            self.update(&mut new, before, effect, event, now);
        }
        self.by_key[key] = new;
        Access {
            key,
            effect,
            before,
            stored: new.state == State::Stored,
            expiring: before == Before::Stored && old.expires.saturating_sub(TICK) <= now,
            old,
            new,
            flushes: self.flushes,
        }
    }

    /// All items, by the ordinals of their keys.
    pub(super) fn all(&self) -> &[Item] {
        &self.by_key
    }

    fn flush_if_due(&mut self, now: u32) {
        if self.flush_at.is_some_and(|at| at <= now) {
            self.flush_at = None;
            self.flushes = self.flushes.wrapping_add(1);
        }
    }

    fn update(&self, item: &mut Item, before: Before, effect: Effect, event: &Event, now: u32) {
        let was_stored = before == Before::Stored;
        let grown_from = if was_stored { item.value } else { 0 };
        item.value = match (effect, event.value_size) {
            (Effect::Grow, Some(size)) => grown_from.max(1).saturating_add(size),
            (Effect::Read { .. } | Effect::Store | Effect::StoreIf { .. }, Some(size)) => {
                size.saturating_add(1)
            }
            _ => item.value,
        };
        if let (Effect::Store, Some(flags)) = (effect, event.flags) {
            item.has_flags = flags != 0;
        }
        let key_size = event.key_size.unwrap_or(0);
        let value = item.value().unwrap_or(0);
        item.footprint = self.footprint.bytes(key_size, value, item.has_flags);
        match effect {
            Effect::Store | Effect::StoreIf { .. } => item.expire(now, event.ttl),
            Effect::Read { .. } if created(event) => item.expire(now, event.vivify_ttl),
            _ if event.ttl.is_some() => item.expire(now, event.ttl),
            _ if !was_stored => item.expires = NEVER,
            _ => {}
        }
    }
}

/// True if a meta get with `N` missed and so created an empty item.
fn created(event: &Event) -> bool {
    event.vivify_ttl.is_some() && event.value_size.is_none_or(|size| size == 0)
}

fn answered(event: &Event) -> bool {
    event
        .outcome
        .is_some_and(|outcome| outcome != Outcome::Suppressed)
}

fn after(effect: Effect, before: Before, event: &Event) -> State {
    let unchanged = match before {
        Before::Unseen | Before::NeverStored => State::NeverStored,
        Before::Stored => State::Stored,
        Before::Expired => State::Expired,
        Before::Deleted => State::Deleted,
        Before::Flushed => State::Flushed,
    };
    match effect {
        Effect::Store => State::Stored,
        Effect::Grow | Effect::Touch if answered(event) || before == Before::Stored => {
            State::Stored
        }
        Effect::Read { found } if found.unwrap_or(true) || created(event) => State::Stored,
        Effect::StoreIf { absent } if absent != (before == Before::Stored) => State::Stored,
        Effect::Remove if before == Before::Unseen => State::NeverStored,
        Effect::Remove => State::Deleted,
        _ => unchanged,
    }
}

fn milliseconds(nanoseconds: u64) -> u32 {
    u32::try_from(nanoseconds / 1_000_000).unwrap_or(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::event;
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const MISS: Effect = Effect::Read { found: Some(false) };

    fn ttl(ttl: i32) -> Event {
        Event {
            ttl: Some(ttl),
            ..event()
        }
    }

    #[test]
    fn an_item_goes_from_stored_to_expired_when_its_ttl_ends() {
        let mut items = Items::new(ItemSize::KeyAndValue);
        items.access(0, Effect::Store, &ttl(10), 0);
        assert_eq!(
            items.access(0, MISS, &event(), 8 * SECOND).before,
            Before::Stored
        );
        assert!(items.access(0, MISS, &event(), 9 * SECOND).expiring);
        assert_eq!(
            items.access(0, MISS, &event(), 10 * SECOND).before,
            Before::Expired
        );
    }

    #[test]
    fn a_negative_ttl_is_expired_at_once_and_zero_never() {
        let mut items = Items::new(ItemSize::KeyAndValue);
        items.access(0, Effect::Store, &ttl(-1), 0);
        items.access(1, Effect::Store, &ttl(0), 0);
        assert_eq!(items.access(0, MISS, &event(), 1).before, Before::Expired);
        assert_eq!(
            items.access(1, MISS, &event(), u64::MAX).before,
            Before::Stored
        );
    }

    #[test]
    fn a_flush_empties_all_items_after_its_delay() {
        let mut items = Items::new(ItemSize::KeyAndValue);
        items.access(0, Effect::Store, &ttl(0), 0);
        items.flush(&ttl(5), SECOND);
        assert_eq!(
            items.access(0, MISS, &event(), 5 * SECOND).before,
            Before::Stored
        );
        assert_eq!(
            items.access(0, MISS, &event(), 6 * SECOND).before,
            Before::Flushed
        );
    }

    #[test]
    fn a_deleted_key_and_one_never_stored_differ() {
        let mut items = Items::new(ItemSize::KeyAndValue);
        assert_eq!(items.access(0, MISS, &event(), 0).before, Before::Unseen);
        assert_eq!(
            items.access(0, MISS, &event(), 0).before,
            Before::NeverStored
        );
        items.access(0, Effect::Store, &event(), 0);
        items.access(0, Effect::Remove, &event(), 0);
        assert_eq!(items.access(0, MISS, &event(), 0).before, Before::Deleted);
    }
}
