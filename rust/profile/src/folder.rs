//! A profile's folder, held by descriptor: creates, replaces and removes its files by name.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};

use crate::{Error, Result};

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::RDONLY)
    .union(OFlags::CLOEXEC);

/// Owner of a profile's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// An open folder. Files created in it belong to its owner.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    descriptor: OwnedFd,
    owner: Owner,
}

impl Folder {
    /// Creates a folder that only its owner can enter.
    pub(super) fn create(path: &Path) -> Result<Self> {
        fs::mkdirat(CWD, path, Mode::RWXU).map_err(|errno| failed(path, errno))?;
        let descriptor = fs::openat(CWD, path, FOLDER | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|errno| failed(path, errno))?;
        let folder = Self::from_descriptor(path, descriptor)?;
        folder.check(fs::fchmod(&folder.descriptor, Mode::RWXU))?;
        Ok(folder)
    }

    /// Gives the folder to another owner, or leaves it unchanged if that fails: not every file system supports owners.
    pub(super) fn with_owner(mut self, owner: Owner) -> Self {
        if give(&self.descriptor, owner).is_ok() {
            self.owner = owner;
        }
        self
    }

    /// Opens an existing folder.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let descriptor = fs::openat(CWD, path, FOLDER, Mode::empty()).map_err(|errno| {
            if errno == Errno::NOTDIR {
                return Error::NotAProfile {
                    path: path.into(),
                    found: "it is a file; a profile is a folder",
                };
            }
            failed(path, errno)
        })?;
        Self::from_descriptor(path, descriptor)
    }

    fn from_descriptor(path: &Path, descriptor: OwnedFd) -> Result<Self> {
        let facts = fs::fstat(&descriptor).map_err(|errno| failed(path, errno))?;
        Ok(Self {
            path: path.into(),
            descriptor,
            owner: Owner {
                uid: facts.st_uid,
                gid: facts.st_gid,
            },
        })
    }

    /// User and group that own the folder.
    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// Path of the folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns this open folder under another path: the one it is renamed to.
    pub(super) fn with_path(self, path: &Path) -> Self {
        Self {
            path: path.into(),
            ..self
        }
    }

    /// Free space on its disk that this user may fill, bytes; `None` if the file system does not report it.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        let disk = fs::fstatvfs(&self.descriptor).ok()?;
        (disk.f_blocks > 0).then(|| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Locks the folder for writing until it is dropped. Fails if another writer holds the lock.
    pub(super) fn lock(&self) -> Result<()> {
        match fs::flock(&self.descriptor, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Err(Error::BeingRecorded {
                path: self.path.clone(),
            }),
            result => self.check(result),
        }
    }

    /// Creates an empty file that only its owner can read. As root, gives it to the folder's owner.
    pub(super) fn create_file(&self, name: &str) -> Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = fs::openat(&self.descriptor, name, flags, mode)
            .map_err(|errno| self.failed(name, errno))?;
        if geteuid().is_root() {
            give(&file, self.owner).map_err(|errno| self.failed(name, errno))?;
        }
        Ok(file.into())
    }

    /// Opens a file for reading; `None` if it does not exist. Refuses pipes and devices, which might never end.
    pub(super) fn open_file(&self, name: &str) -> Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match fs::openat(&self.descriptor, name, flags, Mode::empty()) {
            Ok(file) => {
                let found = fs::fstat(&file).map_err(|errno| self.failed(name, errno))?;
                if !FileType::from_raw_mode(found.st_mode).is_file() {
                    return Err(self.failed(name, io::Error::other("not a regular file")));
                }
                Ok(Some(file.into()))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed(name, errno)),
        }
    }

    /// Reads a whole file; `None` if it does not exist.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(mut file) = self.open_file(name)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        file.read_to_end(&mut content)
            .map_err(|source| self.failed(name, source))?;
        Ok(Some(content))
    }

    /// Replaces a file's content atomically: a crash leaves either the old or the new.
    pub(super) fn replace(&self, name: &str, content: &[u8]) -> Result<()> {
        let draft = format!("{name}.tmp");
        let mut file = self.create_file(&draft)?;
        file.write_all(content)
            .map_err(|source| self.failed(&draft, source))?;
        self.publish(&file, &draft, name)
    }

    /// Replaces a file's content as [`Self::replace`] does, without waiting for the disk: after a power failure it may be
    /// empty.
    pub(super) fn replace_lazily(&self, name: &str, content: &[u8]) -> Result<()> {
        let draft = format!("{name}.tmp");
        let mut file = self.create_file(&draft)?;
        file.write_all(content)
            .map_err(|source| self.failed(&draft, source))?;
        fs::renameat(&self.descriptor, &draft, &self.descriptor, name)
            .map_err(|errno| self.failed(name, errno))
    }

    /// Makes a written draft durable and renames it to its final name.
    pub(super) fn publish(&self, file: &File, draft: &str, name: &str) -> Result<()> {
        file.sync_all()
            .map_err(|source| self.failed(draft, source))?;
        fs::renameat(&self.descriptor, draft, &self.descriptor, name)
            .map_err(|errno| self.failed(name, errno))?;
        self.check(fs::fsync(&self.descriptor))
    }

    /// Removes a file if it exists.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        match fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.failed(name, errno)),
        }
    }

    /// Names of all files, sorted.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let entries = Dir::read_from(&self.descriptor).map_err(|errno| self.failed("", errno))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|errno| self.failed("", errno))?;
            let name = entry.file_name().to_string_lossy();
            if name != "." && name != ".." {
                names.push(name.into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Builds an I/O error for a file of this folder.
    pub(super) fn failed(&self, name: &str, cause: impl Into<io::Error>) -> Error {
        failed(&self.path.join(name), cause)
    }

    fn check(&self, result: rustix::io::Result<()>) -> Result<()> {
        result.map_err(|errno| failed(&self.path, errno))
    }
}

fn give(file: impl AsFd, owner: Owner) -> rustix::io::Result<()> {
    let (user, group) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    fs::fchown(file, Some(user), Some(group))
}

fn failed(path: &Path, cause: impl Into<io::Error>) -> Error {
    Error::Io {
        path: path.into(),
        source: cause.into(),
    }
}
