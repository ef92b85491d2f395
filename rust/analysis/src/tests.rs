//! Whole passes over synthetic events.

use super::synthetic::{event, get, set};
use super::*;
use membench_event::{Command, Outcome};

fn analyzed(events: &[Event]) -> Analysis {
    let events = events.iter().copied().map(Ok);
    analyze_events(events, &Context::default(), &Options::default()).expect("asked for")
}

#[test]
fn a_get_of_several_keys_is_one_mget() {
    let mget = |key| Event {
        request: 1,
        ..get(5, key, Some(7))
    };
    let analysis = analyzed(&[get(0, 1, Some(7)), mget(1), mget(2), mget(3)]);
    let commands: Vec<_> = analysis
        .commands
        .expect("asked for")
        .iter()
        .map(|it| (it.command, it.requests, it.events))
        .collect();
    assert_eq!(commands, [("get", 1, 1), ("mget", 1, 3)]);
    assert_eq!(analysis.requests.expect("asked for").count, 2);
    let keys = analysis
        .connections
        .expect("asked for")
        .multi_get_keys
        .expect("asked for");
    assert_eq!((keys.count, keys.max), (1, 3));
}

#[test]
fn hits_are_counted_by_command_without_reads_of_unseen_outcome() {
    let unseen = Event {
        outcome: None,
        ..get(3, 1, None)
    };
    let hits = analyzed(&[get(0, 1, None), set(1, 1, 5, 0), get(2, 1, Some(5)), unseen])
        .hits
        .expect("asked for");
    assert_eq!((hits.all.reads, hits.all.hits, hits.all.unseen), (2, 1, 1));
    assert_eq!(hits.all.ratio, Some(0.5));
    assert_eq!(hits.by_command.len(), 1);
}

#[test]
fn every_miss_has_the_cause_the_recording_proves() {
    let delete = Event {
        command: Command::Delete,
        outcome: Some(Outcome::Deleted),
        ..get(5, 3, None)
    };
    let flush = Event {
        command: Command::FlushAll,
        outcome: Some(Outcome::Ok),
        key: None,
        ..get(30_000, 0, None)
    };
    let misses = analyzed(&[
        get(0, 1, None),
        get(1, 1, None),
        set(2, 2, 5, 10),
        set(3, 3, 5, 0),
        set(4, 4, 5, 0),
        delete,
        get(6, 3, None),
        get(7, 4, None),
        get(12_000, 2, None),
        flush,
        get(30_001, 4, None),
    ])
    .misses
    .expect("asked for");
    let expected = Misses {
        count: 6,
        first_seen: 1,
        expired: 1,
        deleted: 1,
        flushed: 1,
        never_stored: 1,
        other: 1,
    };
    assert_eq!(misses, expected);
}

#[test]
fn popularity_counts_reads_and_lists_the_hottest_key() {
    let keys = analyzed(&[
        set(0, 9, 1, 0),
        get(1, 7, Some(1)),
        get(2, 7, Some(1)),
        get(3, 7, Some(1)),
        get(4, 8, Some(1)),
    ])
    .keys
    .expect("asked for");
    assert_eq!(
        (keys.distinct, keys.used, keys.uses, keys.counted),
        (3, 2, 4, "reads")
    );
    assert_eq!(keys.used_once, Some(0.5));
    assert_eq!(keys.used_times[..3], [0.5, 0.0, 0.5]);
    assert_eq!(
        (keys.hottest[0].key.as_str(), keys.hottest[0].uses),
        ("0000000000000007", 3)
    );
}

#[test]
fn requests_of_one_read_are_one_batch() {
    let get = |request, batch| Event {
        batch,
        ..get(request, 1, Some(1))
    };
    let events = [get(0, 0), get(1, 1), get(2, 1), get(3, 1), get(4, 2)];
    let connections = analyzed(&events).connections.expect("asked for");
    let depth = connections.pipeline_depth.expect("asked for");
    assert_eq!((depth.count, depth.p50, depth.max), (3, 1, 3));
    assert_eq!(connections.pipelined, Some(0.6));
}

#[test]
fn clients_are_distinguished_if_the_profile_knows_them() {
    let get = |request, connection| Event {
        connection,
        ..get(request, 1, Some(1))
    };
    let facts = |connection, client| ConnectionFacts {
        connection,
        client,
        opened: None,
        closed: Some(5),
    };
    let mut known = KnownConnections::default();
    for (connection, client) in [(0, 0), (1, 0), (2, 1), (3, 2)] {
        known.add(&facts(connection, client), connection < 3);
    }
    let context = Context {
        connections: Some(known),
        ..Context::default()
    };
    let events = [get(0, 0), get(1, 1), get(2, 1), get(3, 2)].map(Ok);
    let analysis =
        analyze_events(events.into_iter(), &context, &Options::default()).expect("asked for");
    let connections = analysis.connections.expect("asked for");
    assert_eq!((connections.count, connections.known), (3, Some(4)));
    assert_eq!(
        (connections.open_at_start, connections.open_at_end),
        (Some(4), Some(0))
    );
    assert_eq!(
        (connections.clients, connections.busiest_client),
        (Some(3), Some(0.75))
    );
    assert_eq!(connections.busiest_connection, Some(0.5));
}

