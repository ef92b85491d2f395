//! A packet that passed an interface → its record in the ring.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most bytes of headers that are kept of a packet.
pub const HEADERS: usize = 512;

/// Directions of a packet: values of [`Packet::way`].
pub mod way {
    /// Came in through the interface.
    pub const IN: u16 = 1;
    /// Went out through the interface.
    pub const OUT: u16 = 2;
}

/// The head of a packet's record. The packet's headers and a window of its payload follow. A packet with more payload
/// than one record carries becomes several records, each with the same headers.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Packet {
    /// Time at which the packet passed, CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// Length of the packet with its link header, bytes.
    pub length: u32,
    /// Offset of the window in the payload.
    pub offset: u32,
    /// Length of the window, which follows the headers.
    pub kept: u32,
    /// Length of the headers of all layers.
    pub headers: u16,
    /// Offset of the network header in the packet.
    pub network: u16,
    /// Offset of the transport header in the packet.
    pub transport: u16,
    /// One of [`way`].
    pub way: u16,
    /// 1 if the payload needs several records, else 0.
    pub windows: u32,
}

const _: () = {
    assert!(size_of::<Packet>() == 32);
    assert!(offset_of!(Packet, headers) == 20 && offset_of!(Packet, windows) == 28);
};
