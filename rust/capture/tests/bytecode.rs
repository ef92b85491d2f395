//! The committed kernel objects belong to the sources beside them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

const OBJECTS: &str = "rust/bpf/objects";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

/// Reads what `rebuild.sh` wrote about every object: path → hash.
fn recorded() -> BTreeMap<String, String> {
    let sums = sources(OBJECTS)
        .into_iter()
        .filter(|path| path.ends_with(".sha256"))
        .map(|path| fs::read_to_string(root().join(path)).unwrap());
    let lines: Vec<String> = sums
        .flat_map(|text| text.lines().map(String::from).collect::<Vec<_>>())
        .collect();
    let pairs = lines.iter().map(|line| line.split_once("  ").unwrap());
    pairs
        .map(|(hash, path)| (path.into(), hash.into()))
        .collect()
}

fn hash(path: &str) -> String {
    let bytes = fs::read(root().join(path)).unwrap();
    format!("{:x}", Sha256::digest(bytes))
}

/// Lists the files under a folder, by path from the root.
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
fn the_objects_were_built_from_these_sources() {
    for (path, expected) in recorded() {
        assert_eq!(
            hash(&path),
            expected,
            "{path} has changed: run ./rebuild.sh and commit {OBJECTS}"
        );
    }
}

#[test]
fn every_source_and_object_is_among_the_hashes() {
    let recorded = recorded();
    let objects = sources(OBJECTS)
        .into_iter()
        .filter(|path| path.ends_with(".bpf.o"));
    for path in sources("ebpf")
        .into_iter()
        .chain(objects)
        .chain(["rebuild.sh".into()])
    {
        assert!(
            recorded.contains_key(&path),
            "no list in {OBJECTS} has {path}: run ./rebuild.sh"
        );
    }
}
