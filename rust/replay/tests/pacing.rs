//! Recordings held in memory → a real memcached: closed loops, parts, rounds, copies, late requests and expiry times.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../decode/tests/memcached/mod.rs"]
mod memcached;

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Write};
use std::thread;
use std::time::Duration;

use membench_event::{Command, Event, OptionsTable, Outcome};
use membench_replay::{
    Extent, Late, Lifetime, Options, Pacing, Progress, Recording, Report, in_memory, run_recording,
};

use memcached::Memcached;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

fn event(command: Command, connection: u32, request: u32, key: u64, time: u64) -> Event {
    Event {
        time,
        connection,
        batch: request,
        request,
        key: Some(key),
        key_size: Some(20),
        outcome: Some(Outcome::Miss),
        ..Event::new(command)
    }
}

fn set(connection: u32, request: u32, key: u64, time: u64) -> Event {
    Event {
        value_size: Some(10),
        ttl: Some(0),
        outcome: Some(Outcome::Stored),
        ..event(Command::Set, connection, request, key, time)
    }
}

fn recording(events: Vec<Event>) -> Recording<'static> {
    in_memory(events, OptionsTable::default(), Vec::new())
}

fn replay(server: &Memcached, recording: &Recording<'_>, options: &Options) -> Report {
    let address = server.address();
    let mut follow = |_: &Progress| true;
    run_recording(recording, &address, options, &mut follow).unwrap()
}

/// Fails unless every request was sent and answered as recorded, and is in one counter.
fn assert_all_answered(report: &Report) {
    assert_eq!(report.sent, report.planned, "{report:#?}");
    assert_eq!(report.answered + report.suppressed, report.sent);
    assert_eq!(report.errors, 0, "{report:#?}");
    let server = report.server.as_ref().unwrap();
    assert!(server.bytes_agree, "{server:#?}");
}

fn with_pacing(text: &str) -> Options {
    Options {
        pacing: Pacing::parse(text).unwrap(),
        ..Options::default()
    }
}

/// Makes a recording of one connection that thinks for 100 ms between requests, of which the server takes 10 ms each.
fn thoughtful() -> Recording<'static> {
    let get = |request: u32| Event {
        server_time: Some(10 * MILLISECOND),
        ..event(
            Command::Get,
            0,
            request,
            1,
            u64::from(request) * 110 * MILLISECOND,
        )
    };
    recording((0..6).map(get).collect())
}

#[test]
fn a_closed_loop_thinks_as_long_as_the_recorded_client() {
    let report = replay(&Memcached::start(), &thoughtful(), &with_pacing("closed"));
    assert_all_answered(&report);
    assert!(report.duration_s >= 0.5, "{}", report.duration_s);
    assert!(report.planned_s.abs() < f64::EPSILON);
}

#[test]
fn a_closed_loop_without_thinking_and_the_fastest_one_leave_the_recorded_time_out() {
    let hour = recording(
        (0..4000)
            .map(|index| {
                set(
                    index % 4,
                    index / 4,
                    u64::from(index),
                    u64::from(index) * SECOND,
                )
            })
            .collect(),
    );
    for pacing in ["closed=no-think", "max"] {
        let report = replay(&Memcached::start(), &hour, &with_pacing(pacing));
        assert_all_answered(&report);
        assert!(report.duration_s < 600.0, "{}", report.duration_s);
    }
}

#[test]
fn a_closed_loop_keeps_the_recorded_order_across_connections() {
    // Each key is stored by one connection and then read by another: in any other order some read is a miss.
    let events = (0..2000u32).flat_map(|pair| {
        let time = u64::from(pair) * SECOND;
        let (writer, reader) = (pair % 5, 5 + pair % 3);
        let read = Event {
            outcome: Some(Outcome::Hit),
            value_size: Some(10),
            ..event(Command::Get, reader, pair, pair.into(), time + 1)
        };
        [set(writer, pair, pair.into(), time), read]
    });
    let recording = recording(events.collect());
    let report = replay(
        &Memcached::start(),
        &recording,
        &with_pacing("closed=no-think"),
    );
    assert_all_answered(&report);
    assert_eq!(report.lag_ns.overall.count, 4000);
}

