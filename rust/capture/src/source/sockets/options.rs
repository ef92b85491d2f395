//! What a kernel capture is asked for, and what it says of itself.

use std::fmt;

#[cfg(feature = "ebpf")]
use membench_common::{responses, side};
use membench_decode::Responses;
use membench_profile::Header;

use crate::Followed;
#[cfg(feature = "ebpf")]
use crate::Side;

/// Which hooks a capture uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// The end of every call on a socket: Linux 6.3 or newer.
    Sockets,
    /// The return of every system call: Linux 5.10 or newer.
    Syscalls,
}

impl Hooks {
    /// All of them, what costs a machine least first.
    pub const ALL: [Self; 2] = [Self::Sockets, Self::Syscalls];

    /// As profiles and people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sockets => "sockets",
            Self::Syscalls => "syscalls",
        }
    }
}

/// How programs are attached to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// A link beside others', gone with its process: Linux 6.6 or newer.
    Tcx,
    /// A filter of the interface's `clsact` queueing discipline.
    Clsact,
}

impl Attachment {
    /// All of them, the one that leaves nothing behind first.
    pub const ALL: [Self; 2] = [Self::Tcx, Self::Clsact];

    /// As profiles and people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// What to capture.
#[derive(Clone, Debug)]
pub struct KernelOptions {
    /// Whose connections are followed: 1 to 16 listening ports, and what narrows them.
    pub followed: Followed,
    /// What is kept of what memcached sends.
    pub responses: Responses,
    /// Size of all rings together; each is rounded up to a power of two that holds several of the largest records.
    pub ring_bytes: u32,
    /// How many rings the CPUs share; otherwise one for each, up to 64.
    pub rings: Option<u32>,
    /// One connection in so many is followed; 1 is all.
    pub one_connection_in: u32,
    /// Which hooks; otherwise the first that this kernel has and takes.
    pub hooks: Option<Hooks>,
}

impl Default for KernelOptions {
    fn default() -> Self {
        Self {
            followed: Followed::ports(&[11211]),
            responses: Responses::Bytes,
            ring_bytes: 16 << 20,
            rings: None,
            one_connection_in: 1,
            hooks: None,
        }
    }
}

/// How a capture works on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Which hooks.
    pub hooks: &'static str,
    /// Why the preferred hooks could not be used; `None` if they were.
    pub fallback: Option<String>,
    /// As `uname -r` says it.
    pub kernel_release: String,
    /// SHA-256 of the object with the kernel programs.
    pub object_sha256: &'static str,
    /// Size of all rings together, bytes,
    pub ring_bytes: u64,
    /// and how many they are.
    pub rings: usize,
}

/// How often programs did not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misses {
    /// Those that see bytes move: a loss.
    pub calls: u64,
    /// Those that see connections end, and when bytes came: what they would have told stays unknown.
    pub aside: u64,
}

impl fmt::Display for Facts {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.hooks)?;
        match &self.fallback {
            Some(reason) => write!(to, " ({reason})"),
            None => Ok(()),
        }
    }
}

impl Facts {
    /// Writes them into a manifest's head.
    pub(crate) fn describe(&self, header: &mut Header) {
        header.hooks = Some(self.hooks.to_owned());
        header.kernel = Some(self.kernel_release.clone());
        header.facts["object_sha256"] = self.object_sha256.into();
        header.facts["ring_bytes"] = self.ring_bytes.into();
        header.facts["rings"] = self.rings.into();
        header.facts["hooks_fallback"] = self.fallback.clone().into();
    }
}

/// The value of the programs' global.
#[cfg(feature = "ebpf")]
pub(crate) fn responses_global(wanted: Responses) -> u32 {
    match wanted {
        Responses::None => responses::NONE,
        Responses::Lengths => responses::LENGTHS,
        Responses::Bytes => responses::BYTES,
    }
}

/// The same of the side.
#[cfg(feature = "ebpf")]
pub(crate) fn side_global(wanted: Side) -> u32 {
    match wanted {
        Side::Server => side::SERVER,
        Side::Client => side::CLIENT,
    }
}
