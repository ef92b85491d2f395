//! Links, which keep programs attached.

use std::{
    any::Any,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use aya::{
    programs::{
        ProgramError,
        links::{FdLink, LinkError},
    },
    util::KernelVersion,
};

use crate::{Error, LinkFacts, Result, failure, sys::command};

/// An attached program. Dropping the link detaches it; pinning keeps it attached after this process.
pub struct Link(Held);

enum Held {
    /// Links of the kernel, one for each place.
    Descriptors(Vec<FdLink>),
    /// An iterator, which is read.
    Iterator(OwnedFd),
    /// A link that this crate made or opened.
    Own(OwnedFd),
    /// An attachment without a link, or one that aya keeps to itself.
    Other(#[expect(dead_code, reason = "held until it is dropped")] Box<dyn Any + Send + Sync>),
}

impl Link {
    /// Detaches the program. What it wrote stays in the maps.
    pub fn detach(self) {
        drop(self);
    }

    /// Pins the link in the BPF file system, where it outlives this value and this process. It ends when the file is
    /// removed and nobody holds the link.
    pub fn pin(&mut self, path: &Path) -> Result<()> {
        let failed = |source| Error::Pin {
            path: path.into(),
            source,
        };
        let held = std::mem::replace(&mut self.0, Held::Descriptors(Vec::new()));
        let (held, pinned) = pin(held, path);
        self.0 = held;
        pinned.map_err(failed)
    }

    /// Opens a link that was pinned in the BPF file system. Dropping it detaches nothing while the pin is there.
    pub(crate) fn from_descriptor(link: OwnedFd) -> Self {
        Self(Held::Own(link))
    }

    /// Returns what the kernel tells of the link; one for each place that the program is attached to, none if the kernel
    /// makes no link of it.
    pub fn facts(&self) -> Result<Vec<LinkFacts>> {
        let failed = |source| Error::Handle {
            name: "link".into(),
            operation: "info",
            source,
        };
        match &self.0 {
            Held::Descriptors(links) => links
                .iter()
                .map(|link| LinkFacts::of_aya(link).map_err(|error| failed(link_cause(error))))
                .collect(),
            Held::Own(link) | Held::Iterator(link) => LinkFacts::of(link.as_fd())
                .map(|facts| vec![facts])
                .map_err(failed),
            Held::Other(_) => Ok(Vec::new()),
        }
    }

    /// Replaces the program of the link by another of its type, with no event between them that neither sees. The kernel
    /// does so for interfaces (`tcx`, `xdp`) and control groups (`cgroup_skb`, `sockops`).
    ///
    /// # Errors
    ///
    /// Fails with `EOPNOTSUPP` for other links: attach the other program, then detach this one.
    pub fn replace(&self, program: BorrowedFd<'_>) -> Result<()> {
        let replaced = match &self.0 {
            Held::Own(link) => command::update(link.as_fd(), program),
            _ => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
        };
        replaced.map_err(|source| Error::Handle {
            name: "link".into(),
            operation: "replace",
            source,
        })
    }

    /// Turns the link of an iterator into a file, which runs the program while it is read; `None` for other links.
    pub fn into_file(self) -> Option<io::Result<File>> {
        self.file()
    }

    /// Opens a file that runs the program of an iterator while it is read; `None` for other links.
    pub fn file(&self) -> Option<io::Result<File>> {
        match &self.0 {
            Held::Iterator(link) => Some(command::iterator(link.as_fd())),
            Held::Descriptors(_) | Held::Own(_) | Held::Other(_) => None,
        }
    }

    pub(super) fn iterator(link: OwnedFd) -> Self {
        Self(Held::Iterator(link))
    }

    pub(crate) fn other(link: impl Any + Send + Sync) -> Self {
        Self(Held::Other(Box::new(link)))
    }

    /// Wraps a link on perf events, which is one of the kernel's since Linux 5.15.
    pub(super) fn perf<L: Any + Send + Sync>(link: L) -> std::result::Result<Self, ProgramError>
    where
        FdLink: TryFrom<L, Error = LinkError>,
    {
        if aya::features().bpf_perf_link() {
            Self::from_kernel(link)
        } else {
            Ok(Self::other(link))
        }
    }

    /// Wraps a link that is one of the kernel's on every kernel that makes it.
    pub(super) fn from_kernel<L>(link: L) -> std::result::Result<Self, ProgramError>
    where
        FdLink: TryFrom<L, Error = LinkError>,
    {
        let link = FdLink::try_from(link);
        link.map(Self::from)
            .map_err(|error| ProgramError::IOError(link_cause(error)))
    }

    /// Joins the links of a program that is attached at several places.
    pub(super) fn join(links: impl IntoIterator<Item = Self>) -> Self {
        let (mut descriptors, mut others) = (Vec::new(), Vec::new());
        for link in links {
            match link.0 {
                Held::Descriptors(links) => descriptors.extend(links),
                held => others.push(Self(held)),
            }
        }
        if others.is_empty() {
            Self(Held::Descriptors(descriptors))
        } else {
            others.push(Self(Held::Descriptors(descriptors)));
            Self::other(others)
        }
    }
}

impl From<FdLink> for Link {
    fn from(link: FdLink) -> Self {
        Self(Held::Descriptors(vec![link]))
    }
}

/// Returns true if this kernel attaches programs to interfaces by links.
pub(super) fn has_xdp_links() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(5, 9, 0))
}

fn pin(held: Held, path: &Path) -> (Held, io::Result<()>) {
    let link = match held {
        Held::Descriptors(mut links) if links.len() == 1 => match links.pop() {
            Some(link) => link,
            None => return (Held::Descriptors(links), Err(unsupported())),
        },
        Held::Iterator(link) => {
            let pinned = command::pin(link.as_fd(), path);
            return (Held::Iterator(link), pinned);
        }
        Held::Own(link) => {
            let pinned = command::pin(link.as_fd(), path);
            return (Held::Own(link), pinned);
        }
        held => return (held, Err(unsupported())),
    };
    match link.pin(path) {
        Ok(link) => (Held::Descriptors(vec![link.into()]), Ok(())),
        Err(error) => (
            Held::Descriptors(Vec::new()),
            Err(failure::pin_cause(error)),
        ),
    }
}

fn unsupported() -> io::Error {
    let text = "this program is not attached by a single link of the kernel";
    io::Error::new(io::ErrorKind::Unsupported, text)
}

fn link_cause(error: LinkError) -> io::Error {
    match error {
        LinkError::SyscallError(error) => error.io_error,
        error => io::Error::other(error),
    }
}
