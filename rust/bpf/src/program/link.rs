//! Links, which keep programs attached.

use std::{any::Any, fs::File, io, path::Path};

use aya::{
    programs::{
        ProgramError,
        iter::IterLink,
        links::{FdLink, LinkError},
        xdp::XdpLink,
    },
    util::KernelVersion,
};

use crate::{Error, Result, failure};

/// An attached program. Dropping the link detaches it; pinning keeps it attached after this process.
pub struct Link(Held);

enum Held {
    /// Links of the kernel, one for each place.
    Descriptors(Vec<FdLink>),
    /// An iterator, which is read.
    Iterator(IterLink),
    /// A program at an interface: a link of the kernel since Linux 5.9.
    Xdp(XdpLink),
    /// An attachment without a link, or one that aya keeps to itself.
    Other(#[expect(dead_code, reason = "held until it is dropped")] Box<dyn Any + Send + Sync>),
}

impl Link {
    /// Detaches the program. What it wrote stays in the maps.
    pub fn detach(self) {
        drop(self);
    }

    /// Pins the link in the BPF file system, where it outlives this process. Removing the file detaches the program.
    pub fn pin(self, path: &Path) -> Result<()> {
        let failed = |source| Error::Pin {
            path: path.into(),
            source,
        };
        let unsupported = || {
            let text = "this program is not attached by a single link of the kernel";
            failed(io::Error::new(io::ErrorKind::Unsupported, text))
        };
        let link = match self.0 {
            Held::Descriptors(mut links) if links.len() == 1 => links.pop(),
            // Converting an older attachment would leave the program attached with nobody to detach it.
            Held::Xdp(link) if has_xdp_links() => FdLink::try_from(link).ok(),
            Held::Iterator(link) => FdLink::try_from(link).ok(),
            Held::Descriptors(_) | Held::Xdp(_) | Held::Other(_) => None,
        };
        let pinned = link.ok_or_else(unsupported)?.pin(path);
        pinned
            .map(drop)
            .map_err(|error| failed(failure::pin_cause(error)))
    }

    /// Turns the link of an iterator into a file, which runs the program while it is read; `None` for other links.
    pub fn into_file(self) -> Option<io::Result<File>> {
        match self.0 {
            Held::Iterator(link) => Some(link.into_file().map_err(link_cause)),
            Held::Descriptors(_) | Held::Xdp(_) | Held::Other(_) => None,
        }
    }

    pub(super) fn iterator(link: IterLink) -> Self {
        Self(Held::Iterator(link))
    }

    pub(super) fn xdp(link: XdpLink) -> Self {
        Self(Held::Xdp(link))
    }

    pub(super) fn other(link: impl Any + Send + Sync) -> Self {
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
fn has_xdp_links() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(5, 9, 0))
}

fn link_cause(error: LinkError) -> io::Error {
    match error {
        LinkError::SyscallError(error) => error.io_error,
        error => io::Error::other(error),
    }
}
