//! A packet that passed an interface → its records in the ring.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes behind the outer headers of a tunnel in which a followed port is looked for.
pub const SCANNED: usize = 512;

/// Directions of a packet: values of [`Packet::way`].
pub mod way {
    /// Came in through the interface.
    pub const IN: u16 = 1;
    /// Went out through the interface.
    pub const OUT: u16 = 2;
}

/// The head of a packet's record, which a part of the packet follows. A packet that is longer than one record carries
/// becomes several records, one after the other on one CPU. If one of them does not fit into the ring, those after it are
/// not there either.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Packet {
    /// Time at which the packet passed, CLOCK_MONOTONIC, ns; the same in each of its records.
    pub time: u64,
    /// Length of the packet with its link header, bytes.
    pub length: u32,
    /// Offset of the part in the packet.
    pub offset: u32,
    /// Length of the part.
    pub kept: u32,
    /// The CPU on which the packet passed.
    pub cpu: u16,
    /// One of [`way`].
    pub way: u16,
}

const _: () = {
    assert!(size_of::<Packet>() == 24);
    assert!(offset_of!(Packet, offset) == 12 && offset_of!(Packet, way) == 22);
};
