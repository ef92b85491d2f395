//! Recordings held in memory → a real memcached: outcomes, counts and bytes of a replay are those recorded.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../decode/tests/memcached/mod.rs"]
mod memcached;

use membench_event::{Command, Event, OptionsTable, Outcome, Protocol};
use membench_replay::{
    Lifetime, Options, Pacing, Progress, Recording, Report, in_memory, run_recording,
};

use memcached::Memcached;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;

fn event(command: Command, connection: u32, request: u32, time: u64) -> Event {
    Event {
        time,
        connection,
        batch: request,
        request,
        ..Event::new(command)
    }
}

fn keyed(command: Command, request: u32, key: u64, outcome: Outcome) -> Event {
    Event {
        key: Some(key),
        key_size: Some(20),
        outcome: Some(outcome),
        ..event(command, 0, request, u64::from(request) * 20 * MILLISECOND)
    }
}

fn set(request: u32, key: u64, size: u32) -> Event {
    Event {
        value_size: Some(size),
        ttl: Some(0),
        flags: Some(7),
        ..keyed(Command::Set, request, key, Outcome::Stored)
    }
}

/// Makes a conditional or counting command, with every argument that any such command takes.
fn with(command: Command, request: u32, key: u64, outcome: Outcome) -> Event {
    Event {
        value_size: Some(3),
        ttl: Some(100),
        delta_size: Some(1),
        flags: Some(0),
        ..keyed(command, request, key, outcome)
    }
}

fn recording(events: Vec<Event>) -> Recording<'static> {
    in_memory(events, OptionsTable::default(), Vec::new())
}

fn replay(server: &Memcached, recording: &Recording<'_>, options: &Options) -> Report {
    run_recording(
        recording,
        &server.address(),
        options,
        &mut |_: &Progress| true,
    )
    .unwrap()
}

fn assert_clean(report: &Report) {
    assert_eq!(report.sent, report.planned, "{report:#?}");
    assert_eq!(report.errors, 0, "{report:#?}");
    assert_eq!(report.answered + report.suppressed, report.sent);
    let differences = &report.outcomes.differences;
    assert!(differences.is_empty(), "{differences:#?}");
    let server = report.server.as_ref().unwrap();
    assert!(server.bytes_agree, "{server:#?}");
}

#[test]
fn outcomes_of_every_text_command_are_those_recorded() {
    let server = Memcached::start();
    let cas = |request, outcome| Event {
        cas: Some(3),
        ..with(Command::Cas, request, 1, outcome)
    };
    let plain = |command, request| Event {
        outcome: Some(Outcome::Ok),
        ..event(command, 0, request, 420 * MILLISECOND)
    };
    let events = vec![
        keyed(Command::Get, 0, 1, Outcome::Miss),
        set(1, 1, 100),
        keyed(Command::Get, 2, 1, Outcome::Hit),
        Event {
            cas: Some(3),
            ..keyed(Command::Gets, 3, 1, Outcome::Hit)
        },
        cas(4, Outcome::Stored),
        cas(5, Outcome::Exists),
        with(Command::Add, 6, 1, Outcome::NotStored),
        with(Command::Replace, 7, 1, Outcome::Stored),
        with(Command::Append, 8, 1, Outcome::Stored),
        with(Command::Prepend, 9, 2, Outcome::NotStored),
        with(Command::Touch, 10, 1, Outcome::Touched),
        with(Command::Gat, 11, 1, Outcome::Hit),
        with(Command::Gats, 12, 2, Outcome::Miss),
        set(13, 3, 2),
        with(Command::Incr, 14, 3, Outcome::Stored),
        with(Command::Decr, 15, 3, Outcome::Stored),
        with(Command::Incr, 16, 4, Outcome::NotFound),
        keyed(Command::Delete, 17, 1, Outcome::Deleted),
        keyed(Command::Delete, 18, 1, Outcome::NotFound),
        plain(Command::Version, 19),
        plain(Command::Stats, 20),
    ];
    let report = replay(&server, &recording(events), &Options::default());
    assert_clean(&report);
    assert_eq!((report.sent, report.unknown_cas), (21, 0));
    let counters = &report.server.unwrap().counters;
    assert_eq!((counters["cmd_get"], counters["cmd_touch"]), (3, 3));
}

