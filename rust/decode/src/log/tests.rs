//! A log of a real memcached, and made-up ones → their events.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::privacy::KeyHasher;
use membench_event::{Anchor, CloseSide, Command as C, Event, Outcome as O};
use proptest::prelude::*;

use super::order::PATIENCE;
use super::{Counts, Log};

const REAL: &[u8] = include_bytes!("../../../../tests/data/watch/memcached-1.6.18.log");
/// Time of the first line of [`REAL`], ns since 1970.
const BEGAN_NS: u64 = 1_795_254_562_592_578_000;

fn hasher() -> KeyHasher {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, [7; 16]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    KeyHasher::from_file(&path, None).unwrap()
}

fn log() -> Log {
    let anchor = Anchor {
        monotonic_ns: 1_000_000_000,
        utc_ns: BEGAN_NS,
    };
    Log::new(hasher(), anchor, 0)
}

fn read(parts: &[&[u8]]) -> (Log, Vec<Event>) {
    let mut log = log();
    for part in parts {
        log.take(part, 0);
    }
    log.finish();
    let mut events = log.events().to_vec();
    events.sort_by_key(|event| (event.connection, event.request));
    (log, events)
}

fn lines(text: &str) -> (Log, Vec<Event>) {
    read(&[text.as_bytes()])
}

type Seen = (u32, C, Option<O>, Option<u32>, Option<i32>);

/// Connection, command, outcome, value size and ttl of each event, by connection.
fn seen(events: &[Event]) -> Vec<Seen> {
    events
        .iter()
        .map(|event| {
            let Event {
                connection,
                command,
                outcome,
                value_size,
                ttl,
                ..
            } = *event;
            (connection, command, outcome, value_size, ttl)
        })
        .collect()
}

#[test]
fn a_real_log_gives_the_operations_that_the_client_made() {
    let (log, events) = read(&[REAL]);
    let wanted: Vec<Seen> = vec![
        (2, C::Get, Some(O::Miss), None, None),
        (2, C::Set, Some(O::Stored), Some(5), Some(100)),
        (2, C::Get, Some(O::Hit), Some(5), None),
        (2, C::Get, Some(O::Miss), None, None),
        (2, C::Append, Some(O::Stored), Some(3), Some(100)),
        (2, C::Add, Some(O::NotStored), Some(3), Some(0)),
        (2, C::Cas, Some(O::Exists), Some(3), Some(0)),
        (2, C::Cas, Some(O::NotFound), Some(3), Some(0)),
        (2, C::Prepend, Some(O::NotStored), Some(3), Some(0)),
        (2, C::Set, Some(O::Stored), Some(3), Some(-1)),
        (2, C::Get, Some(O::Miss), None, None),
        (2, C::Set, Some(O::Stored), Some(1), Some(0)),
        // incr, touch and gat.
        (2, C::Get, Some(O::Hit), Some(1), None),
        (2, C::Get, Some(O::Hit), Some(2), None),
        (2, C::Get, Some(O::Hit), Some(2), None),
        // Two values too large; the connection of a third (`add`) does not show.
        (2, C::Set, Some(O::ServerError), None, None),
        (2, C::Set, Some(O::ServerError), None, None),
        // Two deletes, mg.
        (2, C::Get, Some(O::Hit), Some(2), None),
        (2, C::Get, Some(O::Miss), None, None),
        (2, C::Get, Some(O::Hit), Some(8), None),
        (2, C::Set, Some(O::Stored), Some(0), Some(0)),
        (2, C::Set, Some(O::Stored), Some(2), Some(0)),
        // mg that vivifies, ma that does, me, md.
        (2, C::Get, Some(O::Miss), None, None),
        (2, C::Get, Some(O::Miss), None, None),
        (2, C::Add, Some(O::Stored), Some(2), Some(0)),
        (2, C::Get, Some(O::Hit), Some(8), None),
        (2, C::Get, Some(O::Hit), Some(8), None),
    ];
    let found = seen(&events);
    let of = |connection| -> Vec<Seen> {
        let mine = found.iter().filter(|event| event.0 == connection);
        mine.copied().collect()
    };
    assert_eq!(of(2), wanted);
    assert_eq!(of(3), [(3, C::Add, Some(O::ServerError), None, None)]);
    assert_eq!(
        of(1),
        [
            (1, C::Set, Some(O::Stored), Some(70_000), Some(0)),
            (1, C::Get, Some(O::Hit), Some(70_000), None),
            (1, C::Get, Some(O::Hit), Some(70_000), None),
        ]
    );
    assert_eq!(of(4), [(4, C::Get, Some(O::Miss), None, None)]);
    let read = Counts {
        lines: 50,
        ..Counts::default()
    };
    assert_eq!(log.counts(), read);
}

