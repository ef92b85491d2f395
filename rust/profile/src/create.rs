//! A path → the folder of a new profile, which replaces an old one only when forced to.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Dir, FileType};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::folder::Folder;
use super::owner::Owner;
use super::place::Place;
use super::tail::part_number;
use super::{connections, manifest, observation, room, tables};
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
    let place = Place::find(path)?;
    let claim = match place.facts()? {
        None => None,
        Some(_) if !force => return Err(exists(&place, owner)),
        Some(_) => Some(claim(&place, owner)?),
    };
    clear_leftovers(&place, owner);
    let (draft, filled) = Draft::fill(&place, owner, fill)?;
    let folder = match claim {
        None => draft.publish(owner)?,
        Some(old) => draft.replace(&old)?,
    };
    Ok((folder, filled))
}

/// A folder under a temporary name until it is filled, so that a recorder killed meanwhile leaves nothing that looks
/// like a profile.
struct Draft<'a> {
    /// The folder, which already reports its final path.
    folder: Folder,
    /// Its temporary place.
    temporary: Place,
    /// Its final place.
    place: &'a Place,
}

impl<'a> Draft<'a> {
    fn fill<T>(
        place: &'a Place,
        owner: Option<Owner>,
        fill: impl FnOnce(&Folder) -> Result<T>,
    ) -> Result<(Self, T)> {
        let temporary = sibling(place, NEW)?;
        let mut folder = Folder::create(&temporary, place.path())
            .map_err(|error| with_path(error, place.path()))?;
        if let Some(owner) = owner {
            folder = folder.with_owner(owner);
        }
        let filled = folder.lock().and_then(|()| fill(&folder));
        let draft = Self {
            folder,
            temporary,
            place,
        };
        match filled {
            Ok(filled) => Ok((draft, filled)),
            Err(error) => Err(draft.abandon(error)),
        }
    }

    /// Renames the draft to its final place, where nothing may exist.
    fn publish(self, owner: Option<Owner>) -> Result<Folder> {
        match self.temporary.rename(self.place, true) {
            Ok(()) => self.published(),
            Err(Errno::EXIST) => {
                let error = exists(self.place, owner);
                Err(self.abandon(error))
            }
            Err(errno) => {
                let error = failed(self.place.path(), errno.into());
                Err(self.abandon(error))
            }
        }
    }

    /// Renames the draft to its final place and removes the profile that was there, which is held open as `old`.
    fn replace(self, old: &Folder) -> Result<Folder> {
        let aside = sibling(self.place, OLD)?;
        let place = self.place;
        if let Err(errno) = place.rename(&aside, true) {
            return Err(self.abandon(failed(place.path(), errno.into())));
        }
        let moved = if aside.holds(old) {
            self.temporary.rename(place, true)
        } else {
            // Somebody gave the name to something else after it was claimed: that goes back.
            Err(Errno::STALE)
        };
        if let Err(errno) = moved {
            let _ = aside.rename(place, true);
            let error = if errno == Errno::STALE {
                place.replaced()
            } else {
                failed(place.path(), errno.into())
            };
            return Err(self.abandon(error));
        }
        remove(old, &aside)?;
        self.published()
    }

    /// Returns the folder, provided that its final name is indeed its name.
    fn published(self) -> Result<Folder> {
        if self.place.holds(&self.folder) {
            Ok(self.folder)
        } else {
            Err(self.place.replaced())
        }
    }

    /// Removes the draft and returns `error`, which matters more than a failure to remove.
    fn abandon(self, error: Error) -> Error {
        let _ = remove(&self.folder, &self.temporary);
        error
    }
}

/// Removes drafts and replaced profiles that killed recorders left beside the place.
fn clear_leftovers(place: &Place, owner: Option<Owner>) {
    let Ok(entries) = place
        .open_parent()
        .and_then(|parent| Dir::new(parent).map_err(|errno| failed(place.path(), errno.into())))
    else {
        return;
    };
    for entry in entries.flatten() {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if is_leftover(name, place.name()) {
            // A leftover that cannot be removed does no harm.
            let _ = clear(place, name, owner);
        }
    }
}

/// True if [`sibling`] made this name for a profile of the name `of`, in this process or in one that no longer runs.
fn is_leftover(name: &OsStr, of: &OsStr) -> bool {
    let (Some(name), Some(of)) = (name.to_str(), of.to_str()) else {
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

fn clear(place: &Place, name: &OsStr, owner: Option<Owner>) -> Result<()> {
    let left = place.sibling(name)?;
    let folder = Folder::open_at(&left)?;
    if !is_ours_to_remove(&folder, owner) {
        return Ok(());
    }
    folder.lock()?;
    if folder.names()?.iter().all(|name| is_ours(name)) {
        remove(&folder, &left)?;
    }
    Ok(())
}

/// Returns the error for an output that exists.
fn exists(place: &Place, owner: Option<Owner>) -> Error {
    Error::Exists {
        path: place.path().into(),
        is_profile: find_profile(place, owner).is_ok(),
    }
}

/// Locks the folder at the place after checking that it is a profile of ours and contains nothing else.
fn claim(place: &Place, owner: Option<Owner>) -> Result<Folder> {
    let folder = find_profile(place, owner)?;
    folder.lock()?;
    Ok(folder)
}

/// Opens the folder at the place, provided that it is a profile of ours and contains nothing else.
fn find_profile(place: &Place, owner: Option<Owner>) -> Result<Folder> {
    let refused = |found| Error::NotReplaced {
        path: place.path().into(),
        found,
    };
    let is_folder = |mode| FileType::from_raw_mode(mode) == FileType::Directory;
    if !place.facts()?.is_some_and(|found| is_folder(found.st_mode)) {
        return Err(refused("it is not a folder"));
    }
    let folder = Folder::open_at(place)?;
    let names = folder.names()?;
    if !names.iter().any(|name| name == manifest::FILE) {
        return Err(refused("it has no manifest.json"));
    }
    if !names.iter().all(|name| is_ours(name)) {
        return Err(refused("it contains other files"));
    }
    if !is_ours_to_remove(&folder, owner) {
        return Err(refused("it belongs to another user"));
    }
    Ok(folder)
}

/// True if a folder belongs to the calling user, or to the one that the new profile is for.
fn is_ours_to_remove(folder: &Folder, owner: Option<Owner>) -> bool {
    let uid = folder.owner().uid;
    uid == geteuid().as_raw() || owner.is_some_and(|owner| owner.uid == uid)
}

/// True if a profile may contain a file of this name.
pub(super) fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    let fixed = [
        manifest::FILE,
        tables::CONNECTIONS,
        connections::ENDED,
        tables::LOSSES,
        room::FILE,
    ];
    fixed.contains(&name) || part_number(name).is_some() || observation::is_file(name)
}

/// Removes the files of an open profile, then its folder, which has its name at `place`.
fn remove(folder: &Folder, place: &Place) -> Result<()> {
    for name in folder.names()?.iter().filter(|name| is_ours(name)) {
        folder.remove(name)?;
    }
    place.remove_folder(folder)
}

/// Place of a temporary folder beside the profile, named after it and this process.
fn sibling(place: &Place, purpose: &str) -> Result<Place> {
    let mut name = OsString::from(".");
    name.push(place.name());
    name.push(format!(".{}.{purpose}", std::process::id()));
    place.sibling(name)
}

/// Replaces the path that an I/O error names.
fn with_path(error: Error, path: &Path) -> Error {
    match error {
        Error::Io { path: _, source } => failed(path, source),
        other => other,
    }
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Io {
        path: path.into(),
        source,
    }
}
