//! Disk space reserved for sealing: a preallocated file whose blocks are freed when the space is needed.

use std::fs::File;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::folder::Folder;
use crate::Result;

/// Name of the preallocated file.
pub(super) const FILE: &str = "room";
/// Space reserved beyond the parts, for the manifest and the tables, bytes.
const MARGIN: u64 = 1 << 20;
/// Granularity of the reservation, bytes.
const STEP: u64 = 4 << 20;

/// Disk space that is allocated but unused.
pub(super) struct Room {
    file: Option<File>,
    length: u64,
}

impl Room {
    /// Reserves the space for the files that end every profile.
    pub(super) fn create(folder: &Folder) -> Result<Self> {
        let mut room = Self {
            file: Some(folder.create_file(FILE)?),
            length: 0,
        };
        room.grow(folder, MARGIN)?;
        Ok(room)
    }

    /// Reserves enough space to seal open parts of `parts` bytes even on a full disk.
    pub(super) fn ensure(&mut self, folder: &Folder, parts: u64) -> Result<()> {
        let wanted = parts + MARGIN;
        if self.length >= wanted {
            return Ok(());
        }
        // Whole steps save calls. If the disk lacks the space for one, take only what is needed.
        let step = wanted.next_multiple_of(STEP);
        self.grow(folder, step)
            .or_else(|_| self.grow(folder, wanted))
    }

    fn grow(&mut self, folder: &Folder, length: u64) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        match fallocate(file, FallocateFlags::empty(), 0, length) {
            Ok(()) => self.length = length,
            // This file system cannot preallocate: sealing may fail on a full disk.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.file = None,
            Err(errno) => return Err(folder.failed(FILE, errno)),
        }
        Ok(())
    }

    /// Frees the space that open parts of `parts` bytes do not need.
    pub(super) fn shrink(&mut self, parts: u64) {
        let wanted = (parts + MARGIN).next_multiple_of(STEP);
        if let Some(file) = self.file.as_ref().filter(|_| wanted < self.length)
            && file.set_len(wanted).is_ok()
        {
            self.length = wanted;
        }
    }

    /// Frees all of the space.
    pub(super) fn release(&mut self, folder: &Folder) -> Result<()> {
        self.file = None;
        self.length = u64::MAX;
        folder.remove(FILE)
    }
}
