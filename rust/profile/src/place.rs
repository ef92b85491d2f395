//! A path → the folder that holds it, by descriptor, and its name there.
//!
//! Root resolves a path link by link and follows none of a stranger. What a path leads to is looked up once; from then
//! on the descriptor counts, so that nobody can put something else in its place.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use super::owner::is_trusted;
use crate::{Error, Result};

/// Most links on the way to a file, as in the kernel.
const LINKS_MAX: usize = 40;

/// Type of the file system at `/proc`.
const PROC: fs::FsWord = 0x9fa0;

/// Flags that look something up without opening it.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Flags that look up a folder through a link.
const FOLLOW: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A name in an open folder, taken or not.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    parent: OwnedFd,
    name: OsString,
}

impl Place {
    /// Finds the folder that holds `path`, which itself need not exist.
    pub(super) fn find(path: &Path) -> Result<Self> {
        let name = path.file_name().ok_or(Error::NoName)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok(Self {
            path: path.into(),
            parent: resolve(parent).map_err(|found| found.error(path))?,
            name: name.into(),
        })
    }

    /// The path, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its last name.
    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }

    /// Returns the same folder's place of another name.
    pub(super) fn sibling(&self, name: impl Into<OsString>) -> Result<Self> {
        let name = name.into();
        Ok(Self {
            path: self.path.with_file_name(&name),
            parent: self
                .parent
                .try_clone()
                .map_err(|cause| self.failed(cause))?,
            name,
        })
    }

    /// Facts about what has the name, links included; `None` if nothing has.
    pub(super) fn facts(&self) -> Result<Option<Stat>> {
        match fs::statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(facts) => Ok(Some(facts)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed(errno)),
        }
    }

    /// Makes a folder that only its owner can enter.
    pub(super) fn make_folder(&self) -> Result<()> {
        fs::mkdirat(&self.parent, &self.name, Mode::RWXU).map_err(|errno| self.failed(errno))
    }

    /// Opens the folder that has the name; a link does not count as one.
    pub(super) fn open_folder(&self) -> Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        fs::openat(&self.parent, &self.name, flags, Mode::empty())
            .map_err(|errno| self.failed(errno))
    }

    /// Opens the folder that holds the name, to list it.
    pub(super) fn open_parent(&self) -> Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        fs::openat(&self.parent, ".", flags, Mode::empty()).map_err(|errno| self.failed(errno))
    }

    /// True if the name is that of an open file or folder.
    pub(super) fn holds(&self, descriptor: impl AsFd) -> bool {
        let held = fs::fstat(descriptor);
        match (held, self.facts()) {
            (Ok(held), Ok(Some(found))) => {
                (held.st_dev, held.st_ino) == (found.st_dev, found.st_ino)
            }
            _ => false,
        }
    }

    /// Renames what has the name to another one, and replaces what is there unless `keep` is set. File systems that
    /// cannot guarantee the latter replace an empty folder.
    pub(super) fn rename(&self, to: &Self, keep: bool) -> rustix::io::Result<()> {
        let replacing = || fs::renameat(&self.parent, &self.name, &to.parent, &to.name);
        if !keep {
            return replacing();
        }
        let flags = RenameFlags::NOREPLACE;
        match fs::renameat_with(&self.parent, &self.name, &to.parent, &to.name, flags) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => replacing(),
            result => result,
        }
    }

    /// Removes the empty folder `held` if the name is still its name.
    pub(super) fn remove_folder(&self, held: impl AsFd) -> Result<()> {
        if !self.holds(held) {
            return Err(self.replaced());
        }
        fs::unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR)
            .map_err(|errno| self.failed(errno))
    }

    /// The error for a name that somebody gave to something else meanwhile.
    pub(super) fn replaced(&self) -> Error {
        Error::Replaced {
            path: self.path.clone(),
        }
    }

    fn failed(&self, cause: impl Into<std::io::Error>) -> Error {
        Error::Io {
            path: self.path.clone(),
            source: cause.into(),
        }
    }
}

/// Finds the folder at `path`, through links of whom this thread trusts.
pub(super) fn find_folder(path: &Path) -> Result<OwnedFd> {
    resolve(path).map_err(|found| found.error(path))
}

/// The reason why a path leads nowhere.
enum Obstacle {
    System(Errno),
    /// A link that root does not follow, and its owner.
    Link(PathBuf, u32),
}

impl Obstacle {
    fn error(self, path: &Path) -> Error {
        match self {
            Self::System(errno) => Error::Io {
                path: path.into(),
                source: errno.into(),
            },
            Self::Link(link, uid) => Error::StrangersLink {
                path: path.into(),
                link,
                uid,
            },
        }
    }
}

impl From<Errno> for Obstacle {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

/// Walks to a folder, one name at a time.
fn resolve(path: &Path) -> std::result::Result<OwnedFd, Obstacle> {
    let mut folder = fs::openat(CWD, ".", LOOK | OFlags::DIRECTORY, Mode::empty())?;
    let mut rest = steps(path);
    let mut walked = PathBuf::new();
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        // Looking up a name alone would not mount what is mounted on demand.
        let _ = fs::statat(&folder, Path::new(&name).join("."), AtFlags::empty());
        let found = fs::openat(&folder, &name, LOOK, Mode::empty())?;
        let facts = fs::fstat(&found)?;
        match FileType::from_raw_mode(facts.st_mode) {
            FileType::Directory => {
                walked.push(&name);
                folder = found;
            }
            FileType::Symlink => {
                if fs::fstatfs(&found)?.f_type == PROC {
                    // Only the kernel can follow `/proc/PID/root`, which leads where its text does not say.
                    folder = fs::openat(&folder, &name, FOLLOW, Mode::empty())?;
                    walked.push(&name);
                    continue;
                }
                if !is_trusted(facts.st_uid) {
                    return Err(Obstacle::Link(walked.join(&name), facts.st_uid));
                }
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP.into());
                }
                let target = fs::readlinkat(&found, "", Vec::new())?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                let mut longer = steps(&target);
                longer.append(&mut rest);
                rest = longer;
            }
            _ => return Err(Errno::NOTDIR.into()),
        }
    }
    Ok(folder)
}

/// Names on a path, in order; an absolute one begins with the root folder.
fn steps(path: &Path) -> VecDeque<OsString> {
    let name = |part: Component<'_>| (part != Component::CurDir).then(|| part.as_os_str().into());
    path.components().filter_map(name).collect()
}
