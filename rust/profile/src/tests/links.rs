//! Links and files that another user put in the way: root does through none of them what that user may not.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};

use super::super::folder::Folder;
use super::super::place::Place;
use super::super::{create, repair};
use super::*;
use crate::Error;

const NOBODY: u32 = 65_534;
const TAIL: &str = "events-000001.arrows.part";

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes a link that belongs to another user if these tests run as root.
fn strangers_link(to: &Path, at: &Path) {
    symlink(to, at).unwrap();
    if is_root() {
        lchown(at, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// Gives a folder and its files to another user.
fn give_away(path: &Path) {
    for name in names(path) {
        lchown(path.join(name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
}

/// A sealed profile beside the path, and the names of its files.
fn precious(folder: &Path) -> (PathBuf, Vec<String>) {
    let path = folder.join("precious.mb");
    sealed(&path, &[event(0)], &OptionsTable::default());
    let names = names(&path);
    (path, names)
}

/// A profile whose recorder was killed.
fn killed(path: &Path) {
    let mut writer = writer(path, ONE_PART);
    append(&mut writer, &[event(0)]);
    writer.flush().unwrap();
}

#[test]
fn a_link_with_the_name_of_a_leftover_leads_to_nothing_that_is_removed() {
    let (folder, path) = place();
    let (precious, files) = precious(folder.path());
    for suffix in ["old", "new"] {
        let link = folder.path().join(format!(".test.mb.4194305.{suffix}"));
        strangers_link(&precious, &link);
    }
    sealed(&path, &[event(1)], &OptionsTable::default());
    assert_eq!(names(&precious), files);
}

#[test]
fn a_leftover_of_another_user_stays() {
    if !is_root() {
        return;
    }
    let (folder, path) = place();
    let left = folder.path().join(".test.mb.4194305.old");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("manifest.json"), "theirs").unwrap();
    give_away(&left);
    sealed(&path, &[event(0)], &OptionsTable::default());
    assert_eq!(names(&left), ["manifest.json"]);
}

#[test]
fn what_takes_the_place_of_a_claimed_profile_is_put_back_whole() {
    type Swap = fn(&Path, &Path);
    let swaps: [Swap; 2] = [
        |path, other| strangers_link(other, path),
        |path, other| {
            fs::create_dir(path).unwrap();
            for name in names(other) {
                fs::copy(other.join(&name), path.join(&name)).unwrap();
            }
        },
    ];
    for swap in swaps {
        let (folder, path) = place();
        sealed(&path, &[event(0)], &OptionsTable::default());
        let (precious, files) = precious(folder.path());
        let moved = folder.path().join("moved.mb");
        let error = create::create(&path, true, None, |_| {
            fs::rename(&path, &moved).unwrap();
            swap(&path, &precious);
            Ok(())
        })
        .err()
        .unwrap();
        assert!(matches!(error, Error::Replaced { .. }), "{error}");
        assert_eq!(names(&path), files);
        assert_eq!(names(&moved), files);
        assert_eq!(names(&precious), files);
        assert_eq!(names(folder.path()), ["moved.mb", "precious.mb", "test.mb"]);
    }
}

#[test]
fn force_replaces_no_profile_of_another_user() {
    if !is_root() {
        return;
    }
    let (_folder, path) = place();
    sealed(&path, &[event(0)], &OptionsTable::default());
    give_away(&path);
    let before = names(&path);
    let error = Writer::create(&path, header(), true).err().unwrap();
    assert!(
        matches!(error, Error::NotReplaced { found, .. } if found == "it belongs to another user"),
        "{error}"
    );
    assert_eq!(names(&path), before);
}

#[test]
fn a_folder_that_was_not_made_here_is_not_filled() {
    if !is_root() {
        return;
    }
    let (_folder, path) = place();
    let place = Place::find(&path).unwrap();
    place.make_folder().unwrap();
    assert_eq!(Folder::adopt(&place, &path).unwrap().owner().uid, 0);
    chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    let error = Folder::adopt(&place, &path).unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
}

#[test]
fn root_follows_its_own_links_and_nobody_elses() {
    if !is_root() {
        return;
    }
    let (folder, path) = place();
    sealed(&path, &[event(0)], &OptionsTable::default());
    let (own, theirs) = (folder.path().join("own"), folder.path().join("theirs"));
    for (link, uid) in [(&own, 0), (&theirs, NOBODY)] {
        fs::create_dir(link).unwrap();
        symlink(folder.path(), link.join("folder")).unwrap();
        lchown(link.join("folder"), Some(uid), Some(uid)).unwrap();
        symlink("folder/test.mb", link.join("latest.mb")).unwrap();
    }
    for name in ["folder/test.mb", "latest.mb"] {
        assert_eq!(read(&Profile::open(own.join(name)).unwrap()), [event(0)]);
        let uses = [
            Profile::open(theirs.join(name)).err(),
            repair(theirs.join(name)).err(),
        ];
        for error in uses.map(Option::unwrap) {
            assert!(
                matches!(&error, Error::StrangersLink { uid: NOBODY, link, .. }
                    if *link == theirs.join("folder")),
                "{error}"
            );
        }
    }
    let error = Writer::create(&theirs.join("folder/test.mb"), header(), true).err();
    assert!(
        matches!(error, Some(Error::StrangersLink { .. })),
        "{error:?}"
    );
}

#[test]
fn paths_lead_where_the_kernel_says() {
    let (folder, path) = place();
    sealed(&path, &[event(0)], &OptionsTable::default());
    symlink("loop", folder.path().join("loop")).unwrap();
    let through_proc = Path::new("/proc/self/root").join(path.strip_prefix("/").unwrap());
    for (path, found) in [
        (path.clone(), true),
        (path.join("."), true),
        (path.join("../test.mb/"), true),
        (through_proc, true),
        (folder.path().join("none/../test.mb"), false),
        (folder.path().join("loop/test.mb"), false),
        (path.join("manifest.json/x"), false),
    ] {
        assert_eq!(Profile::open(&path).is_ok(), found, "{}", path.display());
    }
}

#[test]
fn a_file_of_a_profile_is_never_a_link() {
    for name in [
        "manifest.json",
        "events-000001.parquet",
        "connections.parquet",
    ] {
        let (folder, path) = place();
        sealed(&path, &[event(0)], &OptionsTable::default());
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(path.join(name), &elsewhere).unwrap();
        symlink(&elsewhere, path.join(name)).unwrap();
        let opened = Profile::open(&path).and_then(|profile| profile.connections());
        let error = opened.err().unwrap().to_string();
        assert!(
            error.ends_with(&format!("{name}: not a regular file")),
            "{error}"
        );
    }
}

#[test]
fn a_draft_is_not_written_through_a_link() {
    let (folder, path) = place();
    killed(&path);
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    let hard = folder.path().join("hard");
    fs::write(&hard, "mine").unwrap();
    symlink(&elsewhere, path.join("manifest.json.tmp")).unwrap();
    fs::hard_link(&hard, path.join("events-000001.parquet.tmp")).unwrap();
    fs::write(path.join("notes.tmp"), "mine").unwrap();
    repair(&path).unwrap();
    for kept in [elsewhere, hard, path.join("notes.tmp")] {
        assert_eq!(fs::read_to_string(kept).unwrap(), "mine");
    }
    assert_eq!(read(&Profile::open(&path).unwrap()), [event(0)]);
}

#[test]
fn repair_gives_nobody_what_only_root_may_read() {
    if !is_root() {
        return;
    }
    for link in [
        |from: &Path, to: &Path| symlink(from, to),
        |from: &Path, to: &Path| fs::hard_link(from, to),
    ] {
        let (folder, path) = place();
        let secret = folder.path().join("secret.mb");
        killed(&secret);
        killed(&path);
        fs::remove_file(path.join(TAIL)).unwrap();
        give_away(&path);
        link(&secret.join(TAIL), &path.join(TAIL)).unwrap();
        let before = names(&path);
        let error = repair(&path).unwrap_err().to_string();
        assert!(
            error.contains("belongs to uid 0, the profile to uid 65534")
                || error.ends_with("not a regular file"),
            "{error}"
        );
        assert!(!path.join("events-000001.parquet").exists(), "{before:?}");
        assert_eq!(fs::metadata(secret.join(TAIL)).unwrap().uid(), 0);
    }
}
