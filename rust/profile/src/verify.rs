//! A profile → whether each of its files is as it was written.

use serde::Serialize;

use super::manifest;
use super::observation::observation_tables;
use super::part::Source;
use super::reader::Profile;
use super::stored::StoredFile;
use crate::{Error, Result};

/// Result of reading every file of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Files that are as they were written.
    pub files: u64,
    /// Their size, bytes.
    pub bytes: u64,
    /// Names of files without a checksum: those of an unsealed profile, and all before schema version 4.
    pub unchecked: Vec<String>,
    /// Files that are not as they were written, with the difference.
    pub damaged: Vec<String>,
}

impl Profile {
    /// Reads every file and compares it with its checksum.
    pub fn verify(&self) -> Result<Verification> {
        let mut found = Verification::default();
        // Opening the profile has compared the manifest with its own.
        if self.manifest().has_checksum() {
            found.files += 1;
        } else {
            found.unchecked.push(manifest::FILE.into());
        }
        for part in self.parts() {
            let name = &part.description.name;
            match &part.source {
                Source::File(file) => found.add(name, file)?,
                Source::Memory(_) => found.unchecked.push(name.clone()),
            }
        }
        let tables = [self.connection_table(), self.loss_table()].into_iter();
        let observed = observation_tables().map(|(name, _)| self.observation_table(name));
        for table in tables.chain(observed) {
            match table {
                Ok(table) => {
                    if let Some(file) = table.file() {
                        found.add(&table.name(), file)?;
                    }
                }
                Err(error) => found.note(error)?,
            }
        }
        Ok(found)
    }
}

impl Verification {
    fn add(&mut self, name: &str, file: &StoredFile) -> Result<()> {
        if !file.has_checksum() {
            self.unchecked.push(name.into());
            return Ok(());
        }
        match file.check() {
            Ok(()) => {
                self.files += 1;
                self.bytes += file.bytes();
                Ok(())
            }
            Err(error) => self.note(error),
        }
    }

    /// Notes damage; other failures are none of the file's.
    fn note(&mut self, error: Error) -> Result<()> {
        match error {
            Error::Changed { .. } | Error::Missing { .. } => {
                self.damaged.push(error.to_string());
                Ok(())
            }
            other => Err(other),
        }
    }
}
