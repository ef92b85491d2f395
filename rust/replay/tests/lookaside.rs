//! A recording of clients that fill their cache after misses → a memcached that holds nothing, or everything.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../decode/tests/memcached/mod.rs"]
mod memcached;

use membench_event::{Command, Event, OptionsTable, Outcome};
use membench_replay::{
    Fill, FillCounts, Options, Progress, Recording, Report, in_memory, run_recording,
};

use memcached::Memcached;

const MILLISECOND: u64 = 1_000_000;

/// Time from the answer without a result to the store, ns.
const DELAY: u64 = 40 * MILLISECOND;

fn event(command: Command, request: u32, key: u64, outcome: Outcome) -> Event {
    Event {
        time: u64::from(request) * 200 * MILLISECOND,
        batch: request,
        request,
        key: Some(key),
        key_size: Some(20),
        outcome: Some(outcome),
        ..Event::new(command)
    }
}

fn hit(request: u32, key: u64, size: u32) -> Event {
    Event {
        value_size: Some(size),
        ..event(Command::Get, request, key, Outcome::Hit)
    }
}

/// Key 1 is filled after a miss, key 2 was there before, key 3 is never found nor stored, key 4 is stored without a miss.
fn recording() -> Recording<'static> {
    let fill = Event {
        time: DELAY,
        value_size: Some(100),
        ttl: Some(60),
        ..event(Command::Set, 1, 1, Outcome::Stored)
    };
    let update = Event {
        value_size: Some(70),
        ttl: Some(0),
        ..event(Command::Set, 4, 4, Outcome::Stored)
    };
    let events = vec![
        event(Command::Get, 0, 1, Outcome::Miss),
        fill,
        hit(2, 2, 50),
        event(Command::Get, 3, 3, Outcome::Miss),
        update,
        hit(5, 1, 100),
        hit(6, 2, 50),
        hit(7, 4, 70),
    ];
    in_memory(events, OptionsTable::default(), Vec::new())
}

fn replay(server: &Memcached, fill: Fill) -> Report {
    let options = Options {
        fill,
        allow_nonempty: true,
        ..Options::default()
    };
    let mut follow = |_: &Progress| true;
    run_recording(&recording(), &server.address(), &options, &mut follow).unwrap()
}

#[test]
fn fills_follow_the_misses_of_the_target_and_not_those_of_the_recording() {
    let server = Memcached::start();
    let empty = replay(&server, Fill::Lookaside);
    assert_eq!(empty.skipped["recorded_fill"], 1);
    let fills = FillCounts {
        scheduled: 2,
        stored: 2,
        unknown: 1,
    };
    assert_eq!(empty.fills, Some(fills), "{empty:#?}");
    // Six gets and an update, and a store after each of two misses.
    assert_eq!((empty.planned, empty.sent, empty.errors), (9, 9, 0));
    assert_eq!(empty.outcomes.replayed["get"]["hit"], 3);
    assert_eq!(empty.outcomes.replayed["set"]["stored"], 1);
    let told = empty.server.unwrap();
    assert!(told.bytes_agree, "{told:#?}");
    assert_eq!(told.counters["cmd_set"], 3);
    assert!(told.bytes_changed["fill"] > 150, "{told:#?}");
    // Everything is there now.
    let full = replay(&server, Fill::Lookaside);
    let none = FillCounts {
        unknown: 1,
        ..FillCounts::default()
    };
    assert_eq!(full.fills, Some(none), "{full:#?}");
    assert_eq!((full.sent, full.outcomes.replayed["get"]["hit"]), (7, 5));
    assert_eq!(full.server.unwrap().counters["cmd_set"], 1);
}

#[test]
fn fills_are_sent_as_recorded_unless_asked_for() {
    let server = Memcached::start();
    for _ in 0..2 {
        let report = replay(&server, Fill::Recorded);
        assert_eq!((report.planned, report.sent, report.fills), (8, 8, None));
        assert_eq!(report.server.unwrap().counters["cmd_set"], 2);
    }
}
