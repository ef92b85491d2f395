//! Events, tables and counts are read as they were written.

use std::os::unix::fs::PermissionsExt;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::State;
use super::*;
use membench_event::Ledger;
use membench_event::{CloseSide, ConnectionRow, LossRow, Transport};

fn any_event() -> impl Strategy<Value = Event> {
    let place = (0..1_u64 << 40, 0..4_u32, 0..4_u32, 0..4_u32);
    let kinds = (
        prop::sample::select(&Command::ALL[..]),
        prop::sample::select(Protocol::ALL),
        0..3_u16,
        option::of(prop::sample::select(Outcome::ALL)),
    );
    let sizes = (
        option::of(any::<u64>()),
        option::of(any::<u8>()),
        option::of(any::<u32>()),
        option::of(any::<u32>()),
    );
    let item = (
        option::of(any::<i32>()),
        option::of(any::<u32>()),
        option::of(any::<u32>()),
        option::of(any::<u8>()),
        option::of(any::<u8>()),
    );
    let rest = (
        option::of(any::<i32>()),
        option::of(any::<i32>()),
        option::of(any::<u8>()),
        option::of(any::<u64>()),
        option::of(any::<u64>()),
    );
    (place, kinds, sizes, item, rest).prop_map(|(place, kinds, sizes, item, rest)| Event {
        time: START + place.0,
        connection: place.1,
        batch: place.2,
        request: place.3,
        command: kinds.0,
        protocol: kinds.1,
        options: Options(kinds.2),
        outcome: kinds.3,
        key: sizes.0,
        key_size: sizes.1,
        value_size: sizes.2,
        request_size: sizes.3,
        ttl: item.0,
        flags: item.1,
        cas: item.2,
        delta_size: item.3,
        initial_size: item.4,
        vivify_ttl: rest.0,
        recache_ttl: rest.1,
        opaque_size: rest.2,
        server_time: rest.3,
        queue_time: rest.4,
    })
}

