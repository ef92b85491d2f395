//! A profile's folder, held by descriptor: creates, replaces and removes its files by name.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::owner::Owner;
use super::place::{Place, find_folder};
use crate::{Error, Result};

/// Mode of a profile's files.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// An open folder. Files created in it belong to its owner.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    descriptor: OwnedFd,
    owner: Owner,
    /// True if files of other users are refused.
    only_own: bool,
}

impl Folder {
    /// Creates a folder that only its owner can enter, for the path `path`.
    pub(super) fn create(place: &Place, path: &Path) -> Result<Self> {
        place.make_folder()?;
        Self::adopt(place, path)
    }

    /// Opens the empty folder that this thread has just made.
    pub(super) fn adopt(place: &Place, path: &Path) -> Result<Self> {
        let folder = Self::from_descriptor(path, place.open_folder()?)?;
        folder.check_made(place)?;
        folder.check(fs::fchmod(&folder.descriptor, Mode::RWXU))?;
        Ok(folder)
    }

    /// Fails if the open folder is not the one that this thread has just made: whoever may rename in its parent could
    /// have put another one there. A new file in it belongs to its owner only if both were made by the same user; the
    /// file system may call that user by another name.
    fn check_made(&self, place: &Place) -> Result<()> {
        const PROBE: &str = "room";
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let probe = fs::openat(&self.descriptor, PROBE, flags | OFlags::NOFOLLOW, PRIVATE)
            .map_err(|errno| self.failed(PROBE, errno))?;
        let owner = fs::fstat(&probe).map(|facts| facts.st_uid);
        self.remove(PROBE)?;
        let is_made = owner == Ok(self.owner.uid) && self.names()?.is_empty();
        if is_made {
            Ok(())
        } else {
            Err(place.replaced())
        }
    }

    /// Gives the folder to another owner, or leaves it unchanged if that fails: not every file system supports owners.
    pub(super) fn with_owner(mut self, owner: Owner) -> Self {
        if give(&self.descriptor, owner).is_ok() {
            self.owner = owner;
        }
        self
    }

    /// Opens an existing folder to read it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let not_a_folder = || Error::NotAProfile {
            path: path.into(),
            found: "it is a file; a profile is a folder",
        };
        let found = find_folder(path).map_err(|error| match error {
            Error::Io { source, .. } if source.kind() == io::ErrorKind::NotADirectory => {
                not_a_folder()
            }
            other => other,
        })?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let descriptor =
            fs::openat(&found, ".", flags, Mode::empty()).map_err(|errno| failed(path, errno))?;
        Self::from_descriptor(path, descriptor)
    }

    /// Opens an existing folder to change it: it reads only files of the folder's owner, so that root never writes the
    /// content of anyone else's into the owner's files.
    pub(super) fn open_to_change(path: &Path) -> Result<Self> {
        let folder = Self::open(path)?;
        Ok(Self {
            only_own: geteuid().is_root(),
            ..folder
        })
    }

    /// Opens the folder at a place; a link does not count as one.
    pub(super) fn open_at(place: &Place) -> Result<Self> {
        Self::from_descriptor(place.path(), place.open_folder()?)
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
            only_own: false,
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

    /// True if a writer holds the lock.
    pub(super) fn is_locked(&self) -> bool {
        let shared = fs::flock(&self.descriptor, FlockOperation::NonBlockingLockShared);
        if shared.is_ok() {
            let _ = fs::flock(&self.descriptor, FlockOperation::Unlock);
        }
        shared == Err(Errno::WOULDBLOCK)
    }

    /// Creates an empty file that only its owner can read. As root, gives it to the folder's owner.
    ///
    /// Anything that had the name is removed before: it may be a link, or another name of a file that is not the profile's.
    pub(super) fn create_file(&self, name: &str) -> Result<File> {
        self.remove(name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = fs::openat(&self.descriptor, name, flags | OFlags::NOFOLLOW, PRIVATE)
            .map_err(|errno| self.failed(name, errno))?;
        if geteuid().is_root() {
            give(&file, self.owner).map_err(|errno| self.failed(name, errno))?;
        }
        Ok(file.into())
    }

    /// Opens a file for reading; `None` if it does not exist. Refuses links, and pipes and devices, which might never
    /// end.
    pub(super) fn open_file(&self, name: &str) -> Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let file = match fs::openat(&self.descriptor, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            // A link, and a socket.
            Err(Errno::LOOP | Errno::NXIO) => return Err(self.not_a_file(name)),
            Err(errno) => return Err(self.failed(name, errno)),
        };
        let found = fs::fstat(&file).map_err(|errno| self.failed(name, errno))?;
        if !is_file(&found) {
            return Err(self.not_a_file(name));
        }
        if self.only_own && found.st_uid != self.owner.uid {
            return Err(Error::StrangersFile {
                path: self.path.join(name),
                uid: found.st_uid,
                owner: self.owner.uid,
            });
        }
        Ok(Some(file.into()))
    }

    /// Returns facts about a file; `None` if it does not exist. Refuses what [`Self::open_file`] refuses.
    pub(super) fn facts(&self, name: &str) -> Result<Option<Facts>> {
        match fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if is_file(&found) => Ok(Some(Facts::new(&found))),
            Ok(_) => Err(self.not_a_file(name)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed(name, errno)),
        }
    }

    fn not_a_file(&self, name: &str) -> Error {
        self.failed(name, io::Error::other("not a regular file"))
    }

    /// Reads a whole file of at most `limit` bytes; `None` if it does not exist.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(name)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        let read = file.take(limit + 1).read_to_end(&mut content);
        let length = read.map_err(|source| self.failed(name, source))?;
        if length as u64 > limit {
            return Err(Error::Damaged {
                path: self.path.join(name),
                found: format!("more than {} MiB", limit >> 20),
            });
        }
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

/// Facts by which a file is told from another that takes its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    device: u64,
    inode: u64,
    /// Size, bytes.
    pub(super) bytes: u64,
}

impl Facts {
    /// Facts about an open file.
    pub(super) fn of(file: &File) -> rustix::io::Result<Self> {
        fs::fstat(file).map(|found| Self::new(&found))
    }

    fn new(found: &Stat) -> Self {
        Self {
            device: found.st_dev,
            inode: found.st_ino,
            bytes: found.st_size.cast_unsigned(),
        }
    }
}

fn is_file(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode).is_file()
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn give(file: impl AsFd, owner: Owner) -> rustix::io::Result<()> {
    let (user, group) = owner.ids();
    fs::fchown(file, Some(user), Some(group))
}

fn failed(path: &Path, cause: impl Into<io::Error>) -> Error {
    Error::Io {
        path: path.into(),
        source: cause.into(),
    }
}
