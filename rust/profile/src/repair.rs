//! An unsealed profile of a killed recorder → a sealed profile.

use std::path::Path;

use super::content::Content;
use super::folder::Folder;
use super::manifest::{Manifest, SCHEMA_VERSION, State};
use super::reader::part_numbers;
use super::tables;
use super::tail::{Tail, open_name, sealed_name};
use super::writer::seal_to_file;
use super::{room, scan};
use crate::Result;

/// Seals the parts that a killed recorder left open and removes its drafts. In a sealed profile it only removes drafts.
///
/// Losses of a killed recorder are unknown, so the ledger's `complete` stays `None`.
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
    if let Some(ended) = tables::open_ended(&folder)? {
        let open = tables::load_open(&folder, Some(&ended))?;
        tables::seal_connections(&folder, Some(&ended), &open)?;
    }
    manifest.schema_version = SCHEMA_VERSION;
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

/// True if a file was never renamed to its final name.
fn is_draft(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some()
}

/// Lists a sealed part in the manifest if the recorder was killed before it could.
fn describe(folder: &Folder, manifest: &mut Manifest, number: u32) -> Result<()> {
    let name = sealed_name(number);
    if manifest.parts.iter().any(|part| part.name == name) {
        return Ok(());
    }
    let Some(file) = folder.open_file(&name)? else {
        return Ok(());
    };
    let content = Content::from_file(file).map_err(|source| folder.failed(&name, source))?;
    let part = scan::part(&name, &folder.path().join(&name), &content)?;
    manifest.parts.push(part);
    Ok(())
}