/// The events in the order of a part, with the resolution of a profile.
fn expected(events: &[Event]) -> Vec<Event> {
    let mut events = events.to_vec();
    events.sort_by_key(|event| (event.time, event.connection, event.batch, event.request));
    for event in &mut events {
        event.time -= event.time % 1000;
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_events_come_back_sorted_and_unchanged(events in vec(any_event(), 0..300)) {
        let (_folder, path) = place();
        let mut options = OptionsTable::default();
        options.intern("noreply").unwrap();
        options.intern("s v q MA").unwrap();
        let profile = sealed(&path, &events, &options);
        let table = profile.options();
        let mut read = read(&profile);
        for event in &mut read {
            let name = table.name(event.options).to_owned();
            event.options = options.intern(&name).unwrap();
        }
        prop_assert_eq!(read, expected(&events));
    }
}

#[test]
fn the_keys_of_one_request_stay_in_order() {
    let (_folder, path) = place();
    let mut events: Vec<Event> = (0..50).map(|_| event(3)).collect();
    for (key, event) in events.iter_mut().enumerate() {
        event.key = Some(1000 - key as u64);
    }
    let profile = sealed(&path, &events, &OptionsTable::default());
    assert_eq!(read(&profile), events);
    assert_eq!(profile.counts().requests, 1);
}

#[test]
fn an_event_before_the_anchor_keeps_its_time() {
    let (_folder, path) = place();
    let mut early = event(0);
    early.time = START - 1_500_000;
    let profile = sealed(&path, &[early], &OptionsTable::default());
    assert_eq!(read(&profile), [early]);
}

#[test]
fn options_that_appear_later_do_not_change_earlier_ones() {
    let (_folder, path) = place();
    let mut options = OptionsTable::default();
    let mut writer = writer(&path, ONE_PART);
    let mut wanted = Vec::new();
    for (number, name) in (0..).zip(["noreply", "v", "s v"]) {
        let mut event = event(number);
        event.options = options.intern(name).unwrap();
        wanted.push(name);
        writer.append(&[event], &options).unwrap();
        writer.flush().unwrap();
    }
    writer.finish(End::default()).unwrap();
    let profile = Profile::open(&path).unwrap();
    let table = profile.options();
    let names: Vec<&str> = profile
        .events()
        .unwrap()
        .map(|event| table.name(event.unwrap().options))
        .collect();
    assert_eq!(names, wanted);
}

#[test]
fn tables_are_read_as_they_were_written() {
    let (_folder, path) = place();
    let end = End {
        connections: vec![
            ConnectionRow {
                connection: 0,
                server: 1,
                client: 2,
                transport: Transport::Tcp6,
                opened: None,
                closed: Some(START + 2_000),
                close_side: Some(CloseSide::Server),
                lost_bytes: 3,
                resyncs: 4,
            },
            ConnectionRow {
                connection: 1,
                server: 0,
                client: 0,
                transport: Transport::Tcp4,
                opened: Some(START),
                closed: None,
                close_side: None,
                lost_bytes: 0,
                resyncs: 0,
            },
        ],
        losses: vec![LossRow {
            time: START + 7_000,
            connection: None,
            cause: "ring_full".into(),
            bytes: 99,
        }],
        ..End::default()
    };
    writer(&path, ONE_PART).finish(end.clone()).unwrap();
    let profile = Profile::open(&path).unwrap();
    assert_eq!(all(profile.connections()), end.connections);
    assert_eq!(all(profile.losses()), end.losses);
    assert_eq!(profile.connection_count().unwrap(), 2);
}

#[test]
fn events_are_counted_by_command_and_outcome_and_as_requests() {
    let (_folder, path) = place();
    let mut events: Vec<Event> = (0..10).map(event).collect();
    events[3].command = Command::Set;
    events[3].outcome = Some(Outcome::Stored);
    events[4].outcome = None;
    events[6] = Event {
        key: Some(1),
        ..events[5]
    };
    let profile = sealed(&path, &events, &OptionsTable::default());
    let counts = profile.counts();
    assert_eq!((counts.events, counts.requests), (10, 9));
    assert_eq!(
        counts.commands,
        [("get".into(), 9), ("set".into(), 1)].into()
    );
    let outcomes = [
        ("hit".into(), 8),
        ("stored".into(), 1),
        ("unknown".into(), 1),
    ];
    assert_eq!(counts.outcomes, outcomes.into());
}

#[test]
fn a_profile_is_complete_only_without_losses() {
    for (lost, complete) in [(0, Some(true)), (1, Some(false))] {
        let (_folder, path) = place();
        let ledger = Ledger {
            missed: lost,
            ..Ledger::default()
        };
        let end = End {
            ledger,
            ..End::default()
        };
        let manifest = writer(&path, ONE_PART).finish(end).unwrap();
        assert_eq!(manifest.ledger.complete, complete);
        assert_eq!(manifest.state, State::Sealed);
    }
}

#[test]
fn only_the_owner_can_read_a_profile() {
    let (_folder, path) = place();
    let mut writer = writer(&path, ONE_PART);
    append(&mut writer, &[event(0)]);
    writer.flush().unwrap();
    let check = || {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o700);
        for name in names(&path) {
            assert_eq!(mode(&path.join(&name)), 0o600, "{name}");
        }
    };
    check();
    writer.finish(End::default()).unwrap();
    check();
    assert_eq!(
        names(&path),
        [
            "connections.parquet",
            "events-000001.parquet",
            "losses.parquet",
            "manifest.json"
        ]
    );
}

#[test]
fn a_folder_that_was_moved_is_still_written() {
    let (_folder, path) = place();
    let mut writer = writer(&path, ONE_PART);
    append(&mut writer, &[event(0)]);
    let moved = path.with_file_name("moved.mb");
    std::fs::rename(&path, &moved).unwrap();
    writer.finish(End::default()).unwrap();
    assert_eq!(read(&Profile::open(&moved).unwrap()), [event(0)]);
}
