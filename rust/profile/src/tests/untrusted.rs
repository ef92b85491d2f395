//! A profile that anybody may have made: an error or events, in bounded time and memory, and never a panic.

use std::fs;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::super::{Checksum, Error, repair};
use super::*;

const PART: &str = "events-000001.parquet";
const TAIL: &str = "events-000001.arrows.part";

fn killed(path: &Path) {
    let mut writer = writer(path, ONE_PART);
    for number in 0..3 {
        let events: Vec<Event> = (number * 40..number * 40 + 40).map(event).collect();
        append(&mut writer, &events);
        writer.flush().unwrap();
    }
    writer.save_open_connections(&[]).unwrap();
}

/// Reads everything, whatever comes of it.
fn read_anything(path: &Path) -> Result<usize, Error> {
    let profile = Profile::open(path)?;
    profile.summary()?;
    let connections = profile.connections()?.take(1000).count();
    let losses = profile.losses()?.take(1000).count();
    let events = profile.events()?.take(100_000).count();
    Ok(profile.batches().take(1000).count() + connections + losses + events)
}

/// Changes a file and lets the manifest say that it is as it was written.
fn forge(path: &Path, name: &str, content: &[u8]) {
    let old = fs::read(path.join(name)).unwrap();
    let sums = |content: &[u8]| {
        let checksum: String = Checksum::of(content).into();
        (
            format!("\"bytes\": {}", content.len()),
            format!("\"crc32\": \"{checksum}\""),
        )
    };
    let ((bytes, checksum), (forged_bytes, forged_checksum)) = (sums(&old), sums(content));
    rewrite(path, |text| {
        assert!(text.contains(&checksum), "{text}");
        text.replace(&bytes, &forged_bytes)
            .replace(&checksum, &forged_checksum)
    });
    fs::write(path.join(name), content).unwrap();
}

/// A few changed bytes at places that look random.
fn spoiled(content: &[u8], seed: usize) -> Vec<u8> {
    let mut content = content.to_vec();
    let mut state = seed.wrapping_mul(0x9e37_79b9) + 7;
    for _ in 0..=seed % 4 {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(11);
        let place = (state >> 33) % content.len();
        let with = [0x00, 0xff, 0x7f, 0x80, 0x01];
        content[place] = with
            .get(seed % 7)
            .map_or(content[place] ^ (1 << (state & 7)), |byte| *byte);
    }
    content
}

#[test]
fn a_spoiled_file_gives_an_error_or_events() {
    let (_folder, path) = place();
    let mut writer = writer(&path, ONE_PART);
    append(&mut writer, &(0..100).map(event).collect::<Vec<_>>());
    writer.finish(End::default()).unwrap();
    let mut refused = 0;
    for name in [PART, "connections.parquet", "losses.parquet"] {
        let (content, manifest) = (
            fs::read(path.join(name)).unwrap(),
            fs::read(path.join("manifest.json")).unwrap(),
        );
        for seed in 0..trials() {
            forge(&path, name, &spoiled(&content, seed));
            refused += usize::from(read_anything(&path).is_err());
            fs::write(path.join(name), &content).unwrap();
            fs::write(path.join("manifest.json"), &manifest).unwrap();
        }
    }
    assert!(refused > trials(), "{refused}");
}

#[test]
fn a_spoiled_open_part_gives_an_error_or_events() {
    let (_folder, path) = place();
    killed(&path);
    let content = fs::read(path.join(TAIL)).unwrap();
    let mut refused = 0;
    for seed in 0..trials() {
        fs::write(path.join(TAIL), spoiled(&content, seed)).unwrap();
        refused += usize::from(read_anything(&path).is_err());
    }
    assert!(refused > trials() / 10, "{refused}");
}