#[test]
fn a_closed_loop_of_requests_without_answers_ends() {
    let mut table = OptionsTable::default();
    let noreply = table.intern("noreply").unwrap();
    let quiet = (0..1000).map(|request| Event {
        options: noreply,
        outcome: Some(Outcome::Suppressed),
        ..set(0, request, 1, u64::from(request) * SECOND)
    });
    let recording = in_memory(quiet.collect(), table, Vec::new());
    for pacing in ["closed=no-think", "max"] {
        let report = replay(&Memcached::start(), &recording, &with_pacing(pacing));
        assert_all_answered(&report);
        assert_eq!(report.suppressed, 1000);
    }
}

#[test]
fn a_part_of_the_recording_is_replayed_without_the_rest() {
    let events = (0..100).map(|index| {
        set(
            index % 3,
            index,
            u64::from(index),
            u64::from(index) * MILLISECOND,
        )
    });
    let lifetimes = (0..3).map(|connection| Lifetime {
        connection,
        opened: Some(0),
        closed: Some(100 * MILLISECOND),
    });
    let recording = in_memory(
        events.collect(),
        OptionsTable::default(),
        lifetimes.collect(),
    );
    let server = Memcached::start();
    let options = Options {
        extent: Extent {
            from: 20 * MILLISECOND,
            until: Some(50 * MILLISECOND),
            ..Extent::default()
        },
        ..Options::default()
    };
    let report = replay(&server, &recording, &options);
    assert_all_answered(&report);
    assert_eq!(report.sent, 30);
    assert_eq!(report.server.unwrap().counters["total_connections"], 3);
    let after = Options {
        extent: Extent {
            from: SECOND,
            ..Extent::default()
        },
        allow_nonempty: true,
        ..Options::default()
    };
    let address = server.address();
    let refused = run_recording(&recording, &address, &after, &mut |_: &Progress| true);
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("none of 0 events")
    );
}

/// Replays a get and then a set of each of ten keys, over and over or by several copies. Returns the report and the
/// numbers of hits and of items.
fn repeat(extent: Extent) -> (Report, u64, usize) {
    let events = (0..10).flat_map(|key| {
        let time = u64::from(key) * 2 * MILLISECOND;
        [
            event(Command::Get, key % 2, key * 2, key.into(), time),
            set(key % 2, key * 2 + 1, key.into(), time + MILLISECOND),
        ]
    });
    let options = Options {
        extent,
        ..Options::default()
    };
    let server = Memcached::start();
    let report = replay(&server, &recording(events.collect()), &options);
    let hits = report.outcomes.replayed["get"].get("hit").copied();
    (report, hits.unwrap_or(0), dump(&server).len())
}

/// Returns a line for each item that the server holds.
fn dump(server: &Memcached) -> Vec<String> {
    let mut client = server.client();
    client.write_all(b"lru_crawler metadump all\r\n").unwrap();
    let lines = BufReader::new(client).lines().map_while(Result::ok);
    lines.take_while(|line| line != "END").collect()
}

#[test]
fn rounds_have_the_same_keys_or_fresh_ones() {
    for (fresh_keys, hits, items) in [(false, 20, 10), (true, 0, 30)] {
        let (report, found, held) = repeat(Extent {
            rounds: 3,
            fresh_keys,
            ..Extent::default()
        });
        assert_all_answered(&report);
        assert_eq!((report.sent, found, held), (60, hits, items));
        let counters = report.server.unwrap().counters;
        assert_eq!(counters["total_connections"], 2);
        assert_eq!(counters["cmd_set"], 30);
        assert!(report.duration_s > 0.059, "{}", report.duration_s);
    }
}

#[test]
fn copies_have_connections_of_their_own_and_keys_that_are_shared_or_not() {
    for shared_keys in [true, false] {
        let (report, hits, items) = repeat(Extent {
            copies: 4,
            shared_keys,
            ..Extent::default()
        });
        assert_all_answered(&report);
        assert_eq!(report.sent, 80);
        let counters = report.server.unwrap().counters;
        assert_eq!(
            (counters["total_connections"], counters["cmd_set"]),
            (8, 40)
        );
        assert!(shared_keys || hits == 0, "{hits} hits");
        assert_eq!(items, if shared_keys { 10 } else { 40 });
    }
}

#[test]
fn copies_keep_cas_values_apart() {
    let cas = |command, request, outcome| Event {
        cas: Some(0),
        value_size: Some(10),
        ttl: Some(0),
        outcome: Some(outcome),
        ..event(
            command,
            0,
            request,
            1,
            u64::from(request) * 50 * MILLISECOND,
        )
    };
    let events = vec![
        set(0, 0, 1, 0),
        cas(Command::Gets, 1, Outcome::Hit),
        cas(Command::Cas, 2, Outcome::Stored),
    ];
    let options = Options {
        extent: Extent {
            copies: 3,
            rounds: 2,
            ..Extent::default()
        },
        ..Options::default()
    };
    let report = replay(&Memcached::start(), &recording(events), &options);
    assert_all_answered(&report);
    assert_eq!(report.unknown_cas, 0);
    assert_eq!(report.outcomes.replayed["cas"]["stored"], 6);
}

