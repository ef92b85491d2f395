//! A manifest that cannot be used says why.

use std::fs;

use super::*;
use membench_event::Failure;

fn open_with(change: impl FnOnce(&Path)) -> (String, Option<String>) {
    let (_folder, path) = place();
    sealed(&path, &[event(0)], &OptionsTable::default());
    change(&path);
    let error = Profile::open(&path).unwrap_err();
    let text = error.to_string();
    let text = text.replace(&path.display().to_string(), "PATH");
    (text, error.hint().map(|hint| hint.for_command_line()))
}

fn rewrite(path: &Path, change: impl FnOnce(String) -> String) {
    let file = path.join("manifest.json");
    let text = change(fs::read_to_string(&file).unwrap());
    fs::write(file, text).unwrap();
}

#[test]
fn what_is_wrong_with_a_profile_is_said() {
    type Change = fn(&Path);
    let cases: [(Change, &str); 7] = [
        (
            |path| {
                rewrite(path, |text| {
                    text.replacen("\"schema_version\": 1", "\"schema_version\": 3", 1)
                });
            },
            "PATH: schema version 3 is newer than this membench (1); upgrade it",
        ),
        (
            |path| rewrite(path, |text| text[..text.len() / 2].into()),
            "PATH: manifest.json is damaged: EOF while parsing",
        ),
        (
            |path| rewrite(path, |_| String::new()),
            "PATH: manifest.json is damaged: EOF",
        ),
        (
            |path| rewrite(path, |text| text.replacen("sealed", "stale", 1)),
            "PATH: manifest.json is damaged: unknown variant `stale`",
        ),
        (
            |path| fs::remove_file(path.join("manifest.json")).unwrap(),
            "PATH: manifest.json is missing, but there are parts of a profile",
        ),
        (
            |path| fs::remove_file(path.join("events-000001.parquet")).unwrap(),
            "PATH: the part events-000001.parquet is missing",
        ),
        (
            |path| {
                for name in names(path) {
                    fs::remove_file(path.join(name)).unwrap();
                }
            },
            "PATH is not a membench profile: there is no manifest.json in it",
        ),
    ];
    for (change, wanted) in cases {
        let (text, hint) = open_with(change);
        assert!(text.starts_with(wanted), "{text}");
        assert!(hint.is_some() || wanted.ends_with("upgrade it"), "{text}");
    }
}

#[test]
fn a_draft_of_a_manifest_is_ignored() {
    let (_folder, path) = place();
    sealed(&path, &[event(0)], &OptionsTable::default());
    fs::write(path.join("manifest.json.tmp"), "{ half").unwrap();
    assert_eq!(read(&Profile::open(&path).unwrap()), [event(0)]);
}

#[test]
fn a_file_and_nothing_are_told_apart() {
    let (folder, path) = place();
    let missing = Profile::open(&path).unwrap_err().to_string();
    assert!(
        missing.ends_with("No such file or directory (os error 2)"),
        "{missing}"
    );
    let file = folder.path().join("file.mb");
    fs::write(&file, "text").unwrap();
    let error = Profile::open(&file).unwrap_err().to_string();
    assert!(
        error.ends_with("it is a file, a profile is a folder"),
        "{error}"
    );
}

#[test]
fn a_damaged_part_is_named() {
    let (_folder, path) = place();
    sealed(&path, &[event(0)], &OptionsTable::default());
    let part = path.join("events-000001.parquet");
    let content = fs::read(&part).unwrap();
    fs::write(&part, &content[..content.len() - 9]).unwrap();
    let profile = Profile::open(&path).unwrap();
    let error = profile.events().unwrap().next().unwrap().unwrap_err();
    assert!(
        error.to_string().contains("events-000001.parquet"),
        "{error}"
    );
}