#[test]
fn a_multi_get_is_one_request_with_an_outcome_for_each_key() {
    let server = Memcached::start();
    let mut events: Vec<_> = (0..34)
        .map(|index| set(index, u64::from(index) * 3, 10))
        .collect();
    events.extend((0..100).map(|key| {
        let outcome = if key % 3 == 0 {
            Outcome::Hit
        } else {
            Outcome::Miss
        };
        Event {
            time: 800 * MILLISECOND,
            ..keyed(Command::Get, 40, key, outcome)
        }
    }));
    let report = replay(&server, &recording(events), &Options::default());
    assert_clean(&report);
    assert_eq!(report.sent, 35);
    assert_eq!(report.response_ns.by_command["mget"].count, 1);
    assert_eq!(report.outcomes.replayed["get"]["hit"], 34);
}

#[test]
fn quiet_and_noreply_requests_are_settled_by_the_next_answer() {
    let server = Memcached::start();
    let mut options = OptionsTable::default();
    let noreply = options.intern("noreply").unwrap();
    let quiet_get = options.intern("v q O").unwrap();
    let quiet_set = options.intern("q T F").unwrap();
    let get = |request, key, outcome| Event {
        options: quiet_get,
        opaque_size: Some(4),
        ..keyed(Command::MetaGet, request, key, outcome)
    };
    let suppressed = |command, options, event| Event {
        command,
        options,
        outcome: Some(Outcome::Suppressed),
        ..event
    };
    let events = vec![
        suppressed(Command::Set, noreply, set(0, 1, 50)),
        suppressed(Command::MetaSet, quiet_set, set(1, 2, 50)),
        get(2, 9, Outcome::Suppressed),
        get(3, 2, Outcome::Hit),
        get(4, 1, Outcome::Hit),
        Event {
            outcome: Some(Outcome::Ok),
            ..event(Command::MetaNoop, 0, 5, 100 * MILLISECOND)
        },
    ];
    let recording = in_memory(events, options, Vec::new());
    let report = replay(&server, &recording, &Options::default());
    assert_clean(&report);
    assert_eq!((report.answered, report.suppressed), (3, 3));
}

#[test]
fn binary_requests_are_sent_as_recorded_and_quiet_ones_are_settled() {
    use Command as C;
    use Outcome as O;
    let server = Memcached::start();
    let mut options = OptionsTable::default();
    let [plain, quiet, key, both] = ["", "q", "k", "q k"].map(|text| options.intern(text).unwrap());
    let rows = [
        (C::Set, plain, 1, O::Stored),
        (C::Add, quiet, 1, O::NotStored),
        (C::Set, quiet, 2, O::Suppressed),
        (C::Get, key, 1, O::Hit),
        (C::Get, both, 3, O::Suppressed),
        (C::Get, both, 2, O::Hit),
        (C::Gat, quiet, 3, O::Suppressed),
        (C::Append, quiet, 3, O::NotStored),
        (C::Touch, plain, 2, O::Touched),
        (C::Incr, plain, 4, O::Stored),
        (C::Decr, quiet, 4, O::Suppressed),
        (C::Delete, quiet, 5, O::NotFound),
        (C::Get, quiet, 4, O::Hit),
    ];
    let mut events: Vec<_> = (0..)
        .zip(rows)
        .map(|(request, (command, options, key, outcome))| Event {
            protocol: Protocol::Binary,
            options,
            initial_size: Some(1),
            vivify_ttl: Some(0),
            ..with(command, request, key, outcome)
        })
        .collect();
    events.push(Event {
        protocol: Protocol::Binary,
        outcome: Some(O::Ok),
        ..event(C::MetaNoop, 0, 13, 300 * MILLISECOND)
    });
    let recording = in_memory(events, options, Vec::new());
    let report = replay(&server, &recording, &Options::default());
    assert_clean(&report);
    assert_eq!((report.answered, report.suppressed), (10, 4));
}

