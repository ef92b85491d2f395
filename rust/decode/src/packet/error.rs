//! Failures of reading packets: unreadable files and unsupported link types.

use std::{io, path::PathBuf};

use membench_event::{Class, Failure, Hint, io_class, io_hint};

/// Failure of reading packets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// Reading the file failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Reason from the system.
        source: io::Error,
    },
    /// The file is not a packet capture.
    #[error("{} is not a pcap or pcapng file: {found}", path.display())]
    NotACapture {
        /// Path of the file.
        path: PathBuf,
        /// Clause that describes the file's content, like `it is empty`.
        found: String,
    },
    /// The link type of the packets is not supported.
    #[error("{}: packets of link type {number} cannot be read", path.display())]
    LinkType {
        /// Path of the file, or name of the interface.
        path: PathBuf,
        /// Number of the link type (<https://www.tcpdump.org/linktypes.html>).
        number: u32,
    },
}

impl Failure for PacketError {
    fn class(&self) -> Class {
        match self {
            Self::Io { source, .. } => io_class(source),
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
