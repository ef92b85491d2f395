//! Behaviour of whole profiles in real folders.

mod clocks;
mod crash;
mod damage;
mod force;
mod full_disk;
mod links;
mod manifests;
mod merge;
mod observed;
mod owner;
mod round_trip;
mod untrusted;
mod versions;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::manifest::with_checksum;
use super::writer::Limits;
use super::{End, Header, Profile, Rows, Writer};
use membench_event::Anchor;
use membench_event::{Command, Event, Options, OptionsTable, Outcome, Protocol};

/// `CLOCK_MONOTONIC` at the anchor of the tests, ns.
const START: u64 = 5_000_000_000;

/// A folder that is removed after the test, and the path of a profile in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.mb");
    (folder, path)
}

/// Copies one of the repository's profiles, which membench wrote with schema 1.
fn copied(name: &str) -> (TempDir, PathBuf) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here
        .ancestors()
        .map(|folder| folder.join("tests/data").join(name))
        .find(|folder| folder.is_dir());
    let source = found.expect("the repository has tests/data");
    let (folder, path) = place();
    fs::create_dir(&path).unwrap();
    for name in names(&source) {
        fs::copy(source.join(&name), path.join(&name)).unwrap();
    }
    (folder, path)
}

fn header() -> Header {
    Header {
        source: "ebpf:any".into(),
        anchor: Anchor {
            monotonic_ns: START,
            utc_ns: 1_700_000_000_000_000_000,
        },
        ..Header::default()
    }
}

/// A get that hits, `number` microseconds after the start.
fn event(number: u32) -> Event {
    Event {
        time: START + u64::from(number) * 1000,
        connection: number % 7,
        batch: number,
        request: number,
        key: Some(u64::from(number % 100).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        key_size: Some(20),
        value_size: Some(100),
        request_size: Some(26),
        outcome: Some(Outcome::Hit),
        ..Event::new(Command::Get)
    }
}

/// One part, sealed only at the end; a batch consists of the events appended before a flush.
const ONE_PART: Limits = Limits {
    batch: 1 << 16,
    part_events: u64::MAX,
    part_age: Duration::MAX,
};

fn writer(path: &Path, limits: Limits) -> Writer {
    Writer::with_limits(None, path, header(), false, limits).unwrap()
}

fn append(writer: &mut Writer, events: &[Event]) {
    writer.append(events, &OptionsTable::default()).unwrap();
}

/// Writes a sealed profile and opens it.
fn sealed(path: &Path, events: &[Event], options: &OptionsTable) -> Profile {
    let mut writer = writer(path, ONE_PART);
    writer.append(events, options).unwrap();
    writer.finish(End::default()).unwrap();
    Profile::open(path).unwrap()
}

fn read(profile: &Profile) -> Vec<Event> {
    profile.events().unwrap().map(Result::unwrap).collect()
}

/// Number of damages that a test tries: 100, or as many as `make soak` asks for.
fn trials() -> usize {
    let wanted = std::env::var("MEMBENCH_FLIPS");
    wanted.map_or(100, |number| number.parse().unwrap())
}

/// Reads all rows of a table.
fn all<R>(rows: crate::Result<Rows<R>>) -> Vec<R> {
    rows.and_then(Iterator::collect).unwrap()
}

/// Changes the text of a manifest, and its checksum if it has one.
fn rewrite(path: &Path, change: impl FnOnce(String) -> String) {
    let file = path.join("manifest.json");
    let text = fs::read_to_string(&file).unwrap();
    let is_checked = text.contains("\n  \"crc32\": \"");
    let lines = text.lines().enumerate();
    let without: Vec<&str> = lines
        .filter(|(number, _)| !is_checked || *number != 1)
        .map(|(_, line)| line)
        .collect();
    let changed = change(without.join("\n") + "\n");
    let written = if is_checked {
        with_checksum(changed.as_bytes())
    } else {
        changed.into()
    };
    fs::write(file, written).unwrap();
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
