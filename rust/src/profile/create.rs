//! A path → a new profile's folder, in place of nothing or, when told so, of an old profile.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::folder::{Folder, Owner};
use super::tail::part_number;
use super::{manifest, room, tables};
use crate::{Error, Result};

/// Makes the folder and fills it. What already stands at the path goes only when it is a profile, nobody writes it, it
/// is to be replaced, and the new one is filled. Without an owner it belongs to whoever runs this.
pub(super) fn create<T>(
    path: &Path,
    force: bool,
    owner: Option<Owner>,
    fill: impl FnOnce(&Folder) -> Result<T>,
) -> Result<(Folder, T)> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_filled(path, owner, fill),
        Err(source) => Err(failed(path, source)),
        Ok(_) if !force => Err(Error::Exists { path: path.into() }),
        Ok(metadata) => {
            let _claim = claim(path, metadata.is_dir())?;
            replace(path, owner, fill)
        }
    }
}

fn create_filled<T>(
    path: &Path,
    owner: Option<Owner>,
    fill: impl FnOnce(&Folder) -> Result<T>,
) -> Result<(Folder, T)> {
    let mut folder = Folder::create(path)?;
    if let Some(owner) = owner {
        folder = folder.given_to(owner);
    }
    let filled = folder.lock().and_then(|()| fill(&folder));
    match filled {
        Ok(filled) => Ok((folder, filled)),
        Err(error) => {
            // The first failure is the one to tell.
            let _ = remove(&folder);
            Err(error)
        }
    }
}

fn replace<T>(
    path: &Path,
    owner: Option<Owner>,
    fill: impl FnOnce(&Folder) -> Result<T>,
) -> Result<(Folder, T)> {
    let (draft, aside) = (beside(path, "new"), beside(path, "old"));
    let (folder, filled) = create_filled(&draft, owner, fill)?;
    fs::rename(path, &aside).map_err(|source| {
        let _ = remove(&folder);
        failed(path, source)
    })?;
    if let Err(source) = fs::rename(&draft, path) {
        let _ = fs::rename(&aside, path);
        let _ = remove(&folder);
        return Err(failed(path, source));
    }
    remove(&Folder::open(&aside)?)?;
    Ok((folder.moved(path), filled))
}

/// Makes sure that what is at the path is a profile and nothing else, and that nobody writes it.
fn claim(path: &Path, is_folder: bool) -> Result<Folder> {
    let refused = |found| Error::NotAProfile {
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

/// Removes a profile's folder.
fn remove(folder: &Folder) -> Result<()> {
    for name in folder.names()?.iter().filter(|name| is_ours(name)) {
        folder.remove(name)?;
    }
    fs::remove_dir(folder.path()).map_err(|source| failed(folder.path(), source))
}

fn beside(path: &Path, purpose: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.{purpose}", std::process::id()));
    path.with_file_name(name)
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::Io {
        path: path.into(),
        source,
    }
}