#[test]
fn an_answer_that_fits_several_quiet_requests_leaves_their_outcomes_open() {
    let server = Memcached::start();
    let mut options = OptionsTable::default();
    let add = options.intern("q ME").unwrap();
    let add_with_key = options.intern("q k ME").unwrap();
    let quiet = |options, request, key, outcome| Event {
        command: Command::MetaSet,
        options,
        outcome,
        batch: 0,
        time: 0,
        ..set(request, key, 5)
    };
    let noop = |request| Event {
        outcome: Some(Outcome::Ok),
        batch: 0,
        ..event(Command::MetaNoop, 0, request, 0)
    };
    let suppressed = Some(Outcome::Suppressed);
    let refused = Some(Outcome::NotStored);
    let events = vec![
        // One of two requests is refused, then both of two, then one of two whose answer repeats its key.
        quiet(add, 0, 1, None),
        quiet(add, 1, 1, None),
        noop(2),
        quiet(add, 3, 1, refused),
        quiet(add, 4, 1, refused),
        noop(5),
        quiet(add_with_key, 6, 2, suppressed),
        quiet(add_with_key, 7, 1, refused),
        noop(8),
    ];
    let recording = in_memory(events, options, Vec::new());
    let report = replay(&server, &recording, &Options::default());
    assert_clean(&report);
    let replayed = &report.outcomes.replayed["ms"];
    assert_eq!((replayed["not_seen"], replayed["not_stored"]), (2, 3));
}

#[test]
fn refused_requests_are_refused_again_without_breaking_the_framing() {
    let server = Memcached::start();
    let events = vec![
        Event {
            outcome: Some(Outcome::ServerError),
            ..set(0, 1, 2_000_000)
        },
        Event {
            key_size: Some(251),
            value_size: None,
            outcome: Some(Outcome::ClientError),
            ..set(1, 2, 0)
        },
        Event {
            key_size: Some(251),
            ..keyed(Command::Get, 2, 2, Outcome::ClientError)
        },
        set(3, 4, 1_000_000),
        keyed(Command::Get, 4, 4, Outcome::Hit),
    ];
    assert_clean(&replay(&server, &recording(events), &Options::default()));
}

#[test]
fn warm_stores_what_the_recording_proves_present() {
    let server = Memcached::start();
    let events = vec![
        Event {
            value_size: Some(300),
            ..keyed(Command::Get, 0, 1, Outcome::Hit)
        },
        keyed(Command::Delete, 1, 2, Outcome::Deleted),
        keyed(Command::Get, 2, 3, Outcome::Miss),
        with(Command::Incr, 3, 4, Outcome::Stored),
    ];
    let options = Options {
        warm: true,
        ..Options::default()
    };
    let report = replay(&server, &recording(events), &options);
    assert_clean(&report);
    let warm = report.warm.unwrap();
    assert_eq!((warm.keys, warm.refused), (3, 0));
}

#[test]
fn a_target_with_items_is_refused() {
    let server = Memcached::start();
    let fill = recording(vec![set(0, 1, 10)]);
    replay(&server, &fill, &Options::default());
    let refused = run_recording(
        &fill,
        &server.address(),
        &Options::default(),
        &mut |_: &Progress| true,
    );
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("holds 1 items and has 0 clients"),
        "{message}"
    );
    let allowed = Options {
        allow_nonempty: true,
        ..Options::default()
    };
    assert_clean(&replay(&server, &fill, &allowed));
}

#[test]
fn a_target_with_clients_is_refused() {
    let server = Memcached::start();
    let client = server.client();
    let fill = recording(vec![set(0, 1, 10)]);
    let refused = run_recording(
        &fill,
        &server.address(),
        &Options::default(),
        &mut |_: &Progress| true,
    );
    drop(client);
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("holds 0 items and has 1 clients"),
        "{message}"
    );
}

#[test]
fn requests_that_cannot_be_sent_are_skipped_and_counted() {
    let server = Memcached::start();
    let events = vec![
        event(Command::Other, 0, 0, 0),
        event(Command::FlushAll, 0, 1, 0),
        event(Command::Get, 0, 2, 0),
        set(3, 1, 10),
    ];
    let report = replay(&server, &recording(events), &Options::default());
    assert_clean(&report);
    let skipped: Vec<_> = report.skipped.into_iter().collect();
    let expected = [
        ("admin_command", 1),
        ("not_replayable_without_key", 1),
        ("unknown_command", 1),
    ];
    assert_eq!(skipped, expected);
}