#[test]
fn live_bytes_fall_when_a_ttl_ends_or_an_item_is_deleted() {
    let delete = Event {
        command: Command::Delete,
        outcome: Some(Outcome::Deleted),
        ..get(2, 2, None)
    };
    let set_ = analyzed(&[
        set(0, 1, 20, 3),
        set(1, 2, 20, 0),
        delete,
        get(9000, 3, None),
    ])
    .working_set
    .expect("asked for");
    assert_eq!((set_.keys, set_.live_keys, set_.live_bytes), (3, 0, 0));
    assert_eq!(set_.peak_live_bytes, 2 * 96);
    assert_eq!(set_.bytes, 2 * 96);
}

#[test]
fn a_read_hits_in_a_memory_that_holds_everything_used_since() {
    // Items of 96 bytes. Key 1 is used again after 2 and 3, key 3 at once; key 4 was stored before the recording.
    let memory = analyzed(&[
        set(0, 1, 20, 0),
        set(1, 2, 20, 0),
        set(2, 3, 20, 0),
        get(3, 3, Some(20)),
        get(4, 1, Some(20)),
        get(5, 4, Some(20)),
        get(6, 5, None),
    ])
    .memory
    .expect("asked for");
    assert_eq!(memory.reads, 4);
    assert_eq!(
        (memory.unknown, memory.certain_misses),
        (Some(0.25), Some(0.25))
    );
    assert_eq!(memory.known_to_bytes, 3 * 96);
    let ratios: Vec<_> = memory
        .sizes
        .iter()
        .map(|it| (it.hit_ratio, it.hit_ratio_most))
        .collect();
    assert_eq!(ratios, [(0.5, 0.75)]);
    let reuse = memory.reuse_distance_keys.expect("asked for");
    assert_eq!((reuse.min, reuse.max), (1, 3));
}

#[test]
fn evenly_spaced_requests_have_no_bursts() {
    let events: Vec<_> = (0..5000).map(|at| get(at, 1, Some(1))).collect();
    let requests = analyzed(&events).requests.expect("asked for");
    assert_eq!((requests.peak_per_s, requests.bursts[0].peak), (1000, 1));
    assert!(
        requests
            .bursts
            .iter()
            .filter_map(|it| it.index)
            .all(|index| index < 0.01)
    );
    assert!(requests.interarrival_cv.expect("asked for") < 0.01);
}

#[test]
fn the_peak_is_not_below_the_mean_however_short_the_recording() {
    for (count, duration, peak) in [(30, 100_000_000, 300), (31, 1_000_000_000, 31)] {
        let events: Vec<_> = (0..count).map(|at| get(at, 1, Some(1))).collect();
        let context = Context {
            duration: Some(duration),
            ..Context::default()
        };
        let events = events.into_iter().map(Ok);
        let analysis = analyze_events(events, &context, &Options::default()).expect("asked for");
        assert_eq!(analysis.requests.expect("asked for").peak_per_s, peak);
    }
}

#[test]
fn only_requested_analyses_run() {
    let options = Options {
        only: Some(vec![Section::Ttl]),
        ..Options::default()
    };
    let events = [set(0, 1, 1, 60), set(1, 1, 1, 0), set(2, 1, 1, -1)].map(Ok);
    let analysis =
        analyze_events(events.into_iter(), &Context::default(), &options).expect("asked for");
    assert!(analysis.keys.is_none() && analysis.memory.is_none());
    let ttl = analysis.ttl.expect("asked for");
    assert_eq!((ttl.count, ttl.seconds.expect("asked for").p50), (3, 60));
    assert_eq!(ttl.beyond_recording, Some(1.0));
}

#[test]
fn no_events_give_an_empty_analysis() {
    let analysis = analyzed(&[]);
    assert_eq!(analysis.requests.expect("asked for").count, 0);
    assert_eq!(analysis.hits.expect("asked for").all.ratio, None);
    assert!(analysis.memory.expect("asked for").sizes.len() <= 1);
    let unkeyed = analyzed(&[event()]);
    assert_eq!(unkeyed.keys.expect("asked for").distinct, 0);
}
