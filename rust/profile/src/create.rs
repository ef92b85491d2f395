//! A path → the folder of a new profile, which replaces an old one only when forced to.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat, renameat_with};
use rustix::io::Errno;

use super::folder::{Folder, Owner};
use super::tail::part_number;
use super::{manifest, room, tables};
use crate::{Error, Result};

/// Suffix of a profile that is not filled yet.
const NEW: &str = "new";
/// Suffix of a profile that is being replaced.
const OLD: &str = "old";

/// Creates the profile's folder, which becomes visible only once `fill` has written its first files.
///
/// With `force`, a profile at the path is replaced, unless another process is writing it. It is removed only after the
/// new one is filled. Without an owner, the folder belongs to the calling user.
pub(super) fn create<T>(
    path: &Path,
    force: bool,
    owner: Option<Owner>,
    fill: impl FnOnce(&Folder) -> Result<T>,
) -> Result<(Folder, T)> {
    if path.as_os_str().is_empty() {
        return Err(Error::NoName);
    }
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            clear_leftovers(path);
            let (draft, filled) = Draft::fill(path, owner, fill)?;
            draft.publish().map(|folder| (folder, filled))
        }
        Err(source) => Err(failed(path, source)),
        Ok(metadata) if !force => Err(exists(path, metadata.is_dir())),
        Ok(metadata) => {
            let _claim = claim(path, metadata.is_dir())?;
            clear_leftovers(path);
            let (draft, filled) = Draft::fill(path, owner, fill)?;
            draft.replace().map(|folder| (folder, filled))
        }
    }
}

/// A folder under a temporary name until it is filled, so that a recorder killed meanwhile leaves nothing that looks
/// like a profile.
struct Draft {
    /// The folder, which already reports its final path.
    folder: Folder,
    /// Its temporary path.
    draft_path: PathBuf,
}

impl Draft {
    fn fill<T>(
        path: &Path,
        owner: Option<Owner>,
        fill: impl FnOnce(&Folder) -> Result<T>,
    ) -> Result<(Self, T)> {
        let draft_path = sibling(path, NEW);
        let mut folder = Folder::create(&draft_path)
            .map_err(|error| with_path(error, path))?
            .with_path(path);
        if let Some(owner) = owner {
            folder = folder.with_owner(owner);
        }
        let filled = folder.lock().and_then(|()| fill(&folder));
        let draft = Self { folder, draft_path };
        match filled {
            Ok(filled) => Ok((draft, filled)),
            Err(error) => Err(draft.abandon(error)),
        }
    }

    /// Renames the draft to its final path, where nothing may exist.
    fn publish(self) -> Result<Folder> {
        match rename_without_replacing(&self.draft_path, self.folder.path()) {
            Ok(()) => Ok(self.folder),
            Err(Errno::EXIST) => {
                let error = exists(self.folder.path(), true);
                Err(self.abandon(error))
            }
            Err(errno) => {
                let error = failed(self.folder.path(), errno.into());
                Err(self.abandon(error))
            }
        }
    }

    /// Renames the draft to its final path and removes the profile that was there.
    fn replace(self) -> Result<Folder> {
        let path = self.folder.path().to_owned();
        let aside = sibling(&path, OLD);
        if let Err(source) = fs::rename(&path, &aside) {
            return Err(self.abandon(failed(&path, source)));
        }
        if let Err(source) = fs::rename(&self.draft_path, &path) {
            let _ = fs::rename(&aside, &path);
            return Err(self.abandon(failed(&path, source)));
        }
        remove(&Folder::open(&aside)?, &aside)?;
        Ok(self.folder)
    }

    /// Removes the draft and returns `error`, which matters more than a failure to remove.
    fn abandon(self, error: Error) -> Error {
        let _ = remove(&self.folder, &self.draft_path);
        error
    }
}

/// Renames a folder unless the new name exists. File systems that cannot guarantee this replace an empty folder.
fn rename_without_replacing(from: &Path, to: &Path) -> rustix::io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => renameat(CWD, from, CWD, to),
        result => result,
    }
}

/// Removes drafts and replaced profiles that killed recorders left beside the path.
fn clear_leftovers(path: &Path) {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        if is_leftover(&entry.file_name(), path) {
            // A leftover that cannot be removed does no harm.
            let _ = clear(&parent.join(entry.file_name()));
        }
    }
}

/// True if [`sibling`] made this name for this path, in this process or in one that no longer runs.
fn is_leftover(name: &OsStr, path: &Path) -> bool {
    let (Some(name), Some(of)) = (name.to_str(), path.file_name().and_then(OsStr::to_str)) else {
        return false;
    };
    let rest = name
        .strip_prefix('.')
        .and_then(|name| name.strip_prefix(of)?.strip_prefix('.'));
    let Some((pid, NEW | OLD)) = rest.and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    let Ok(pid) = pid.parse::<u32>() else {
        return false;
    };
    pid == std::process::id() || !Path::new("/proc").join(pid.to_string()).exists()
}

fn clear(path: &Path) -> Result<()> {
    let folder = Folder::open(path)?;
    folder.lock()?;
    if folder.names()?.iter().all(|name| is_ours(name)) {
        remove(&folder, path)?;
    }
    Ok(())
}

/// Returns the error for an output that exists.
fn exists(path: &Path, is_folder: bool) -> Error {
    Error::Exists {
        path: path.into(),
        is_profile: find_profile(path, is_folder).is_ok(),
    }
}

/// Locks the folder at the path after checking that it is a profile and contains nothing else.
fn claim(path: &Path, is_folder: bool) -> Result<Folder> {
    let folder = find_profile(path, is_folder)?;
    folder.lock()?;
    Ok(folder)
}

/// Opens the folder at the path, provided that it is a profile and contains nothing else.
fn find_profile(path: &Path, is_folder: bool) -> Result<Folder> {
    let refused = |found| Error::NotReplaced {
        path: path.into(),
        found,
    };
    if !is_folder {
        return Err(refused("it is not a folder"));
    }
    let folder = Folder::open(path)?;
    let names = folder.names()?;
    if !names.iter().any(|name| name == manifest::FILE) {
        return Err(refused("it has no manifest.json"));
    }
    if !names.iter().all(|name| is_ours(name)) {
        return Err(refused("it contains other files"));
    }
    Ok(folder)
}

/// True if a profile may contain a file of this name.
fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    let fixed = [
        manifest::FILE,
        tables::CONNECTIONS,
        tables::ENDED_CONNECTIONS,
        tables::LOSSES,
        room::FILE,
    ];
    fixed.contains(&name) || part_number(name).is_some()
}

/// Removes a profile's files, then its folder at `path`.
fn remove(folder: &Folder, path: &Path) -> Result<()> {
    for name in folder.names()?.iter().filter(|name| is_ours(name)) {
        folder.remove(name)?;
    }
    fs::remove_dir(path).map_err(|source| failed(path, source))
}

/// Path of a temporary folder next to the profile, named after it and this process.
fn sibling(path: &Path, purpose: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.{purpose}", std::process::id()));
    path.with_file_name(name)
}

/// Replaces the path that an I/O error names.
fn with_path(error: Error, path: &Path) -> Error {
    match error {
        Error::Io { path: _, source } => failed(path, source),
        other => other,
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::Io {
        path: path.into(),
        source,
    }
}