#[test]
fn key_ids_are_those_of_the_decoded_keys() {
    let (_, events) = read(&[REAL]);
    let hasher = hasher();
    for key in [&b"made:up"[..], "käse,%=x".as_bytes(), b"foo\0bar", b"late"] {
        let id = hasher.id(key);
        let found = events.iter().find(|event| event.key == Some(id));
        let size = found.and_then(|event| event.key_size).map(usize::from);
        assert_eq!(size, Some(key.len()), "{}", key.escape_ascii());
    }
}

#[test]
fn times_are_those_of_the_lines() {
    let (log, events) = read(&[REAL]);
    let late = events.iter().find(|event| event.connection == 4).unwrap();
    assert_eq!(late.time, 1_000_000_000 + 803_708_000 - 592_578_000);
    let opened = log.connections().rows();
    let opened: Vec<_> = opened.iter().map(|row| row.opened).collect();
    assert_eq!(opened[0], Some(1_000_000_000));
    assert_eq!((opened[2], opened[3]), (None, None));
}

#[test]
fn a_descriptor_used_again_is_another_connection() {
    let (log, _) = read(&[REAL]);
    let rows = log.connections().rows();
    let [first, .., last] = rows.as_slice() else {
        panic!("no connections");
    };
    // Descriptor 19, twice; the line that closes it came before an earlier line of another thread.
    assert_eq!(first.close_side, Some(CloseSide::Client));
    assert!(first.closed < last.opened);
    assert_eq!((last.closed, last.client), (None, first.client));
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let (_, wanted) = read(&[REAL]);
    let mut parts: Vec<&[u8]> = REAL.split_inclusive(|byte| *byte == b'\n').collect();
    parts.reverse();
    let (_, mut found) = read(&parts);
    let mut wanted: Vec<_> = wanted.iter().map(|event| (event.time, event.key)).collect();
    let mut found: Vec<_> = found
        .drain(..)
        .map(|event| (event.time, event.key))
        .collect();
    wanted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, wanted);
}

#[test]
fn skipped_lines_and_lines_that_are_not_memcacheds_are_counted() {
    let (log, events) = lines(
        "ts=5.1 gid=1 type=item_get key=a status=found clsid=1 cfd=9 size=3\n\
         skipped=12\n\
         ts=5.2 gid=20 type=item_get key=a status=found clsid=1 cfd=9 size=3\n\
         ts=5.3 gid=21 type=item_get key=%zz status=found clsid=1 cfd=9 size=3\n\
         what is this\n\
         ts=5.4 gid=22 type=eviction key=a fetch=yes ttl=0 la=0 clsid=1 size=3\n\
         skipped=1\n\
         ts=5.5 gid=23 type=item_get key=a stat",
    );
    let wanted = Counts {
        lines: 5,
        skipped: 13,
        unparsed: 2,
        clock_steps: 0,
        boundary: 38,
    };
    assert_eq!((log.counts(), events.len()), (wanted, 2));
}

#[test]
fn older_lines_without_descriptor_or_size_are_enough() {
    let (log, events) = lines(
        "ts=5.1 gid=1 type=item_get key=a status=found clsid=1\n\
         ts=5.2 gid=2 type=item_get key=b status=not_found clsid=0\n\
         ts=5.3 gid=3 type=item_store key=b status=stored cmd=set ttl=0 clsid=1\n",
    );
    let wanted: [Seen; 2] = [
        (0, C::Get, Some(O::Hit), None, None),
        (0, C::Set, Some(O::Stored), None, Some(0)),
    ];
    assert_eq!(seen(&events), wanted);
    assert_eq!(log.connections().total(), 1);
}

