//! A profile and all its files belong to the owner it was created for.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{ONE_PART, event, header, names, place};
use crate::writer::Limits;
use crate::{End, Owner, Writer, repair};
use membench_event::OptionsTable;

const SOMEBODY: Owner = Owner {
    uid: 65_534,
    gid: 65_533,
};
/// Seals a part and opens the next at every flush.
const MANY_PARTS: Limits = Limits {
    part_events: 1,
    ..ONE_PART
};

fn writer(path: &Path, limits: Limits) -> Option<Writer> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    Some(Writer::with_limits(Some(SOMEBODY), path, header(), false, limits).unwrap())
}

fn owners(path: &Path) -> Vec<(String, Owner)> {
    let owner = |name: &str| {
        let facts = fs::symlink_metadata(path.join(name)).unwrap();
        Owner {
            uid: facts.uid(),
            gid: facts.gid(),
        }
    };
    let names = names(path).into_iter().chain([".".into()]);
    names.map(|name| (name.clone(), owner(&name))).collect()
}

fn flush_some(writer: &mut Writer) {
    for number in 0..3 {
        writer
            .append(&[event(number)], &OptionsTable::default())
            .unwrap();
        writer.flush().unwrap();
    }
}

fn assert_all_theirs(path: &Path, at_least: usize) {
    let owners = owners(path);
    assert!(owners.len() >= at_least, "{owners:?}");
    assert!(
        owners.iter().all(|(_, owner)| *owner == SOMEBODY),
        "{owners:?}"
    );
}

#[test]
fn every_file_belongs_to_the_owner_of_the_profile() {
    let (_folder, path) = place();
    let Some(mut writer) = writer(&path, MANY_PARTS) else {
        return;
    };
    assert_eq!(writer.owner(), SOMEBODY);
    flush_some(&mut writer);
    assert_all_theirs(&path, 4);
    writer.finish(End::default()).unwrap();
    assert_all_theirs(&path, 7);
}

#[test]
fn files_that_repair_writes_belong_to_the_owner_of_the_folder() {
    let (_folder, path) = place();
    let Some(mut writer) = writer(&path, ONE_PART) else {
        return;
    };
    flush_some(&mut writer);
    drop(writer);
    repair(&path).unwrap();
    assert_all_theirs(&path, 3);
}
