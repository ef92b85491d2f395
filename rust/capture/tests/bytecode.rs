//! The committed kernel object belongs to the sources beside it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

const SUMS: &str = "rust/bpf/membench.bpf.sha256";
const OBJECT: &str = "rust/bpf/membench.bpf.o";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

/// What `rebuild.sh` wrote: path → hash.
fn recorded() -> BTreeMap<String, String> {
    let sums = fs::read_to_string(root().join(SUMS)).unwrap();
    let pairs = sums.lines().map(|line| line.split_once("  ").unwrap());
    pairs
        .map(|(hash, path)| (path.into(), hash.into()))
        .collect()
}

fn hash(path: &str) -> String {
    let bytes = fs::read(root().join(path)).unwrap();
    format!("{:x}", Sha256::digest(bytes))
}

/// Files under a folder that go into the object, by path from the root.
fn sources(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|entry| entry.path().is_dir());
    let path = |entry: &fs::DirEntry| format!("{folder}/{}", entry.file_name().to_str().unwrap());
    let nested = folders
        .iter()
        .map(path)
        .filter(|path| !path.ends_with("/target"));
    files
        .iter()
        .map(path)
        .chain(nested.flat_map(|folder| sources(&folder)))
        .collect()
}

#[test]
fn the_object_was_built_from_these_sources() {
    for (path, expected) in recorded() {
        assert_eq!(
            hash(&path),
            expected,
            "{path} has changed: run ./rebuild.sh and commit {OBJECT}"
        );
    }
}

#[test]
fn every_source_is_among_the_hashes() {
    let recorded = recorded();
    for path in sources("ebpf")
        .iter()
        .map(String::as_str)
        .chain([OBJECT, "rebuild.sh"])
    {
        assert!(
            recorded.contains_key(path),
            "{path} is not in {SUMS}: run ./rebuild.sh"
        );
    }
}
