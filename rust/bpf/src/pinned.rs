//! A path in the BPF file system → the program, map or link that is pinned there.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use crate::{Error, Link, Map, ProgramFacts, Result, sys::command};

/// An object that a path in the BPF file system holds.
pub enum Pinned {
    /// A program; it can replace that of a link.
    Program(PinnedProgram),
    /// A map.
    Map(Map),
    /// A link. Dropping it detaches nothing while the pin is there.
    Link(Link),
}

/// A program that was pinned.
pub struct PinnedProgram {
    name: String,
    program: OwnedFd,
}

impl Pinned {
    /// Opens whatever is pinned at a path.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |source| Error::Pin {
            path: path.into(),
            source,
        };
        let object = command::get(path).map_err(failed)?;
        let description = format!("/proc/self/fdinfo/{}", object.as_raw_fd());
        let description = fs::read_to_string(description).map_err(failed)?;
        let has = |field: &str| description.lines().any(|line| line.starts_with(field));
        let name = path.file_name().unwrap_or(path.as_os_str());
        let name = name.to_string_lossy().into_owned();
        // A link is described with its program.
        if has("link_type:") {
            Ok(Self::Link(Link::from_descriptor(object)))
        } else if has("map_type:") {
            Map::from_fd(&name, object.as_fd()).map(Self::Map)
        } else if has("prog_type:") {
            let program = object;
            Ok(Self::Program(PinnedProgram { name, program }))
        } else {
            let text = "neither a program nor a map nor a link";
            Err(failed(io::Error::new(io::ErrorKind::InvalidData, text)))
        }
    }
}

impl PinnedProgram {
    /// Returns what the kernel tells of the program. This is a system call.
    pub fn facts(&self) -> Result<ProgramFacts> {
        ProgramFacts::of(self.as_fd()).map_err(|source| Error::Handle {
            name: self.name.clone(),
            operation: "info",
            source,
        })
    }
}

impl AsFd for PinnedProgram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}
