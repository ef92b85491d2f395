//! What the ring holds of a packet that passed an interface.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most bytes of headers that a packet is followed with.
pub const HEADERS: usize = 512;

/// Which way a packet went, in [`Packet::way`].
pub mod way {
    /// It came in.
    pub const IN: u16 = 1;
    /// It went out.
    pub const OUT: u16 = 2;
}

/// The head of a packet's record; its headers and a window of its payload follow. A packet with more payload than one
/// record carries becomes several, each with the same headers.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Packet {
    /// When it passed, CLOCK_MONOTONIC, ns.
    pub time: u64,
    /// How long it was, bytes, link header included.
    pub length: u32,
    /// Where the window begins in the payload.
    pub offset: u32,
    /// The window's length: what follows the headers.
    pub kept: u32,
    /// Length of the headers, of all layers.
    pub headers: u16,
    /// Where the network header begins,
    pub network: u16,
    /// and the transport header.
    pub transport: u16,
    /// One of [`way`].
    pub way: u16,
    /// Whether the payload is to be had in several records: 0 or 1.
    pub windows: u32,
}

const _: () = {
    assert!(size_of::<Packet>() == 32);
    assert!(offset_of!(Packet, headers) == 20 && offset_of!(Packet, windows) == 28);
};
