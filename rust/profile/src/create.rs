//! A path → a new profile's folder, in place of nothing or, when told so, of an old profile.

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

/// What a folder beside the path is for.
const NEW: &str = "new";
const OLD: &str = "old";

/// Makes the folder, filled from its first moment on. What already stands at the path goes only when it is a profile,
/// nobody writes it, it is to be replaced, and the new one is filled. Without an owner it belongs to whoever runs this.
pub(super) fn create<T>(
    path: &Path,
    force: bool,
    owner: Option<Owner>,
    fill: impl FnOnce(&Folder) -> Result<T>,
) -> Result<(Folder, T)> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            clear_leftovers(path);
            let (draft, filled) = Draft::fill(path, owner, fill)?;
            draft.publish().map(|folder| (folder, filled))
        }
        Err(source) => Err(failed(path, source)),
        Ok(_) if !force => Err(Error::Exists { path: path.into() }),
        Ok(metadata) => {
            let _claim = claim(path, metadata.is_dir())?;
            clear_leftovers(path);
            let (draft, filled) = Draft::fill(path, owner, fill)?;
            draft.replace().map(|folder| (folder, filled))
        }
    }
}

/// A folder under a name of its own, until it is what it is to be: a recorder that is killed meanwhile leaves nothing
/// that looks like a profile.
struct Draft {
    /// Named as it is going to be.
    folder: Folder,
    at: PathBuf,
}

impl Draft {
    fn fill<T>(
        path: &Path,
        owner: Option<Owner>,
        fill: impl FnOnce(&Folder) -> Result<T>,
    ) -> Result<(Self, T)> {
        let at = beside(path, NEW);
        let mut folder = Folder::create(&at)
            .map_err(|error| named(error, path))?
            .moved(path);
        if let Some(owner) = owner {
            folder = folder.given_to(owner);
        }
        let filled = folder.lock().and_then(|()| fill(&folder));
        let draft = Self { folder, at };
        match filled {
            Ok(filled) => Ok((draft, filled)),
            Err(error) => Err(draft.drop_for(error)),
        }
    }

    /// Moves it to where nothing stood.
    fn publish(self) -> Result<Folder> {
        match rename_to_nothing(&self.at, self.folder.path()) {
            Ok(()) => Ok(self.folder),
            Err(Errno::EXIST) => {
                let path = self.folder.path().into();
                Err(self.drop_for(Error::Exists { path }))
            }
            Err(errno) => {
                let error = failed(self.folder.path(), errno.into());
                Err(self.drop_for(error))
            }
        }
    }

    /// Moves it to where a profile stands, which then goes.
    fn replace(self) -> Result<Folder> {
        let path = self.folder.path().to_owned();
        let aside = beside(&path, OLD);
        if let Err(source) = fs::rename(&path, &aside) {
            return Err(self.drop_for(failed(&path, source)));
        }
        if let Err(source) = fs::rename(&self.at, &path) {
            let _ = fs::rename(&aside, &path);
            return Err(self.drop_for(failed(&path, source)));
        }
        remove(&Folder::open(&aside)?, &aside)?;
        Ok(self.folder)
    }

    /// Removes it; the first failure is the one to tell.
    fn drop_for(self, error: Error) -> Error {
        let _ = remove(&self.folder, &self.at);
        error
    }
}

/// Renames a folder to a name that nothing has. Where the file system cannot make sure of that, an empty folder goes.
fn rename_to_nothing(from: &Path, to: &Path) -> rustix::io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => renameat(CWD, from, CWD, to),
        result => result,
    }
}

/// Removes what recorders that were killed at the wrong moment have left beside the path.
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
            // What cannot be removed is in nobody's way.
            let _ = clear(&parent.join(entry.file_name()));
        }
    }
}

/// Whether a name is one that [`beside`] made for this path in a process that is no more.
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

/// Makes sure that what is at the path is a profile and nothing else, and that nobody writes it.
fn claim(path: &Path, is_folder: bool) -> Result<Folder> {
    let refused = |found| Error::NotReplaced {
        path: path.into(),
        found,
    };
    if !is_folder {
        return Err(refused("it is no folder"));
    }
    let folder = Folder::open(path)?;
    let names = folder.names()?;
    if !names.iter().any(|name| name == manifest::FILE) {
        return Err(refused("there is no manifest.json in it"));
    }
    if !names.iter().all(|name| is_ours(name)) {
        return Err(refused("there are other files in it"));
    }
    folder.lock()?;
    Ok(folder)
}

/// Whether a file of this name is one that a profile consists of.
fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    let fixed = [
        manifest::FILE,
        tables::CONNECTIONS,
        tables::LOSSES,
        room::FILE,
    ];
    fixed.contains(&name) || part_number(name).is_some()
}

/// Removes a profile's folder, which is at this path.
fn remove(folder: &Folder, path: &Path) -> Result<()> {
    for name in folder.names()?.iter().filter(|name| is_ours(name)) {
        folder.remove(name)?;
    }
    fs::remove_dir(path).map_err(|source| failed(path, source))
}

fn beside(path: &Path, purpose: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.{purpose}", std::process::id()));
    path.with_file_name(name)
}

/// The same failure, of another path.
fn named(error: Error, path: &Path) -> Error {
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
