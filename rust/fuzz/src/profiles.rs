//! Bytes as one file of a profile → everything that is read from it. Its other files are sound.

use std::fs;
use std::path::{Path, PathBuf};

use membench_profile::{Checksum, Profile, Result};

/// The manifest.
pub const MANIFEST: &str = "manifest.json";
/// A sealed part.
pub const PART: &str = "events-000001.parquet";
/// An open part.
pub const TAIL: &str = "events-000001.arrows.part";
/// The table of connections.
pub const CONNECTIONS: &str = "connections.parquet";
/// Connections that ended before a recorder was killed.
pub const ENDED: &str = "connections.arrows.part";
/// The table of losses.
pub const LOSSES: &str = "losses.parquet";

/// A manifest without checksums, of a recorder that was killed: every other file is believed.
const KILLED: &[u8] = include_bytes!("../../../tests/data/killed/manifest.json");
/// An open part.
const EVENTS: &[u8] = include_bytes!("../../../tests/data/killed/events-000001.arrows.part");
/// Beginning of a manifest with a checksum of the rest, which is behind `LINE_END`.
const BEGINNING: &[u8] = b"{\n  \"crc32\": \"";
const LINE_END: &[u8] = b"\",\n";

/// A folder of this process with one file of any content.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes the profile anew.
    pub fn with(name: &str, content: &[u8]) -> Self {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() {
            memory.into()
        } else {
            std::env::temp_dir()
        };
        let path = place.join(format!("membench-fuzz-{}.mb", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder");
        let write = |name, content: &[u8]| fs::write(path.join(name), content).expect("a file");
        write(MANIFEST, KILLED);
        if name != PART {
            write(TAIL, EVENTS);
        }
        write(name, content);
        Self(path)
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Reads all of a profile, of a large one the beginning. Returns the number of events that it claims and that it has.
pub fn read(path: &Path) -> Result<(u64, u64)> {
    const MOST: usize = 100_000;
    let profile = Profile::open(path)?;
    let claimed = profile.summary()?.events;
    let _ = profile.connections()?.take(MOST).count();
    let _ = profile.losses()?.take(MOST).count();
    let _ = profile.verify();
    let _ = profile.batches().take(100).count();
    let mut events = 0;
    for event in profile.events()?.take(MOST) {
        event?;
        events += 1;
    }
    Ok((claimed, events))
}

/// Writes the checksum that a manifest has at its beginning, if it has one, anew: fuzzing would never find it.
pub fn checked(manifest: &[u8]) -> Vec<u8> {
    let rest = manifest
        .strip_prefix(BEGINNING)
        .and_then(|text| text.get(8..));
    let Some(rest) = rest.and_then(|text| text.strip_prefix(LINE_END)) else {
        return manifest.to_vec();
    };
    let checksum = String::from(Checksum::of(rest));
    [BEGINNING, checksum.as_bytes(), LINE_END, rest].concat()
}