#[test]
fn late_requests_are_sent_and_counted_or_dropped_and_counted() {
    let events: Vec<Event> = (0..1000)
        .map(|index| event(Command::Get, 0, index, 1, 0))
        .collect();
    let recording = recording(events);
    for (late, all_sent) in [("send=1ns", true), ("drop=1ns", false)] {
        let options = Options {
            late: Late::parse(late).unwrap(),
            ..Options::default()
        };
        let report = replay(&Memcached::start(), &recording, &options);
        let dropped = report.unsent.get("late").copied().unwrap_or(0);
        assert_eq!(report.sent + dropped, 1000, "{report:#?}");
        assert_eq!(report.answered, report.sent);
        // No request leaves within 1 ns of its time.
        assert_eq!(report.late, report.sent);
        assert_eq!(dropped == 0, all_sent);
        assert_eq!(report.errors, dropped);
        assert!(all_sent || !report.timing_held);
        assert_eq!(report.response_ns.overall.count, 1000);
    }
}

#[test]
fn expiry_times_scale_with_the_speed() {
    let server = Memcached::start();
    let expiring = |request, ttl| Event {
        ttl: Some(ttl),
        ..set(0, request, request.into(), u64::from(request) * MILLISECOND)
    };
    let events = vec![expiring(0, 1000), expiring(1, 14), expiring(2, 0)];
    let report = replay(&server, &recording(events), &with_pacing("speed=4"));
    assert_all_answered(&report);
    let expiries = report.expiries.unwrap();
    assert_eq!((expiries.scaled, expiries.distorted), (2, 1));
    let mut left: Vec<i64> = dump(&server)
        .iter()
        .map(|line| {
            let field = |name: &str| {
                let found = line.split(' ').find_map(|word| word.strip_prefix(name));
                found.unwrap().parse::<i64>().unwrap()
            };
            field("exp=") - field("la=")
        })
        .collect();
    left.sort_unstable();
    // One never expires (-1), one after four seconds; memcached's clock may tick between setting and reading a time.
    assert!(left[0] < 0, "{left:?}");
    assert!((3..=5).contains(&left[1]), "{left:?}");
    assert!((249..=251).contains(&left[2]), "{left:?}");
}

#[test]
fn a_closed_loop_keeps_the_distance_before_the_first_request_of_a_connection_opened_beforehand() {
    let server = Memcached::start();
    let lifetime = |connection| Lifetime {
        connection,
        opened: None,
        closed: None,
    };
    let events = vec![
        event(Command::Get, 0, 0, 1, 0),
        event(Command::Get, 1, 1, 2, 500 * MILLISECOND),
    ];
    let recording = in_memory(
        events,
        OptionsTable::default(),
        vec![lifetime(0), lifetime(1)],
    );
    let report = replay(&server, &recording, &with_pacing("closed"));
    assert_all_answered(&report);
    assert!(report.duration_s >= 0.5, "{}", report.duration_s);
}

#[test]
fn a_closed_loop_waits_for_a_target_that_is_gone_for_a_while() {
    let server = RefCell::new(Memcached::start());
    let address = server.borrow().address();
    // It thinks for four seconds in all, and goes on after the first second.
    let events = (0..400).map(|request| {
        let time = u64::from(request) * 10 * MILLISECOND;
        event(Command::Get, request % 4, request, 1, time)
    });
    let recording = recording(events.collect());
    let restarted = Cell::new(false);
    let mut follow = |_: &Progress| {
        if !restarted.replace(true) {
            server.borrow().kill();
            thread::sleep(Duration::from_millis(300));
            let again = Memcached::start_at(server.borrow().port());
            server.replace(again);
        }
        true
    };
    let report = run_recording(&recording, &address, &with_pacing("closed"), &mut follow).unwrap();
    assert!(restarted.get());
    let unsent: u64 = report.unsent.values().sum();
    assert_eq!(report.sent + unsent, report.planned);
    // At most what was on its way on each connection is lost.
    assert!(report.planned - report.answered <= 4, "{report:#?}");
}
