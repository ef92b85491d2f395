//! Synthetic events for tests.

use membench_event::{Command, Event, Outcome};

/// A get without a key or a response.
pub(super) fn event() -> Event {
    Event::new(Command::Get)
}

/// A get that hit, or missed if it has no size: the `request`th of its connection, one a millisecond.
pub(super) fn get(request: u32, key: u64, value_size: Option<u32>) -> Event {
    Event {
        time: u64::from(request) * 1_000_000,
        batch: request,
        request,
        key: Some(key),
        key_size: Some(10),
        value_size,
        outcome: Some(value_size.map_or(Outcome::Miss, |_| Outcome::Hit)),
        ..event()
    }
}

/// A set that was stored.
pub(super) fn set(request: u32, key: u64, value_size: u32, ttl: i32) -> Event {
    Event {
        command: Command::Set,
        ttl: Some(ttl),
        flags: Some(0),
        outcome: Some(Outcome::Stored),
        ..get(request, key, Some(value_size))
    }
}