#[test]
fn an_open_part_that_claims_much_memory_is_refused_before_it_gets_it() {
    let (_folder, path) = place();
    killed(&path);
    let content = fs::read(path.join(TAIL)).unwrap();
    // zstd frames begin with this, after the size that they unpack to.
    let frames: Vec<usize> = content
        .windows(4)
        .enumerate()
        .filter(|(_, window)| *window == [0x28, 0xb5, 0x2f, 0xfd])
        .map(|(place, _)| place - 8)
        .collect();
    assert!(frames.len() > 9, "{frames:?}");
    for size in [1_i64 << 32, i64::MAX, -2] {
        for frame in frames.iter().step_by(4) {
            let mut content = content.clone();
            content[*frame..frame + 8].copy_from_slice(&size.to_le_bytes());
            fs::write(path.join(TAIL), content).unwrap();
            for error in [Profile::open(&path).err(), repair(&path).err()] {
                let error = error.unwrap().to_string();
                assert!(
                    error.ends_with(&format!("damaged: a buffer of {size} bytes")),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn what_never_ends_is_not_read() {
    for kind in [FileType::Fifo, FileType::Socket] {
        for name in [
            "manifest.json",
            PART,
            "connections.parquet",
            "losses.parquet",
        ] {
            let (_folder, path) = place();
            sealed(&path, &[event(0)], &OptionsTable::default());
            fs::remove_file(path.join(name)).unwrap();
            mknodat(CWD, path.join(name), kind, Mode::RUSR, 0).unwrap();
            let error = read_anything(&path).unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("{name}: not a regular file")),
                "{error}"
            );
        }
        let (_folder, path) = place();
        killed(&path);
        fs::remove_file(path.join(TAIL)).unwrap();
        mknodat(CWD, path.join(TAIL), kind, Mode::RUSR, 0).unwrap();
        for error in [read_anything(&path).err(), repair(&path).err()] {
            let error = error.unwrap().to_string();
            assert!(
                error.ends_with(&format!("{TAIL}: not a regular file")),
                "{error}"
            );
        }
    }
}

#[test]
fn a_manifest_that_is_too_large_is_refused() {
    let (_folder, path) = place();
    sealed(&path, &[event(0)], &OptionsTable::default());
    let file = path.join("manifest.json");
    let sparse = fs::OpenOptions::new().write(true).open(&file).unwrap();
    sparse.set_len((256 << 20) + 1).unwrap();
    let error = read_anything(&path).unwrap_err().to_string();
    assert!(
        error.ends_with("manifest.json: damaged: more than 256 MiB"),
        "{error}"
    );
    fs::write(
        &file,
        [b"{\"facts\":[1".as_slice(), &b",1".repeat(9 << 20), b"]}"].concat(),
    )
    .unwrap();
    let error = read_anything(&path).unwrap_err().to_string();
    assert!(
        error.ends_with("manifest.json: damaged: more than 8388608 values"),
        "{error}"
    );
}

#[test]
fn a_request_without_end_is_refused() {
    let (_folder, path) = place();
    let key = Event {
        request: 0,
        batch: 0,
        connection: 0,
        ..event(0)
    };
    let profile = sealed(&path, &[key; 100], &OptionsTable::default());
    for (most, wanted) in [
        (100, None),
        (99, Some("damaged: a request with more than 99 keys")),
    ] {
        let mut events = profile.events().unwrap().with_most_keys(most);
        let error = events.find_map(Result::err).map(|error| error.to_string());
        assert_eq!(error.is_some(), wanted.is_some(), "{error:?}");
        assert!(error.is_none_or(|error| error.ends_with(wanted.unwrap())));
    }
}

#[test]
fn counts_that_no_number_holds_are_the_largest_number() {
    let (_folder, path) = place();
    sealed(&path, &[event(0)], &OptionsTable::default());
    rewrite(&path, |text| {
        text.replace("\"events\": 1,", "\"events\": 18446744073709551615,")
            .replace("\"requests\": 1,", "\"requests\": 18446744073709551615,")
            .replace("\"get\": 1", "\"get\": 18446744073709551615")
    });
    let summary = Profile::open(&path).unwrap().summary().unwrap();
    assert_eq!(
        (summary.events, summary.commands["get"]),
        (u64::MAX, u64::MAX)
    );
}
