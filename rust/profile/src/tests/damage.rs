//! Damage of a sealed profile is told by whoever reads the damaged file.

use std::fs;

use super::super::manifest::{Manifest, Part};
use super::super::{Error, Verification, repair};
use super::*;
use membench_event::{ConnectionRow, LossRow, Transport};

const PARTS: [&str; 3] = [
    "events-000001.parquet",
    "events-000002.parquet",
    "events-000003.parquet",
];

/// Writes a sealed profile with three parts of the same size and rows in both tables.
fn written(path: &Path) -> Manifest {
    let limits = Limits {
        part_events: 1,
        ..ONE_PART
    };
    let mut writer = writer(path, limits);
    for part in 0..3 {
        let events: Vec<Event> = (part * 50..part * 50 + 50).map(event).collect();
        append(&mut writer, &events);
        writer.flush().unwrap();
    }
    let connection = |connection| ConnectionRow {
        connection,
        server: 0,
        client: 0,
        transport: Transport::Tcp4,
        opened: None,
        closed: None,
        close_side: None,
        lost_bytes: 0,
        resyncs: 0,
    };
    let end = End {
        connections: (0..7).map(connection).collect(),
        losses: vec![LossRow {
            time: START,
            connection: None,
            cause: "ring_full".into(),
            bytes: 99,
        }],
        ..End::default()
    };
    writer.finish(end).unwrap()
}

/// Reads everything that a profile holds.
fn read_all(path: &Path) -> crate::Result<(Manifest, Vec<Event>, usize, usize)> {
    let profile = Profile::open(path)?;
    Ok((
        profile.manifest().clone(),
        profile.events()?.collect::<crate::Result<_>>()?,
        profile
            .connections()?
            .collect::<crate::Result<Vec<_>>>()?
            .len(),
        profile.losses()?.collect::<crate::Result<Vec<_>>>()?.len(),
    ))
}

fn verified(path: &Path) -> crate::Result<Verification> {
    Profile::open(path)?.verify()
}

fn is_sound(path: &Path) -> bool {
    verified(path).is_ok_and(|found| found.damaged.is_empty() && found.unchecked.is_empty())
}

/// Numbers that look random (the step of splitmix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ mixed >> 27
}

#[test]
fn every_flipped_bit_is_told() {
    let (_folder, path) = place();
    let manifest = written(&path);
    let whole = read_all(&path).unwrap();
    assert_eq!(
        (&whole.0, whole.1.len(), whole.2, whole.3),
        (&manifest, 150, 7, 1)
    );
    let files = names(&path);
    assert_eq!(files.len(), 6);
    let mut state = 0;
    for _ in 0..trials() {
        let file = path.join(&files[usize::try_from(random(&mut state)).unwrap() % files.len()]);
        let content = fs::read(&file).unwrap();
        let bit = usize::try_from(random(&mut state)).unwrap() % (content.len() * 8);
        let mut flipped = content.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, flipped).unwrap();
        let place = format!("bit {bit} of {}", file.display());
        assert!(read_all(&path).is_err(), "{place}");
        assert!(!is_sound(&path), "{place}");
        fs::write(&file, content).unwrap();
    }
    assert_eq!(read_all(&path).unwrap(), whole);
}

#[test]
fn a_file_that_is_cut_or_emptied_or_swapped_is_told() {
    let (_folder, path) = place();
    written(&path);
    for name in names(&path) {
        let file = path.join(&name);
        let content = fs::read(&file).unwrap();
        for length in [0, 1, content.len() / 2, content.len() - 1] {
            fs::write(&file, &content[..length]).unwrap();
            assert!(read_all(&path).is_err(), "{name} cut to {length}");
            assert!(!is_sound(&path), "{name} cut to {length}");
        }
        fs::write(&file, [&content[..], b"\0"].concat()).unwrap();
        assert!(read_all(&path).is_err(), "{name} with a byte more");
        fs::write(&file, content).unwrap();
    }
    let [one, other] = [path.join(PARTS[0]), path.join(PARTS[2])];
    let spare = path.join("manifest.json.tmp");
    fs::rename(&one, &spare).unwrap();
    fs::rename(&other, &one).unwrap();
    fs::rename(&spare, &other).unwrap();
    assert!(read_all(&path).is_err());
    assert!(!is_sound(&path));
}

