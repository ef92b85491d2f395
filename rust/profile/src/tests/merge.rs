//! Several parts read as one stream.

use super::damage::held;
use super::*;

const SMALL_PARTS: Limits = Limits {
    batch: 1 << 16,
    part_events: 100,
    part_age: Duration::MAX,
};

/// Writes a profile with one part per element of `parts`.
fn parts(path: &Path, parts: &[Vec<Event>]) -> Profile {
    let mut writer = writer(path, SMALL_PARTS);
    for part in parts {
        append(&mut writer, part);
        writer.flush().unwrap();
    }
    writer.finish(End::default()).unwrap();
    Profile::open(path).unwrap()
}

#[test]
fn overlapping_parts_are_merged() {
    let (_folder, path) = place();
    let all: Vec<Event> = (0..600).map(event).collect();
    let dealt: Vec<Vec<Event>> = (0..3)
        .map(|part| all.iter().skip(part).step_by(3).copied().collect())
        .collect();
    let profile = parts(&path, &dealt);
    assert_eq!(profile.part_count(), 3);
    assert_eq!(read(&profile), all);
}

#[test]
fn a_late_answer_to_an_early_request_comes_first() {
    let (_folder, path) = place();
    let all: Vec<Event> = (0..400).map(event).collect();
    let mut dealt: Vec<Vec<Event>> = all.chunks(100).map(<[Event]>::to_vec).collect();
    let late = dealt[0].remove(5);
    dealt[3].push(late);
    dealt[0].push(event(5_000));
    let mut wanted = all;
    wanted.push(event(5_000));
    assert_eq!(read(&parts(&path, &dealt)), wanted);
}

#[test]
fn few_of_many_overlapping_parts_are_open() {
    let (_folder, path) = place();
    let all: Vec<Event> = (0..4000).map(event).collect();
    let dealt: Vec<Vec<Event>> = (0..40)
        .map(|part| all.iter().skip(part).step_by(40).copied().collect())
        .collect();
    let profile = parts(&path, &dealt);
    assert_eq!(profile.part_count(), 40);
    let mut read = Vec::new();
    for event in profile.events().unwrap() {
        read.push(event.unwrap());
        assert!(held(&path) <= 16);
    }
    assert_eq!(read, all);
}

#[test]
fn a_part_that_is_replaced_while_it_is_merged_is_refused() {
    let (_folder, path) = place();
    let mut dealt: Vec<Vec<Event>> = (0..20)
        .map(|part| (part..100 + part).map(event).collect())
        .collect();
    // More rows than a page holds.
    dealt.push((20..160_000).map(event).collect());
    let mut events = parts(&path, &dealt).events().unwrap();
    assert_eq!(events.by_ref().take(1000).flatten().count(), 1000);
    let (last, copy) = (path.join("events-000021.parquet"), path.join("copy"));
    fs::copy(&last, &copy).unwrap();
    fs::rename(&copy, &last).unwrap();
    let error = events.find_map(Result::err).unwrap();
    let found = std::iter::successors(Some(&error as &dyn std::error::Error), |error| {
        error.source()
    });
    let told: Vec<String> = found.map(ToString::to_string).collect();
    assert!(
        told.concat().contains("another file has taken its name"),
        "{told:?}"
    );
}

#[test]
fn batches_hold_every_event_part_by_part() {
    let (_folder, path) = place();
    let all: Vec<Event> = (0..350).map(event).collect();
    let dealt: Vec<Vec<Event>> = all.chunks(100).map(<[Event]>::to_vec).collect();
    let profile = parts(&path, &dealt);
    let rows: Vec<usize> = profile
        .batches()
        .map(|batch| {
            let batch = batch.unwrap();
            assert_eq!(batch.schema(), super::super::schema());
            batch.num_rows()
        })
        .collect();
    assert_eq!(rows, [100, 100, 100, 50]);
}

#[test]
fn a_profile_without_events_is_empty() {
    let (_folder, path) = place();
    let profile = parts(&path, &[]);
    assert_eq!(read(&profile), []);
    assert_eq!(profile.batches().count(), 0);
    assert_eq!(profile.summary().unwrap().events, 0);
}

#[test]
fn a_part_is_sealed_when_it_is_old() {
    let (_folder, path) = place();
    let limits = Limits {
        part_age: Duration::ZERO,
        ..ONE_PART
    };
    let mut writer = writer(&path, limits);
    for number in 0..3 {
        append(&mut writer, &[event(number)]);
        writer.flush().unwrap();
    }
    assert_eq!(writer.finish(End::default()).unwrap().parts.len(), 3);
}
