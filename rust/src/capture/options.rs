//! What a kernel capture is asked for, and what it says of itself.

#[cfg(feature = "ebpf")]
use membench_common::{responses, side};

use crate::decode::Responses;

use super::Followed;
#[cfg(feature = "ebpf")]
use super::Side;

/// What to capture.
#[derive(Clone, Debug)]
pub struct KernelOptions {
    /// Whose connections are followed: 1 to 16 listening ports, and what narrows them.
    pub followed: Followed,
    /// What is kept of what memcached sends.
    pub responses: Responses,
    /// Size of the ring; rounded up to a power of two that holds several of the largest records.
    pub ring_bytes: u32,
    /// One connection in so many is followed; 1 is all.
    pub one_connection_in: u32,
}

impl Default for KernelOptions {
    fn default() -> Self {
        Self {
            followed: Followed::ports(&[11211]),
            responses: Responses::Bytes,
            ring_bytes: 16 << 20,
            one_connection_in: 1,
        }
    }
}

/// How a capture works on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Which hooks: `T1` looks at each socket call after it is done.
    pub tier: &'static str,
    /// As `uname -r` says it.
    pub kernel_release: String,
    /// SHA-256 of the object with the kernel programs.
    pub object_sha256: &'static str,
    /// Size of the ring, bytes.
    pub ring_bytes: u32,
}

/// The value of the programs' global.
#[cfg(feature = "ebpf")]
pub(super) fn responses_global(wanted: Responses) -> u32 {
    match wanted {
        Responses::None => responses::NONE,
        Responses::Lengths => responses::LENGTHS,
        Responses::Bytes => responses::BYTES,
    }
}

/// The same of the side.
#[cfg(feature = "ebpf")]
pub(super) fn side_global(wanted: Side) -> u32 {
    match wanted {
        Side::Server => side::SERVER,
        Side::Client => side::CLIENT,
    }
}
