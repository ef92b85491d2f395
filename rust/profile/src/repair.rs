//! A profile that a killed recorder left behind → a sealed one.

use std::path::Path;

use super::content::Content;
use super::folder::Folder;
use super::manifest::{Manifest, State};
use super::reader::part_numbers;
use super::tail::{Tail, open_name, sealed_name};
use super::writer::seal_to_file;
use super::{room, scan};
use crate::Result;

/// Seals what a killed recorder left and removes its drafts; a sealed profile stays as it is. What was lost cannot be
/// known any more, so the ledger's `complete` stays unknown.
pub fn repair(path: impl AsRef<Path>) -> Result<Manifest> {
    let folder = Folder::open(path.as_ref())?;
    let mut manifest = Manifest::load(&folder)?;
    folder.lock()?;
    remove_drafts(&folder)?;
    if manifest.state == State::Sealed {
        return Ok(manifest);
    }
    let parts = part_numbers(&folder)?;
    for &(number, sealed) in &parts {
        if sealed {
            describe(&folder, &mut manifest, number)?;
        } else if parts.contains(&(number, true)) {
            folder.remove(&open_name(number))?;
        } else if let Some(file) = folder.open_file(&open_name(number))? {
            let tail = Tail::open(&folder, number, file)?;
            manifest.parts.extend(seal_to_file(&folder, &tail)?);
        }
    }
    manifest.state = State::Sealed;
    manifest.repaired = true;
    manifest.save(&folder)?;
    Ok(manifest)
}

fn remove_drafts(folder: &Folder) -> Result<()> {
    folder.remove(room::FILE)?;
    for name in folder.names()?.iter().filter(|name| is_draft(name)) {
        folder.remove(name)?;
    }
    Ok(())
}

/// Whether a file is one that was never put under its own name.
fn is_draft(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some()
}

/// Adds a part that was sealed when the recorder had no time left to say so.
fn describe(folder: &Folder, manifest: &mut Manifest, number: u32) -> Result<()> {
    let name = sealed_name(number);
    if manifest.parts.iter().any(|part| part.name == name) {
        return Ok(());
    }
    let Some(file) = folder.open_file(&name)? else {
        return Ok(());
    };
    let content = Content::of(file).map_err(|source| folder.failed(&name, source))?;
    let part = scan::part(&name, &folder.path().join(&name), &content)?;
    manifest.parts.push(part);
    Ok(())
}
