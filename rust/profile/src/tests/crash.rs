//! A profile abandoned by a killed recorder can be read and sealed.

use std::fs;

use super::super::folder::Folder;
use super::super::tail::Tail;
use super::super::{State, repair};
use super::*;
use crate::Error;

const TAIL: &str = "events-000001.arrows.part";

/// Writes three batches to an open part. Returns the events, and the file's lengths after the schema and each batch.
fn killed(path: &Path) -> (Vec<Event>, Vec<u64>) {
    let mut writer = writer(path, ONE_PART);
    let length = || fs::metadata(path.join(TAIL)).unwrap().len();
    let mut ends = vec![length()];
    let events: Vec<Event> = (0..300).map(event).collect();
    for batch in events.chunks(100) {
        append(&mut writer, batch);
        writer.flush().unwrap();
        ends.push(length());
    }
    (events, ends)
}

fn cut(path: &Path, length: u64) {
    let file = fs::OpenOptions::new().write(true).open(path.join(TAIL));
    file.unwrap().set_len(length).unwrap();
}

#[test]
fn a_cut_at_any_byte_leaves_the_messages_before_it() {
    let (_folder, path) = place();
    let (_, ends) = killed(&path);
    let folder = Folder::open(&path).unwrap();
    for length in (0..=ends[3]).rev() {
        cut(&path, length);
        let file = folder.open_file(TAIL).unwrap().unwrap();
        let tail = Tail::open(&folder, 1, file).unwrap();
        let whole = ends.iter().rev().find(|end| **end <= length);
        assert!(tail.length >= *whole.unwrap_or(&0), "cut at {length}");
        assert!(tail.length < ends[1] || ends.contains(&tail.length));
        assert_eq!(tail.length + tail.excess, length);
    }
}

#[test]
fn every_whole_batch_survives_a_cut() {
    let (_folder, path) = place();
    let (events, ends) = killed(&path);
    for (whole, end) in ends.iter().enumerate().rev() {
        for (cut_at, batches) in [(*end, whole), (end - 1, whole.saturating_sub(1))] {
            cut(&path, cut_at);
            let kept = &events[..batches * 100];
            assert_eq!(
                read(&Profile::open(&path).unwrap()),
                kept,
                "cut at {cut_at}"
            );
        }
    }
    cut(&path, 0);
    assert_eq!(Profile::open(&path).unwrap().part_count(), 0);
}

#[test]
fn an_unsealed_profile_reports_its_state_and_the_bytes_cut_off() {
    let (_folder, path) = place();
    let (_, ends) = killed(&path);
    cut(&path, ends[2] + 9);
    let profile = Profile::open(&path).unwrap();
    assert_eq!(profile.manifest().state, State::Recording);
    // Dictionaries are not repeated, so batches follow each other directly.
    assert_eq!(profile.unsealed(), (200, 9));
    assert_eq!(profile.connection_count().unwrap(), 7);
    assert_eq!(all(profile.connections()), []);
    assert_eq!(profile.manifest().ledger.complete, None);
}

#[test]
fn a_summary_tells_what_is_known_and_no_zero_for_what_is_not() {
    let (_folder, path) = place();
    let mut writer = writer(&path, ONE_PART);
    append(&mut writer, &[event(0), event(2_000_000)]);
    writer.flush().unwrap();
    let summary = || Profile::open(&path).unwrap().summary().unwrap();
    assert!(summary().being_recorded);
    drop(writer);
    let killed = summary();
    repair(&path).unwrap();
    let repaired = summary();
    assert_eq!((killed.state, repaired.state), ("recording", "sealed"));
    for summary in [killed, repaired] {
        assert!(!summary.being_recorded);
        assert_eq!((summary.events, summary.connections), (2, 2));
        assert!((summary.duration_s - 2.0).abs() < 1e-9);
        assert_eq!((summary.ledger, summary.sampled_out), (None, None));
    }
}

#[test]
fn repair_seals_whole_batches_and_changes_nothing_the_second_time() {
    let (_folder, path) = place();
    let (events, ends) = killed(&path);
    cut(&path, ends[3] - 1);
    fs::write(path.join("manifest.json.tmp"), "{").unwrap();
    let repaired = repair(&path).unwrap();
    assert_eq!((repaired.state, repaired.repaired), (State::Sealed, true));
    assert_eq!(repaired.ledger.complete, None);
    assert_eq!(names(&path), ["events-000001.parquet", "manifest.json"]);
    assert_eq!(read(&Profile::open(&path).unwrap()), events[..200]);
    assert_eq!(repair(&path).unwrap(), repaired);
}

#[test]
fn a_profile_being_recorded_is_not_repaired() {
    let (_folder, path) = place();
    let writer = writer(&path, ONE_PART);
    let error = repair(&path).unwrap_err();
    assert!(matches!(error, Error::BeingRecorded { .. }), "{error}");
    drop(writer);
    repair(&path).unwrap();
}