#[test]
fn a_deletion_is_one_operation_with_its_look_up_if_memcached_logs_it() {
    let (_, events) = lines(
        "ts=5.1 gid=1 type=item_get key=a status=found clsid=1 cfd=9 size=3\n\
         ts=5.2 gid=2 type=item_get key=b status=found clsid=1 cfd=8 size=3\n\
         ts=5.3 gid=3 type=deleted key=a cmd=delete clsid=1 size=3\n\
         ts=5.4 gid=4 type=item_get key=a status=not_found clsid=0 cfd=9 size=0\n",
    );
    let wanted: [Seen; 3] = [
        (0, C::Delete, Some(O::Deleted), None, None),
        (0, C::Get, Some(O::Miss), None, None),
        (1, C::Get, Some(O::Hit), Some(3), None),
    ];
    assert_eq!(seen(&events), wanted);
}

#[test]
fn a_look_up_waits_for_its_store_for_a_limited_time() {
    let mut log = log();
    log.take(
        b"ts=5.1 gid=1 type=item_get key=a status=found clsid=1 cfd=9 size=3\n",
        0,
    );
    log.release(PATIENCE - 1);
    assert_eq!(log.events().len(), 0);
    log.release(2 * PATIENCE);
    assert_eq!(
        seen(log.events()),
        [(0, C::Get, Some(O::Hit), Some(3), None)]
    );
}

#[test]
fn an_endless_line_takes_no_memory_and_loses_only_itself() {
    let mut log = log();
    for _ in 0..1000 {
        log.take(&[b'x'; 10_000], 0);
    }
    log.take(
        b"\nts=5.1 gid=1 type=item_get key=a status=found clsid=1 cfd=9 size=3\n",
        0,
    );
    log.finish();
    assert_eq!((log.counts().unparsed, log.events().len()), (1, 1));
}

/// Lines like memcached's, some of them broken.
fn any_log() -> impl Strategy<Value = Vec<u8>> {
    let line = (0..9_u8, 0..40_u64, 0..4_u8, 0..6_u8, any::<u32>()).prop_map(
        |(kind, gid, key, descriptor, number)| {
            let mut line = format!("ts=5.{} gid={gid} ", number % 1_000_000);
            let key = ["a", "b", "%2C", "%f"][usize::from(key)];
            let tail = match kind {
                0..3 => format!("type=item_get key={key} status=found clsid=1 cfd={descriptor} size=3"),
                3..5 => format!("type=item_store key={key} status=stored cmd=set ttl={number} clsid=1 cfd={descriptor} size=3"),
                5 => format!("type=item_store key={key} status=too_large cmd=set ttl=0 clsid=1 cfd=-4 size=0"),
                6 => format!("type=conn_new rip=::1 rport=4 transport=tcp cfd={descriptor}"),
                7 => format!("type=conn_close rip=::1 rport=4 transport=tcp reason=normal cfd={descriptor}"),
                _ => format!("type=deleted key={key} cmd=md clsid=1 size=3\nskipped={}", number % 9),
            };
            let _ = writeln!(line, "{tail}");
            line.into_bytes()
        },
    );
    let noise = proptest::collection::vec(any::<u8>(), 0..20);
    let lines = prop_oneof![9 => line, 1 => noise];
    proptest::collection::vec(lines, 0..60).prop_map(|lines| lines.concat())
}

#[test]
fn a_line_with_an_impossible_time_is_not_memcacheds() {
    for time in [
        "9000000001.0",
        "184467440737095516.5",
        "18446744073709551615.0",
        "18446744073709551616.0",
        "5.1000000",
        ".5",
        "5.",
    ] {
        let (log, events) = lines(&format!(
            "ts={time} gid=1 type=item_get key=k status=found\n"
        ));
        assert_eq!((log.counts().unparsed, events.len()), (1, 0), "{time}");
    }
}

proptest! {
    #[test]
    fn any_split_of_any_log_gives_the_same_events(log in any_log(), cut in 0..4000_usize) {
        let cut = cut.min(log.len());
        let (whole, wanted) = read(&[&log]);
        let (split, found) = read(&[&log[..cut], &log[cut..]]);
        prop_assert_eq!(found, wanted);
        prop_assert_eq!(split.counts(), whole.counts());
        prop_assert_eq!(split.connections().rows(), whole.connections().rows());
    }

    #[test]
    fn each_line_is_part_of_an_event_or_counted(log in any_log()) {
        let (read, events) = read(&[&log]);
        let counts = read.counts();
        prop_assert!(events.len() as u64 + counts.unparsed <= counts.lines);
    }
}
