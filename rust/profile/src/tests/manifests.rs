//! Manifests of older schemas open; unusable ones are refused with the reason.

use std::fs;

use super::super::repair;
use super::*;
use membench_event::Failure;

fn open_with(change: impl FnOnce(&Path)) -> (String, Option<String>) {
    let (_folder, path) = place();
    sealed(&path, &[event(0)], &OptionsTable::default());
    change(&path);
    let opened = Profile::open(&path).and_then(|profile| profile.losses());
    let error = opened.err().unwrap();
    let text = error.to_string();
    let text = text.replace(&path.display().to_string(), "PATH");
    (text, error.hint().map(|hint| hint.for_command_line()))
}

#[test]
fn an_unusable_profile_is_refused_with_the_reason() {
    type Change = fn(&Path);
    let cases: [(Change, &str); 12] = [
        (
            |path| {
                rewrite(path, |text| {
                    text.replacen("\"schema_version\": 4", "\"schema_version\": 5", 1)
                });
            },
            "PATH: schema version 5 is newer than this membench (4); upgrade it",
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
            |path| rewrite(path, |text| text.replacen("\"keys\": 1", "\"keys\": 0", 1)),
            "PATH: manifest.json is damaged: a sample of 1 in 0",
        ),
        (
            |path| {
                rewrite(path, |text| {
                    text.replacen("\"sampling\": 1.0", "\"sampling\": -0.5", 1)
                });
            },
            "PATH: manifest.json is damaged: a share of the traffic that is not above 0",
        ),
        (
            |path| {
                rewrite(path, |text| {
                    text.replacen("\"schema_version\": 4", "\"schema_version\": 0", 1)
                });
            },
            "PATH: manifest.json is damaged: there is no schema version 0",
        ),
        (
            |path| fs::remove_file(path.join("losses.parquet")).unwrap(),
            "PATH: losses.parquet is missing",
        ),
        (
            |path| fs::remove_file(path.join("manifest.json")).unwrap(),
            "PATH: manifest.json is missing, but there are parts of a profile",
        ),
        (
            |path| fs::remove_file(path.join("events-000001.parquet")).unwrap(),
            "PATH: events-000001.parquet is missing",
        ),
        (
            |path| {
                for name in names(path) {
                    fs::remove_file(path.join(name)).unwrap();
                }
            },
            "PATH is not a membench profile: it has no manifest.json",
        ),
        (
            |path| {
                let manifest = path.join("manifest.json");
                fs::remove_file(&manifest).unwrap();
                let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                let kind = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, &manifest, kind, mode, 0).unwrap();
            },
            "PATH/manifest.json: not a regular file",
        ),
    ];
    for (change, wanted) in cases {
        let (text, hint) = open_with(change);
        assert!(text.starts_with(wanted), "{text}");
        let says_all = ["upgrade it", "not a regular file"]
            .iter()
            .any(|end| wanted.ends_with(end));
        assert!(hint.is_some() || says_all, "{text}");
    }
}

/// A sealed profile as membench wrote it with schema 1, except for the value of `tier`.
fn schema_1(tier: &str) -> (TempDir, PathBuf) {
    let (folder, path) = copied("sealed");
    rewrite(&path, |text| {
        assert!(text.contains("\"schema_version\": 1,"), "{text}");
        let changed = text.replacen("\"tier\": null", &format!("\"tier\": {tier}"), 1);
        assert!(changed.contains(&format!("\"tier\": {tier}")), "{text}");
        changed
    });
    (folder, path)
}

#[test]
fn a_profile_of_schema_1_opens_with_its_tier_as_hooks() {
    for (tier, hooks) in [
        ("null", None),
        ("\"T1\"", Some("sockets")),
        ("\"T2\"", Some("syscalls")),
        ("\"TCX\"", Some("tcx")),
        ("\"clsact\"", Some("clsact")),
    ] {
        let (_folder, path) = schema_1(tier);
        let profile = Profile::open(&path).unwrap();
        assert_eq!(profile.manifest().header.hooks.as_deref(), hooks, "{tier}");
        assert_eq!(profile.manifest().schema_version, 1);
        assert_eq!(read(&profile).len(), 40);
    }
}

#[test]
fn a_repaired_profile_of_schema_1_has_the_present_schema() {
    let (_folder, path) = schema_1("\"T2\"");
    rewrite(&path, |text| text.replacen("sealed", "recording", 1));
    repair(&path).unwrap();
    let text = fs::read_to_string(path.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&manifest["schema_version"], &manifest["hooks"]),
        (&4.into(), &"syscalls".into())
    );
    assert!(manifest.get("tier").is_none(), "{text}");
}

#[test]
fn a_new_profile_names_its_hooks() {
    let (_folder, path) = place();
    let header = Header {
        hooks: Some("sockets".into()),
        ..header()
    };
    let writer = Writer::create(&path, header, false).unwrap();
    let manifest = writer.finish(End::default()).unwrap();
    assert_eq!(manifest.schema_version, 4);
    let read = Profile::open(&path).unwrap();
    assert_eq!(*read.manifest(), manifest);
    assert_eq!(read.summary().unwrap().hooks.as_deref(), Some("sockets"));
}

#[test]
fn a_draft_of_a_manifest_is_ignored() {
    let (_folder, path) = place();
    sealed(&path, &[event(0)], &OptionsTable::default());
    fs::write(path.join("manifest.json.tmp"), "{ half").unwrap();
    assert_eq!(read(&Profile::open(&path).unwrap()), [event(0)]);
}

#[test]
fn a_file_and_a_missing_path_give_different_errors() {
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
        error.ends_with("it is a file; a profile is a folder"),
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
    let error = Profile::open(&path).unwrap_err().to_string();
    let (found, written) = (content.len() - 9, content.len());
    let wanted = format!(
        "{}: changed since it was written: {found} bytes, not {written}",
        part.display()
    );
    assert_eq!(error, wanted);
}