#[test]
fn a_profile_being_recorded_can_be_read() {
    let (_folder, path) = place();
    let mut writer = writer(&path, ONE_PART);
    append(&mut writer, &[event(0)]);
    writer.flush().unwrap();
    append(&mut writer, &[event(1)]);
    assert_eq!(read(&Profile::open(&path).unwrap()), [event(0)]);
}

#[test]
fn an_open_part_is_ignored_once_its_parquet_is_there() {
    let (_folder, path) = place();
    let (events, _) = killed(&path);
    let left = fs::read(path.join(TAIL)).unwrap();
    let manifest = fs::read(path.join("manifest.json")).unwrap();
    repair(&path).unwrap();
    // As if the recorder was killed between sealing the part and listing it.
    fs::write(path.join(TAIL), left).unwrap();
    fs::write(path.join("manifest.json"), manifest).unwrap();
    let profile = Profile::open(&path).unwrap();
    assert_eq!(read(&profile), events);
    assert_eq!(profile.unsealed(), (0, 0));
    assert_eq!(profile.counts().commands, [("get".into(), 300)].into());
    assert_eq!(profile.counts().requests, 300);
    assert_eq!(repair(&path).unwrap().parts.len(), 1);
}

#[test]
fn connections_saved_while_recording_survive_a_kill() {
    let (_folder, path) = place();
    let mut writer = writer(&path, ONE_PART);
    let row = |connection, closed| membench_event::ConnectionRow {
        connection,
        server: 0,
        client: 0,
        transport: membench_event::Transport::Tcp4,
        opened: None,
        closed,
        close_side: Some(membench_event::CloseSide::Server),
        lost_bytes: 0,
        resyncs: 0,
    };
    let ended = |ordinals: &[u32]| -> Vec<_> {
        let rows = ordinals.iter().map(|ordinal| row(*ordinal, Some(START)));
        rows.collect()
    };
    writer.append_connections(ended(&[2, 0])).unwrap();
    let open = [1, 3, 4].map(|ordinal| row(ordinal, None));
    writer.save_open_connections(&open).unwrap();
    // The killed recorder did not note any more that one of them has ended.
    writer.append_connections(ended(&[3])).unwrap();
    drop(writer);
    let wanted = [0, 1, 2, 3, 4]
        .map(|ordinal| row(ordinal, (ordinal % 4 != 1 && ordinal != 4).then_some(START)));
    assert_eq!(connections(&path), wanted);
    repair(&path).unwrap();
    assert_eq!(connections(&path), wanted, "sealed");
    assert!(!path.join("connections.arrows.part").exists());
}

#[test]
fn connections_of_a_finished_profile_are_each_listed_once() {
    let (_folder, path) = place();
    let mut writer = writer(&path, ONE_PART);
    let row = |connection| membench_event::ConnectionRow {
        connection,
        server: 0,
        client: connection % 5,
        transport: membench_event::Transport::Udp,
        opened: Some(START),
        closed: None,
        close_side: None,
        lost_bytes: 1,
        resyncs: 2,
    };
    for first in (0..30_000).step_by(1_000) {
        writer
            .append_connections((first + 1..first + 1_000).map(row).collect())
            .unwrap();
    }
    let open: Vec<_> = (0..30_000).step_by(1_000).map(row).collect();
    writer.save_open_connections(&open).unwrap();
    let end = End {
        connections: open,
        ..End::default()
    };
    assert_eq!(writer.finish(end).unwrap().connections, 30_000);
    assert_eq!(connections(&path), (0..30_000).map(row).collect::<Vec<_>>());
    assert!(!path.join("connections.arrows.part").exists());
}

/// Reads the connections of a profile, sorted by their ordinals.
fn connections(path: &Path) -> Vec<membench_event::ConnectionRow> {
    let mut rows = all(Profile::open(path).unwrap().connections());
    rows.sort_by_key(|row| row.connection);
    rows
}

#[test]
fn a_table_is_read_as_it_was_found_while_the_recorder_replaces_it() {
    let (_folder, path) = place();
    let mut writer = writer(&path, ONE_PART);
    writer.save_open_connections(&[]).unwrap();
    let table = Profile::open(&path).unwrap().connection_table().unwrap();
    for _ in 0..3 {
        writer.save_open_connections(&[]).unwrap();
        assert_eq!(table.rows().unwrap(), 0);
        assert_eq!(table.batches().unwrap().count(), 0);
    }
}

#[test]
fn damage_inside_an_open_part_is_an_error() {
    let (_folder, path) = place();
    let (_, ends) = killed(&path);
    let mut bytes = fs::read(path.join(TAIL)).unwrap();
    let middle = usize::try_from(ends[2]).unwrap() - 400;
    bytes[middle..middle + 300].fill(0xa5);
    fs::write(path.join(TAIL), bytes).unwrap();
    let error = Profile::open(&path).unwrap_err();
    assert!(error.to_string().contains(TAIL), "{error}");
}
