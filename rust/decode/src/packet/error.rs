//! Failures of reading packets: from a file, or of a kind of link that is not understood.

use std::{io, path::PathBuf};

use membench_event::{Class, Failure, Hint, io_hint};

/// A failure of reading packets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is no packet capture.
    #[error("{} is no pcap or pcapng file: {found}", path.display())]
    NotACapture {
        /// The file.
        path: PathBuf,
        /// What the file is instead.
        found: String,
    },
    /// The packets begin with headers that are not understood.
    #[error("{}: packets of link type {number} cannot be read", path.display())]
    LinkType {
        /// The file, or the name of the interface.
        path: PathBuf,
        /// The link type's number (<https://www.tcpdump.org/linktypes.html>).
        number: u32,
    },
}

impl Failure for PacketError {
    fn class(&self) -> Class {
        match self {
            Self::Io { .. } => Class::Environment,
            Self::NotACapture { .. } | Self::LinkType { .. } => Class::Usage,
        }
    }

    fn hint(&self) -> Option<Hint> {
        match self {
            Self::Io { source, .. } => io_hint(source),
            Self::NotACapture { .. } => Some(Hint::text(
                "`tcpdump -i any -s 0 -w FILE.pcap tcp port 11211` makes one",
            )),
            Self::LinkType { .. } => Some(Hint::text(
                "capture on an Ethernet interface, on `lo` or on `any`",
            )),
        }
    }
}
