//! A file of a profile → its bytes, once they are known to be those that were written.

use std::fs::File;
use std::sync::{Arc, OnceLock};

use super::checksum::Checksum;
use super::content::Content;
use super::folder::{Facts, Folder};
use super::manifest::{Part, TableFile};
use super::pages::{self, PART_ROWS, TABLE_ROWS};
use super::tail::part_number;
use crate::{Error, Result};

/// A Parquet file of a profile. It is opened for each reader, so that a profile may have more files than a process may
/// open, and is checked by the first.
#[derive(Debug)]
pub(super) struct StoredFile {
    folder: Arc<Folder>,
    name: String,
    facts: Facts,
    checksum: Option<Checksum>,
    checked: OnceLock<()>,
    /// The open file, if it may be replaced meanwhile.
    held: Option<Content>,
}

/// Size and checksum of a file by its manifest.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    bytes: u64,
    checksum: Option<Checksum>,
}

impl From<&Part> for Expected {
    fn from(part: &Part) -> Self {
        Self {
            bytes: part.bytes,
            checksum: part.crc32,
        }
    }
}

impl From<&TableFile> for Expected {
    fn from(table: &TableFile) -> Self {
        Self {
            bytes: table.bytes,
            checksum: Some(table.crc32),
        }
    }
}

impl StoredFile {
    /// Finds a file; `None` if it does not exist. Its size must be the expected one.
    pub(super) fn find(
        folder: &Arc<Folder>,
        name: &str,
        expected: Option<Expected>,
    ) -> Result<Option<Self>> {
        let Some(facts) = folder.facts(name)? else {
            return Ok(None);
        };
        let file = Self {
            folder: Arc::clone(folder),
            name: name.into(),
            facts,
            checksum: expected.and_then(|expected| expected.checksum),
            checked: OnceLock::new(),
            held: None,
        };
        match expected {
            Some(expected) if expected.bytes != facts.bytes => {
                Err(file.changed(&format!("{} bytes, not {}", facts.bytes, expected.bytes)))
            }
            _ => Ok(Some(file)),
        }
    }

    /// Keeps the file open, because a recorder may replace it.
    pub(super) fn held(mut self) -> Result<Self> {
        self.held = Some(self.content()?);
        Ok(self)
    }

    /// Size of the file, bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.facts.bytes
    }

    /// True if the manifest has a checksum of the file.
    pub(super) fn has_checksum(&self) -> bool {
        self.checksum.is_some()
    }

    /// Opens the file. The first time, checks that its bytes are those that were written, and that its pages fit into
    /// memory.
    pub(super) fn open(&self) -> Result<Content> {
        let content = self.content()?;
        if self.checked.get().is_none() {
            self.check_bytes(&content)?;
            pages::check(&content, self.most_rows()).map_err(|found| Error::Damaged {
                path: self.folder.path().join(&self.name),
                found,
            })?;
            let _ = self.checked.set(());
        }
        Ok(content)
    }

    /// Reads the whole file and fails if its bytes are not those that were written.
    pub(super) fn check(&self) -> Result<()> {
        self.check_bytes(&self.content()?)
    }

    /// Opens the file that was found, and no other that has its name by now.
    pub(super) fn content(&self) -> Result<Content> {
        if let Some(held) = &self.held {
            return Ok(held.clone());
        }
        let missing = || Error::Missing {
            path: self.folder.path().into(),
            name: self.name.clone(),
        };
        let file: File = self.folder.open_file(&self.name)?.ok_or_else(missing)?;
        let found = Facts::of(&file).map_err(|errno| self.folder.failed(&self.name, errno))?;
        if found != self.facts {
            return Err(self.changed("another file has taken its name"));
        }
        Ok(Content::new(file, found.bytes))
    }

    fn most_rows(&self) -> u64 {
        if part_number(&self.name).is_some() {
            PART_ROWS
        } else {
            TABLE_ROWS
        }
    }

    fn check_bytes(&self, content: &Content) -> Result<()> {
        let Some(written) = self.checksum else {
            return Ok(());
        };
        let found = content.checksum();
        let found = found.map_err(|source| self.folder.failed(&self.name, source))?;
        if found == written {
            return Ok(());
        }
        let (found, written) = (String::from(found), String::from(written));
        Err(self.changed(&format!("its CRC-32 is {found}, not {written}")))
    }

    fn changed(&self, found: &str) -> Error {
        Error::Changed {
            path: self.folder.path().join(&self.name),
            found: found.into(),
        }
    }
}
