//! Tables of an observation are sealed, checked, survive a kill, and may gain columns.

use std::fs;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use super::super::observation::{observation_tables, open_name, sealed_name};
use super::super::{Error, Observation, ObservationRows, TableFile, repair};
use super::*;

const COUNTERS: &str = "observe-counters";

/// Rows of one interval, `second` seconds after the start.
fn rows(second: u64) -> Observation {
    let time = START + second * 1_000_000_000;
    let text = json!({
        "observe-intervals": [
            {"time": time, "length": 1_000_000_000, "requests": 7, "steal": 0.25, "periods_throttled": 0}
        ],
        "observe-counters": [
            {"time": time, "port": 11211, "counter": "cmd_get", "growth": second},
            {"time": time, "port": 11211, "process": 9, "counter": "cmd_set", "growth": 1}
        ],
    });
    Observation::parse(&text.to_string(), header().anchor).unwrap()
}

fn observed(path: &Path) -> Writer {
    let mut writer = writer(path, ONE_PART);
    append(&mut writer, &[event(1)]);
    for second in 0..3 {
        writer.append_observation(&rows(second)).unwrap();
    }
    writer
}

/// Returns the values of a table's column.
fn column(path: &Path, table: &str, name: &str) -> crate::Result<Vec<Value>> {
    let table = Profile::open(path)?.observation_table(table)?;
    let mut values = Vec::new();
    for batch in ObservationRows::new(&table)? {
        let batch = batch?;
        values.extend(batch[name].as_array().unwrap().clone());
    }
    Ok(values)
}

fn growth(path: &Path) -> crate::Result<Vec<Value>> {
    column(path, COUNTERS, "growth")
}

#[test]
fn what_was_observed_is_sealed_on_the_clock_of_the_recording() {
    let (_folder, path) = place();
    let manifest = observed(&path).finish(End::default()).unwrap();
    let listed: Vec<_> = manifest.tables.iter().map(|table| &table.name).collect();
    assert!(listed.contains(&&"observe-counters.parquet".to_owned()));
    assert!(!names(&path).iter().any(|name| name.contains(".part")));
    assert_eq!(growth(&path).unwrap(), [0, 1, 1, 1, 2, 1]);
    let times = column(&path, "observe-intervals", "time").unwrap();
    let start = 1_700_000_000_000_000_u64;
    assert_eq!(times, [start, start + 1_000_000, start + 2_000_000]);
    assert_eq!(
        column(&path, COUNTERS, "process").unwrap()[..2],
        [Value::Null, 9.into()]
    );
    // Tables without rows have no file.
    assert_eq!(column(&path, "observe-slow", "time").unwrap(), [0; 0]);
    assert!(!names(&path).contains(&sealed_name("observe-slow")));
}

#[test]
fn a_killed_recorder_leaves_what_was_observed_and_repair_seals_it() {
    let (_folder, path) = place();
    drop(observed(&path));
    assert!(names(&path).contains(&open_name(COUNTERS)));
    let before = growth(&path).unwrap();
    assert_eq!(before.len(), 6);
    let file = path.join(open_name(COUNTERS));
    let length = fs::metadata(&file).unwrap().len();
    fs::OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|file| file.set_len(length - 1))
        .unwrap();
    assert_eq!(growth(&path).unwrap(), before[..4]);
    let manifest = repair(&path).unwrap();
    assert!(
        manifest
            .tables
            .iter()
            .any(|one| one.name == sealed_name(COUNTERS))
    );
    assert!(!names(&path).contains(&open_name(COUNTERS)));
    assert_eq!(growth(&path).unwrap(), before[..4]);
    assert!(
        Profile::open(&path)
            .unwrap()
            .verify()
            .unwrap()
            .damaged
            .is_empty()
    );
}

#[test]
fn damage_to_what_was_observed_is_told() {
    let (_folder, path) = place();
    observed(&path).finish(End::default()).unwrap();
    let file = path.join(sealed_name(COUNTERS));
    let mut content = fs::read(&file).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&file, content).unwrap();
    assert!(matches!(growth(&path), Err(Error::Changed { .. })));
    let found = Profile::open(&path).unwrap().verify().unwrap();
    assert_eq!(found.damaged.len(), 1);
    fs::remove_file(&file).unwrap();
    assert!(matches!(growth(&path), Err(Error::Missing { .. })));
}

