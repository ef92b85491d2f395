//! Files at the output path are not lost by accident.

use std::fs;

use super::*;
use crate::Error;
use membench_event::Failure;

fn try_create(path: &Path, force: bool) -> Option<Error> {
    Writer::create(path, header(), force).err()
}

#[test]
fn an_existing_output_is_refused_with_a_hint() {
    let (folder, path) = place();
    sealed(&path, &[event(0)], &OptionsTable::default());
    let error = try_create(&path, false).unwrap();
    assert_eq!(error.to_string(), format!("{} exists", path.display()));
    assert_eq!(
        error.hint().unwrap().for_library(),
        "`force=True` replaces it"
    );
    assert_eq!(read(&Profile::open(&path).unwrap()).len(), 1);
    assert_eq!(names(folder.path()), ["test.mb"]);
}

#[test]
fn force_replaces_a_profile_and_leaves_nothing_beside_it() {
    let (folder, path) = place();
    sealed(&path, &[event(0)], &OptionsTable::default());
    let mut writer = Writer::create(&path, header(), true).unwrap();
    append(&mut writer, &[event(1), event(2)]);
    writer.finish(End::default()).unwrap();
    assert_eq!(read(&Profile::open(&path).unwrap()), [event(1), event(2)]);
    assert_eq!(names(folder.path()), ["test.mb"]);
}

#[test]
fn force_removes_nothing_but_profiles() {
    type Prepare = fn(&Path);
    let cases: [(&str, Prepare, &str); 5] = [
        (
            "a file",
            |path| fs::write(path, "mine").unwrap(),
            "it is not a folder",
        ),
        (
            "a folder",
            |path| fs::create_dir(path).unwrap(),
            "it has no manifest.json",
        ),
        (
            "a link",
            |path| std::os::unix::fs::symlink("/tmp", path).unwrap(),
            "it is not a folder",
        ),
        (
            "a folder with other files",
            |path| {
                sealed(path, &[event(0)], &OptionsTable::default());
                fs::write(path.join("notes.txt"), "mine").unwrap();
            },
            "it contains other files",
        ),
        (
            "a folder with folders",
            |path| {
                sealed(path, &[event(0)], &OptionsTable::default());
                fs::create_dir(path.join("mine")).unwrap();
            },
            "it contains other files",
        ),
    ];
    for (case, prepare, found) in cases {
        let (folder, path) = place();
        prepare(&path);
        // No hint advises what would be refused.
        let hint = try_create(&path, false).and_then(|error| error.hint());
        let advice = hint.map(|hint| hint.for_library());
        assert_eq!(
            advice.as_deref(),
            Some("choose another name for the output"),
            "{case}"
        );
        let error = try_create(&path, true).unwrap();
        assert!(
            matches!(error, Error::NotReplaced { found: why, .. } if why == found),
            "{case}: {error}"
        );
        assert_eq!(names(folder.path()), ["test.mb"], "{case}");
    }
}

#[test]
fn force_does_not_replace_a_profile_that_is_being_recorded() {
    let (folder, path) = place();
    let mut writer = writer(&path, ONE_PART);
    let error = try_create(&path, true).unwrap();
    assert!(matches!(error, Error::BeingRecorded { .. }), "{error}");
    append(&mut writer, &[event(0)]);
    writer.finish(End::default()).unwrap();
    assert_eq!(names(folder.path()), ["test.mb"]);
}

#[test]
fn an_output_without_a_name_is_refused() {
    let error = try_create(Path::new(""), false).unwrap();
    assert_eq!(error.to_string(), "the output has no name");
}

#[test]
fn a_missing_parent_folder_is_named() {
    let (_folder, path) = place();
    let path = path.join("deeper.mb");
    let error = try_create(&path, false).unwrap();
    assert!(
        error.to_string().starts_with(&path.display().to_string()),
        "{error}"
    );
}

#[test]
fn leftovers_of_a_killed_recorder_beside_the_output_are_removed_and_nothing_else() {
    let (folder, path) = place();
    // Above the kernel's largest process id.
    let left = [".test.mb.4194305.new", ".test.mb.4194306.old"];
    let kept = [
        ".other.mb.4194305.new",
        ".test.mb.1.new",
        ".test.mb.4194305.txt",
    ];
    for name in left.iter().chain(&kept) {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("manifest.json.tmp"), "").unwrap();
    }
    fs::create_dir(folder.path().join(".test.mb.4194307.new")).unwrap();
    fs::write(folder.path().join(".test.mb.4194307.new/mine"), "").unwrap();
    sealed(&path, &[event(0)], &OptionsTable::default());
    let mut expected = vec![".test.mb.4194307.new", "test.mb"];
    expected.extend(kept);
    expected.sort_unstable();
    assert_eq!(names(folder.path()), expected);
}
