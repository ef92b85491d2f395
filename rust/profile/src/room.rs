//! Room on the disk kept for sealing: a file of no content whose blocks are given back when they are needed.

use std::fs::File;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::folder::Folder;
use crate::Result;

/// The file's name.
pub(super) const FILE: &str = "room";
/// What is kept beyond the parts: manifest and tables.
const MARGIN: u64 = 1 << 20;
/// Steps in which the room grows.
const STEP: u64 = 4 << 20;

/// Space that is ours but holds nothing.
pub(super) struct Room {
    file: Option<File>,
    length: u64,
}

impl Room {
    /// Keeps room for what is always written at the end.
    pub(super) fn keep(folder: &Folder) -> Result<Self> {
        let mut room = Self {
            file: Some(folder.create_file(FILE)?),
            length: 0,
        };
        room.grow(folder, MARGIN)?;
        Ok(room)
    }

    /// Makes sure that parts of this many bytes can be sealed even if the disk is full by then.
    pub(super) fn ensure(&mut self, folder: &Folder, parts: u64) -> Result<()> {
        let wanted = parts + MARGIN;
        if self.length >= wanted {
            return Ok(());
        }
        // A whole step first, which saves calls; what is needed, if there is no more than that.
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
            // A file system that cannot reserve: sealing then needs room that nobody promised.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.file = None,
            Err(errno) => return Err(folder.failed(FILE, errno)),
        }
        Ok(())
    }

    /// Gives back what is no longer needed once parts of only this many bytes are open.
    pub(super) fn shrink(&mut self, parts: u64) {
        let wanted = (parts + MARGIN).next_multiple_of(STEP);
        if let Some(file) = self.file.as_ref().filter(|_| wanted < self.length)
            && file.set_len(wanted).is_ok()
        {
            self.length = wanted;
        }
    }

    /// Gives all of it back.
    pub(super) fn release(&mut self, folder: &Folder) -> Result<()> {
        self.file = None;
        self.length = u64::MAX;
        folder.remove(FILE)
    }
}