#[test]
fn differences_in_size_from_the_recording_have_a_reason() {
    let server = Memcached::start();
    let sized = |size, event| Event {
        request_size: Some(size),
        ..event
    };
    // `gets KEY`, `cas KEY 0 100 3 TOKEN` with a value, `get KEY` with two extra spaces, and `stats settings`.
    let events = vec![
        sized(10, event(Command::FlushAll, 0, 0, 0)),
        sized(45, set(1, 1, 10)),
        Event {
            cas: Some(3),
            ..sized(27, keyed(Command::Gets, 2, 1, Outcome::Hit))
        },
        Event {
            cas: Some(3),
            ..sized(60, with(Command::Cas, 3, 1, Outcome::Stored))
        },
        sized(28, keyed(Command::Get, 4, 1, Outcome::Hit)),
        Event {
            outcome: Some(Outcome::Ok),
            ..sized(16, event(Command::Stats, 0, 5, 200 * MILLISECOND))
        },
    ];
    let recorded: i64 = 10 + 45 + 27 + 60 + 28 + 16;
    let report = replay(&server, &recording(events), &Options::default());
    assert_clean(&report);
    let server = report.server.unwrap();
    let written = i64::try_from(server.bytes_written_by_replay).unwrap();
    let changed: i64 = server.bytes_changed.values().sum();
    assert_eq!(recorded - 10 + changed, written, "{server:#?}");
    let causes: Vec<_> = server.bytes_changed.keys().copied().collect();
    assert_eq!(causes, ["arguments", "cas_token", "other"]);
    assert_eq!(server.bytes_changed["other"], -2);
    assert_eq!(server.bytes_not_replayed["admin_command"], 10);
}

#[test]
fn connections_open_and_close_as_recorded() {
    let server = Memcached::start();
    let at = |connection: u32| u64::from(connection) * MILLISECOND;
    let events = (0..20).map(|connection| Event {
        connection,
        time: at(connection),
        ..keyed(Command::Get, 0, 1, Outcome::Miss)
    });
    let lifetimes = (0..20).map(|connection| Lifetime {
        connection,
        opened: (connection > 4).then_some(at(connection)),
        closed: Some(at(connection + 2)),
    });
    let recording = in_memory(
        events.collect(),
        OptionsTable::default(),
        lifetimes.collect(),
    );
    let report = replay(&server, &recording, &Options::default());
    assert_clean(&report);
    assert_eq!(report.server.unwrap().counters["total_connections"], 20);
    assert_eq!(report.reconnects, 0);
}

#[test]
fn two_threads_share_the_connections() {
    let server = Memcached::start();
    let events = (0..4000u32).map(|index| Event {
        connection: index % 8,
        batch: index / 8,
        time: u64::from(index) * 20 * MICROSECOND,
        ..keyed(Command::Get, index / 8, u64::from(index), Outcome::Miss)
    });
    let options = Options {
        threads: 2,
        ..Options::default()
    };
    let report = replay(&server, &recording(events.collect()), &options);
    assert_clean(&report);
    assert_eq!(report.generator.threads, 2);
}

#[test]
fn a_target_that_dies_leaves_every_request_counted() {
    let server = Memcached::start();
    let events = (0..4000u32).map(|index| Event {
        time: u64::from(index) * MILLISECOND,
        ..keyed(Command::Get, index, 1, Outcome::Miss)
    });
    let mut seconds = 0;
    let mut each_second = |progress: &Progress| {
        assert_eq!(progress.planned, 4000);
        if seconds == 0 {
            server.kill();
        }
        seconds += 1;
        seconds < 3
    };
    let recording = recording(events.collect());
    let report = run_recording(
        &recording,
        &server.address(),
        &Options::default(),
        &mut each_second,
    );
    let report = report.unwrap();
    let unsent: u64 = report.unsent.values().sum();
    let unanswered: u64 = report.unanswered.values().sum();
    assert!(report.stopped && report.server.is_none());
    assert_eq!(report.sent + unsent, 4000);
    assert_eq!(report.answered + unanswered, report.sent);
    assert!(
        report.unsent["connection_refused"] > 0,
        "{:?}",
        report.unsent
    );
}

#[test]
fn a_rate_replaces_the_recorded_times() {
    let server = Memcached::start();
    let events = (0..1000).map(|index| keyed(Command::Get, index, 1, Outcome::Miss));
    let options = Options {
        pacing: Pacing::parse("rate=1000/s").unwrap(),
        ..Options::default()
    };
    let report = replay(&server, &recording(events.collect()), &options);
    assert_clean(&report);
    assert!(report.duration_s > 0.99, "{}", report.duration_s);
}
