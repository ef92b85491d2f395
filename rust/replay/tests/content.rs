//! Content of keys and values at a real memcached, ways to wait, and the figures about the generator.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../decode/tests/memcached/mod.rs"]
mod memcached;

use std::io::{BufRead, BufReader, Read, Write};

use membench_event::{Command, Event, OptionsTable, Outcome};
use membench_replay::{
    Content, Error, Extent, Options, Progress, Recording, Report, ValueBytes, Wait, in_memory,
    run_recording,
};

use memcached::Memcached;

const MILLISECOND: u64 = 1_000_000;
const SIZES: [u8; 6] = [1, 5, 11, 20, 200, 250];

fn event(command: Command, request: u32, key: u64, outcome: Outcome) -> Event {
    Event {
        time: u64::from(request) * 5 * MILLISECOND,
        batch: request,
        request,
        key: Some(key),
        key_size: SIZES.get(usize::try_from(key).unwrap()).copied(),
        value_size: Some(300),
        ttl: Some(0),
        outcome: Some(outcome),
        ..Event::new(command)
    }
}

/// Stores a key of each size, reads each, and then all at once with one that is not there.
fn recording() -> Recording<'static> {
    let keys = || 0..u32::try_from(SIZES.len()).unwrap();
    let mut events: Vec<Event> = keys()
        .map(|key| event(Command::Set, key, key.into(), Outcome::Stored))
        .collect();
    events.extend(keys().map(|key| event(Command::Get, key + 10, key.into(), Outcome::Hit)));
    events.push(Event {
        key: Some(77),
        key_size: Some(30),
        value_size: None,
        ..event(Command::Get, 20, 0, Outcome::Miss)
    });
    events.extend(keys().map(|key| event(Command::Get, 20, key.into(), Outcome::Hit)));
    in_memory(events, OptionsTable::default(), Vec::new())
}

fn replay(server: &Memcached, options: &Options) -> Report {
    let mut follow = |_: &Progress| true;
    run_recording(&recording(), &server.address(), options, &mut follow).unwrap()
}

/// Returns the keys that the server holds.
fn keys(server: &Memcached) -> Vec<String> {
    let mut client = server.client();
    client.write_all(b"lru_crawler metadump all\r\n").unwrap();
    let lines = BufReader::new(client).lines().map_while(Result::ok);
    let lines = lines.take_while(|line| line != "END");
    let key = |line: String| {
        line.split(' ')
            .next()?
            .strip_prefix("key=")
            .map(str::to_owned)
    };
    lines.filter_map(key).collect()
}

fn with(content: Content) -> Options {
    Options {
        content,
        ..Options::default()
    }
}

#[test]
fn every_key_begins_with_the_prefix_and_is_found_by_it() {
    // The list of keys spells most other signs in another way.
    let prefix = "replay-";
    let server = Memcached::start();
    let report = replay(
        &server,
        &with(Content {
            key_prefix: prefix.to_owned(),
            ..Content::default()
        }),
    );
    assert_eq!((report.sent, report.errors), (13, 0), "{report:#?}");
    assert!(report.outcomes.differences.is_empty(), "{report:#?}");
    assert!(report.server.unwrap().bytes_agree);
    let mut found = keys(&server);
    assert!(found.iter().all(|key| key.starts_with(prefix)), "{found:?}");
    found.sort_by_key(String::len);
    let sizes: Vec<usize> = found.iter().map(String::len).collect();
    let before = prefix.len();
    let expected = SIZES.map(|size| (usize::from(size) + before).min(250));
    assert_eq!(sizes, expected);
}

#[test]
fn values_consist_of_what_is_wanted() {
    let table = [
        (ValueBytes::Text, 0..=0),
        (ValueBytes::Zero, 300..=300),
        (ValueBytes::Compressible(0.5), 150..=170),
    ];
    for (values, zeros) in table {
        let server = Memcached::start();
        let report = replay(
            &server,
            &with(Content {
                values,
                ..Content::default()
            }),
        );
        assert_eq!((report.sent, report.errors), (13, 0), "{report:#?}");
        let mut client = server.client();
        for key in keys(&server) {
            client
                .write_all(format!("mg {key} v\r\n").as_bytes())
                .unwrap();
            let mut answer = vec![0; "VA 300\r\n".len() + 302];
            client.read_exact(&mut answer).unwrap();
            answer.retain(|byte| *byte == 0);
            let found = answer.len();
            assert!(zeros.contains(&found), "{values:?}: {found}");
        }
    }
}

#[test]
fn what_no_key_can_begin_with_is_refused_before_anything_is_sent() {
    let server = Memcached::start();
    let options = with(Content {
        key_prefix: "a b".to_owned(),
        ..Content::default()
    });
    let mut follow = |_: &Progress| true;
    let refused = run_recording(&recording(), &server.address(), &options, &mut follow);
    assert!(matches!(refused, Err(Error::KeyPrefix { .. })));
    assert!(keys(&server).is_empty());
}

#[test]
fn keys_that_several_copies_have_to_share_are_counted() {
    let options = Options {
        extent: Extent {
            rounds: 300,
            fresh_keys: true,
            ..Extent::default()
        },
        ..Options::default()
    };
    // Of 300 keys of one byte, memcached takes 222.
    let events = vec![event(Command::Set, 0, 0, Outcome::Stored)];
    let recording = in_memory(events, OptionsTable::default(), Vec::new());
    let server = Memcached::start();
    let mut follow = |_: &Progress| true;
    let report = run_recording(&recording, &server.address(), &options, &mut follow).unwrap();
    assert_eq!((report.sent, report.shared_keys), (300, 78));
}

#[test]
fn a_replay_is_the_same_however_its_threads_wait() {
    for (wait, name) in [
        (Wait::Sleep, "sleep"),
        (Wait::Hybrid, "hybrid"),
        (Wait::Spin, "spin"),
    ] {
        let options = Options {
            wait,
            ..Options::default()
        };
        let report = replay(&Memcached::start(), &options);
        assert_eq!((report.sent, report.answered, report.errors), (13, 13, 0));
        let generator = report.generator;
        assert_eq!(generator.wait, name);
        // Watching the clock is no work.
        assert!(
            generator.busiest_share <= generator.cpu_share,
            "{generator:?}"
        );
        assert!(generator.busiest_share < 0.5, "{generator:?}");
        if wait == Wait::Sleep {
            assert_eq!(generator.guard_ns, 0);
        }
    }
}
