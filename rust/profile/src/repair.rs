//! An unsealed profile of a killed recorder → a sealed profile.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::file::reader::Length;

use super::content::Content;
use super::create::is_ours;
use super::folder::Folder;
use super::manifest::{Manifest, SCHEMA_VERSION, State, TableFile};
use super::reader::part_numbers;
use super::stored_table::Table;
use super::tail::{Tail, open_name, sealed_name};
use super::writer::seal_to_file;
use super::{connections, observation, room, scan, streams, tables};
use crate::Result;

/// Seals the parts that a killed recorder left open and removes its drafts. In a sealed profile it only removes drafts.
///
/// Losses of a killed recorder are unknown, so the ledger's `complete` stays `None`.
pub fn repair(path: impl AsRef<Path>) -> Result<Manifest> {
    let folder = Arc::new(Folder::open_to_change(path.as_ref())?);
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
    connections::seal_found(&folder)?;
    streams::seal_found(&folder)?;
    find_tables(&folder, &mut manifest)?;
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

/// True if a file of the profile was never renamed to its final name.
fn is_draft(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some_and(is_ours)
}

/// Lists a sealed part in the manifest if the recorder was killed before it could.
fn describe(folder: &Folder, manifest: &mut Manifest, number: u32) -> Result<()> {
    let name = sealed_name(number);
    let known = manifest.parts.iter_mut().find(|part| part.name == name);
    if known.as_ref().is_some_and(|part| part.crc32.is_some()) {
        return Ok(());
    }
    let Some(file) = folder.open_file(&name)? else {
        return Ok(());
    };
    let content = content(folder, &name, file)?;
    if let Some(part) = known {
        let checksum = content.checksum();
        part.crc32 = Some(checksum.map_err(|source| folder.failed(&name, source))?);
        return Ok(());
    }
    let part = scan::part(&name, &folder.path().join(&name), &content)?;
    manifest.parts.push(part);
    Ok(())
}

/// Lists the tables that the recorder wrote before it was killed.
fn find_tables(folder: &Arc<Folder>, manifest: &mut Manifest) -> Result<()> {
    manifest.tables.clear();
    let observed = observation::observation_tables();
    let observed: Vec<_> = observed
        .map(|(table, _)| observation::sealed_name(table))
        .collect();
    let names = [tables::CONNECTIONS, tables::LOSSES].into_iter();
    for name in names.chain(observed.iter().map(String::as_str)) {
        let Some(file) = folder.open_file(name)? else {
            continue;
        };
        let content = content(folder, name, file)?;
        if content.len() == 0 {
            // A power failure while it was replaced.
            folder.remove(name)?;
            continue;
        }
        let checksum = content.checksum();
        if name == tables::CONNECTIONS {
            let rows = Table::find(folder, name, tables::connection_schema(), None)?.rows()?;
            manifest.connections = rows;
        }
        manifest.tables.push(TableFile {
            name: name.into(),
            bytes: content.len(),
            crc32: checksum.map_err(|source| folder.failed(name, source))?,
        });
    }
    Ok(())
}

fn content(folder: &Folder, name: &str, file: File) -> Result<Content> {
    let length = file.metadata().map(|found| found.len());
    let length = length.map_err(|source| folder.failed(name, source))?;
    Ok(Content::new(file, length))
}