#[test]
fn a_part_that_the_manifest_does_not_name_is_refused_once_it_is_sealed() {
    for name in ["events-000004.parquet", "events-000000.parquet"] {
        let (_folder, path) = place();
        written(&path);
        fs::copy(path.join(PARTS[0]), path.join(name)).unwrap();
        let error = read_all(&path).unwrap_err();
        assert!(matches!(error, Error::Unlisted { .. }), "{error}");
    }
}

#[test]
fn a_file_that_takes_the_name_of_another_is_not_read_for_it() {
    let (_folder, path) = place();
    written(&path);
    let profile = Profile::open(&path).unwrap();
    let content = fs::read(path.join(PARTS[1])).unwrap();
    fs::remove_file(path.join(PARTS[1])).unwrap();
    fs::write(path.join("manifest.json.tmp"), "").unwrap();
    fs::write(path.join(PARTS[1]), content).unwrap();
    let read: crate::Result<Vec<Event>> = profile.events().unwrap().collect();
    assert!(
        matches!(&read, Err(Error::Changed { found, .. }) if found == "another file has taken its name")
            || read.is_ok_and(|events| events.len() == 150),
    );
}

#[test]
fn all_damaged_files_are_named() {
    let (_folder, path) = place();
    let manifest = written(&path);
    let bytes = |part: &Part| part.bytes;
    let sound = verified(&path).unwrap();
    let tables: u64 = manifest.tables.iter().map(|table| table.bytes).sum();
    let parts: u64 = manifest.parts.iter().map(bytes).sum();
    assert_eq!((sound.files, sound.bytes), (6, parts + tables));
    for name in [PARTS[0], PARTS[2], "losses.parquet"] {
        let mut content = fs::read(path.join(name)).unwrap();
        content[10] ^= 1;
        fs::write(path.join(name), content).unwrap();
    }
    let found = verified(&path).unwrap();
    assert_eq!((found.files, found.damaged.len()), (3, 3));
    assert!(
        found.damaged[0]
            .contains("events-000001.parquet: changed since it was written: its CRC-32 is")
    );
    assert!(found.damaged[2].contains("losses.parquet"));
}

#[test]
fn a_profile_without_checksums_says_so() {
    let (_folder, path) = copied("sealed");
    let found = verified(&path).unwrap();
    assert_eq!((found.files, found.damaged.len()), (0, 0));
    let mut unchecked = found.unchecked;
    unchecked.sort();
    assert_eq!(unchecked, names(&path));
}

#[test]
fn a_repaired_profile_has_checksums_of_what_was_there() {
    let (_folder, path) = place();
    let mut writer = writer(&path, ONE_PART);
    append(&mut writer, &[event(0)]);
    writer.flush().unwrap();
    writer.save_open_connections(&[]).unwrap();
    drop(writer);
    repair(&path).unwrap();
    assert!(is_sound(&path));
    assert_eq!(verified(&path).unwrap().files, 3);
}

/// Number of open files of a profile.
pub(super) fn held(path: &Path) -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let targets = descriptors.filter_map(|one| fs::read_link(one.ok()?.path()).ok());
    targets
        .filter(|target| target.starts_with(path) && target != path)
        .count()
}

#[test]
fn only_the_part_that_is_read_is_open() {
    let (_folder, path) = place();
    written(&path);
    let profile = Profile::open(&path).unwrap();
    assert_eq!(held(&path), 0);
    let mut events = profile.events().unwrap();
    for _ in 0..3 {
        events.next().unwrap().unwrap();
        assert_eq!(held(&path), 1);
    }
    assert_eq!(events.count(), 147);
    assert_eq!(held(&path), 0);
}
