//! The output of a recording, checked before anything is attached.

use std::fs;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat, statvfs};

use crate::recorder::options::RecordOptions;
use crate::recorder::rotation;
use crate::{Error, Result};

/// Refuses an output that exists, whose folder is missing or cannot be written to, or whose disk is too full.
pub(crate) fn check(options: &RecordOptions) -> Result<()> {
    let Some(path) = &options.output else {
        return Ok(());
    };
    let first = rotation::name(path, options.rotate, 1);
    if first.file_name().is_none() {
        return Err(membench_profile::Error::NoName.into());
    }
    if !options.force && fs::symlink_metadata(&first).is_ok() {
        let is_profile = first.join("manifest.json").exists();
        let path = first;
        return Err(membench_profile::Error::Exists { path, is_profile }.into());
    }
    let folder = folder_of(&first);
    check_folder(folder)?;
    let Some(wanted) = options.limits.min_free else {
        return Ok(());
    };
    let free = statvfs(folder)
        .ok()
        .map(|disk| disk.f_bavail * disk.f_frsize);
    match free.filter(|free| *free < wanted) {
        None => Ok(()),
        Some(free) => Err(Error::DiskFull {
            folder: folder.into(),
            free,
            wanted,
        }),
    }
}

/// Fails unless files can be created in `folder`.
pub(crate) fn check_folder(folder: &Path) -> Result<()> {
    accessat(
        CWD,
        folder,
        Access::WRITE_OK | Access::EXEC_OK,
        AtFlags::EACCESS,
    )
    .map_err(|errno| Error::Io {
        path: folder.into(),
        source: errno.into(),
    })
}

/// Returns the folder in which `path` is created.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use membench_event::{Class, Failure};

    use super::*;
    use crate::SourceSpec;

    fn options(output: &Path) -> RecordOptions {
        RecordOptions {
            output: Some(output.into()),
            ..RecordOptions::new(SourceSpec::Sockets)
        }
    }

    #[test]
    fn an_output_is_refused_before_anything_is_attached() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there.mb");
        fs::create_dir(&there).unwrap();
        let missing = folder.path().join("missing/x.mb");
        let class = |options: &RecordOptions| check(options).unwrap_err().class();
        assert_eq!(class(&options(&there)), Class::Exists);
        assert_eq!(class(&options(&missing)), Class::Usage);
        assert_eq!(class(&options(Path::new(".."))), Class::Usage);
        assert!(check(&options(&folder.path().join("new.mb"))).is_ok());
        let forced = RecordOptions {
            force: true,
            ..options(&there)
        };
        assert!(check(&forced).is_ok());
        let mut greedy = options(&folder.path().join("new.mb"));
        greedy.limits.min_free = Some(u64::MAX);
        assert!(matches!(check(&greedy), Err(Error::DiskFull { .. })));
    }
}