#[test]
fn a_file_that_the_manifest_of_a_sealed_profile_does_not_name_is_not_read() {
    let (_folder, path) = place();
    sealed(&path, &[event(1)], &OptionsTable::default());
    assert_eq!(growth(&path).unwrap(), [0; 0]);
    fs::write(path.join(sealed_name(COUNTERS)), b"PAR1").unwrap();
    assert!(matches!(growth(&path), Err(Error::Unlisted { .. })));
}

/// Replaces a table's file by one with other columns, as another version of membench writes it.
fn rewritten(path: &Path, change: impl Fn(&RecordBatch) -> RecordBatch) {
    let profile = Profile::open(path).unwrap();
    let table = profile.observation_table(COUNTERS).unwrap();
    let batches: Vec<_> = table
        .batches()
        .unwrap()
        .map(|batch| change(&batch.unwrap()))
        .collect();
    let mut content = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut content, batches[0].schema(), None).unwrap();
    for batch in &batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
    let name = sealed_name(COUNTERS);
    fs::write(path.join(&name), &content).unwrap();
    let known = profile.manifest().table(&name).unwrap();
    let new = TableFile {
        name,
        bytes: content.len() as u64,
        crc32: super::super::Checksum::of(&content),
    };
    let [old, new] = [known, &new].map(|one| serde_json::to_value(one).unwrap());
    rewrite(path, |text| {
        let mut manifest: Value = serde_json::from_str(&text).unwrap();
        for table in manifest["tables"].as_array_mut().unwrap() {
            if *table == old {
                table.clone_from(&new);
            }
        }
        serde_json::to_string_pretty(&manifest).unwrap() + "\n"
    });
}

fn with_columns(batch: &RecordBatch, names: &[(&str, &str)]) -> RecordBatch {
    let columns = names.iter().map(|(from, to)| {
        let column: ArrayRef = Arc::clone(batch.column_by_name(from).unwrap());
        (*to, column)
    });
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn a_column_of_a_later_version_is_passed_over_and_a_missing_one_is_null() {
    let (_folder, path) = place();
    observed(&path).finish(End::default()).unwrap();
    let kept = ["time", "port", "counter", "growth"].map(|name| (name, name));
    rewritten(&path, |batch| {
        with_columns(batch, &[&kept[..], &[("counter", "later")]].concat())
    });
    assert_eq!(growth(&path).unwrap(), [0, 1, 1, 1, 2, 1]);
    assert_eq!(
        column(&path, COUNTERS, "process").unwrap(),
        vec![Value::Null; 6]
    );
}

#[test]
fn a_table_that_lacks_what_every_row_has_or_has_it_of_another_type_is_damaged() {
    for columns in [
        &[("time", "time"), ("port", "port"), ("counter", "counter")][..],
        &[
            ("time", "time"),
            ("port", "port"),
            ("counter", "growth"),
            ("counter", "counter"),
        ],
    ] {
        let (_folder, path) = place();
        observed(&path).finish(End::default()).unwrap();
        rewritten(&path, |batch| with_columns(batch, columns));
        assert!(growth(&path).is_err(), "{columns:?}");
    }
}

#[test]
fn a_profile_with_an_observation_is_replaced_as_any_other() {
    let (_folder, path) = place();
    observed(&path).finish(End::default()).unwrap();
    drop(Writer::create(&path, header(), true).unwrap());
    assert!(!names(&path).iter().any(|name| name.starts_with("observe-")));
    drop(observed_anew(&path));
    drop(Writer::create(&path, header(), true).unwrap());
    assert_eq!(growth(&path).unwrap(), [0; 0]);
}

/// Replaces a profile by one that is killed while it is observed.
fn observed_anew(path: &Path) -> Writer {
    let mut writer = Writer::create(path, header(), true).unwrap();
    writer.append_observation(&rows(0)).unwrap();
    writer
}

#[test]
fn every_table_has_a_time_that_is_never_missing() {
    for (name, schema) in observation_tables() {
        let time = schema.field(0);
        assert_eq!(
            (time.name().as_str(), time.is_nullable()),
            ("time", false),
            "{name}"
        );
    }
}
