//! Options of a capture by kernel programs, and the facts of a running one.

use std::fmt;

#[cfg(feature = "ebpf")]
use membench_common::{responses, side};
use membench_decode::Responses;
use membench_profile::Header;

use crate::Followed;
#[cfg(feature = "ebpf")]
use crate::Side;

/// A kind of hooks for calls on sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// The end of every call on a socket: Linux 6.3 or newer.
    Sockets,
    /// The return of every system call: Linux 5.10 or newer.
    Syscalls,
}

impl Hooks {
    /// Every kind, the one that costs a machine least first.
    pub const ALL: [Self; 2] = [Self::Sockets, Self::Syscalls];

    /// Returns the name in options and profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sockets => "sockets",
            Self::Syscalls => "syscalls",
        }
    }
}

/// A way to attach programs to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// A link beside those of others, which ends with its process: Linux 6.6 or newer.
    Tcx,
    /// A filter of the interface's `clsact` queueing discipline.
    Clsact,
}

impl Attachment {
    /// Every way, the one that leaves nothing behind first.
    pub const ALL: [Self; 2] = [Self::Tcx, Self::Clsact];

    /// Returns the name in options and profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// Options of a capture.
#[derive(Clone, Debug)]
pub struct KernelOptions {
    /// The connections that are followed: those of 1 to 16 listening ports, and what narrows them.
    pub followed: Followed,
    /// The part of responses that is kept.
    pub responses: Responses,
    /// Size of all rings together, bytes. Each is rounded up to a power of two that holds several of the largest records.
    pub ring_bytes: u32,
    /// Number of rings that the CPUs share; `None` makes one for each, up to 64.
    pub rings: Option<u32>,
    /// Sampling factor N: one connection in N is followed. 1 follows all.
    pub one_connection_in: u32,
    /// The hooks; `None` takes the first that this kernel has and accepts.
    pub hooks: Option<Hooks>,
    /// True to attach a standby behind each program of the `sockets` hooks that sees bytes; `None` does so where the
    /// kernel preempts programs.
    pub standby: Option<bool>,
    /// True to note when the bytes of requests arrived.
    pub arrival: bool,
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
            standby: None,
            arrival: true,
        }
    }
}

#[cfg(feature = "ebpf")]
impl KernelOptions {
    /// Returns true if arrivals are wanted and can be known: TCP notes them, and only servers receive requests.
    pub(crate) fn notes_arrival(&self) -> bool {
        self.arrival && self.followed.side == Side::Server && !self.followed.ports.is_empty()
    }
}

/// Facts about a capture on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Name of the hooks, such as `sockets` or `tcx`.
    pub hooks: &'static str,
    /// Why the preferred hooks could not be used; `None` if they were.
    pub fallback: Option<String>,
    /// True if standby programs are attached.
    pub standby: bool,
    /// The kernel's release, as `uname -r` shows it.
    pub kernel_release: String,
    /// SHA-256 of the object with the kernel programs.
    pub object_sha256: &'static str,
    /// Size of all rings together, bytes.
    pub ring_bytes: u64,
    /// Number of rings.
    pub rings: usize,
}

/// Counts of events at which programs did not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misses {
    /// Calls on any socket of this machine. A call on a followed socket was seen nevertheless if a standby program dealt
    /// with it.
    pub calls: u64,
    /// Events at which a connection ended or bytes arrived, which stay unknown. No bytes are lost.
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
    /// Writes the facts into a manifest's header.
    pub(crate) fn describe(&self, header: &mut Header) {
        header.hooks = Some(self.hooks.to_owned());
        header.kernel = Some(self.kernel_release.clone());
        header.facts["object_sha256"] = self.object_sha256.into();
        header.facts["ring_bytes"] = self.ring_bytes.into();
        header.facts["rings"] = self.rings.into();
        header.facts["standby"] = self.standby.into();
        header.facts["hooks_fallback"] = self.fallback.clone().into();
    }
}

/// Returns the value of the global `RESPONSES`.
#[cfg(feature = "ebpf")]
pub(crate) fn responses_global(wanted: Responses) -> u32 {
    match wanted {
        Responses::None => responses::NONE,
        Responses::Lengths => responses::LENGTHS,
        Responses::Bytes => responses::BYTES,
    }
}

/// Returns the value of the global `SIDE`.
#[cfg(feature = "ebpf")]
pub(crate) fn side_global(wanted: Side) -> u32 {
    match wanted {
        Side::Server => side::SERVER,
        Side::Client => side::CLIENT,
    }
}
