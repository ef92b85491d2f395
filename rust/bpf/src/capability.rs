//! Capabilities of this process: which of those that a program needs are missing.

use std::{fmt, fs};

use crate::{Error, Result, cause::newer_than_this};

/// The setting that keeps `bpf` from processes without privileges, other than 0. Before Linux 5.19 it covers also the
/// elements of maps that are open:
/// <https://github.com/torvalds/linux/blob/v5.18/kernel/bpf/syscall.c>.
const UNPRIVILEGED: &str = "/proc/sys/kernel/unprivileged_bpf_disabled";

/// A capability that loading or attaching programs, or naming what they saw, can take.
///
/// The numbers are those of
/// [capability.h](https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Network programs, and everything that is done to an interface.
    NetAdmin,
    /// Memory and descriptors of other users' processes.
    SysPtrace,
    /// Everything below, on its own; before Linux 5.8 the only way.
    SysAdmin,
    /// Tracing programs. Without it the verifier also explores speculative paths, which exceeds its limit on loops.
    Perfmon,
    /// Addresses of the kernel's functions.
    Syslog,
    /// Maps, and programs of any type.
    Bpf,
    /// The files that a process has mapped, in whichever mount namespace.
    CheckpointRestore,
}

impl Capability {
    /// Returns the kernel's name, such as `CAP_BPF`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Syslog => "CAP_SYSLOG",
            Self::Bpf => "CAP_BPF",
            Self::CheckpointRestore => "CAP_CHECKPOINT_RESTORE",
        }
    }

    const fn bit(self) -> u64 {
        1 << match self {
            Self::NetAdmin => 12,
            Self::SysPtrace => 19,
            Self::SysAdmin => 21,
            Self::Perfmon => 38,
            Self::Syslog => 34,
            Self::Bpf => 39,
            Self::CheckpointRestore => 40,
        }
    }

    /// Returns a set of capabilities, a bit each.
    pub fn set(capabilities: &[Self]) -> u64 {
        capabilities.iter().fold(0, |set, one| set | one.bit())
    }

    /// Returns those that reading and writing the elements of maps takes: none from Linux 5.19, or where the kernel
    /// lets everyone call `bpf`.
    pub fn for_elements() -> &'static [Self] {
        let is_free = newer_than_this("5.19").is_none()
            || fs::read_to_string(UNPRIVILEGED).is_ok_and(|text| text.trim() == "0");
        if is_free { &[] } else { &[Self::Bpf] }
    }

    /// Returns those of `needed` that this process lacks. `CAP_SYS_ADMIN` includes those that programs take.
    pub fn missing(needed: &[Self]) -> Vec<Self> {
        missing(effective(), needed)
    }

    /// Fails with [`Error::MissingCapabilities`] if this process lacks any of `needed`.
    pub fn require(needed: &[Self]) -> Result<()> {
        match Self::missing(needed) {
            missing if missing.is_empty() => Ok(()),
            missing => Err(Error::MissingCapabilities { missing }),
        }
    }

    pub(crate) fn list(capabilities: &[Self], separator: &str) -> String {
        let names: Vec<_> = capabilities.iter().map(|one| one.name()).collect();
        names.join(separator)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

fn effective() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .unwrap_or_default();
    u64::from_str_radix(line.trim(), 16).unwrap_or(0)
}

fn missing(effective: u64, needed: &[Capability]) -> Vec<Capability> {
    let has = |capability: Capability| effective & capability.bit() != 0;
    if has(Capability::SysAdmin) {
        return Vec::new();
    }
    needed.iter().copied().filter(|one| !has(*one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_capabilities_are_named() {
        const NEEDED: [Capability; 2] = [Capability::Bpf, Capability::Perfmon];
        for (effective, expected) in [
            (0, &["CAP_BPF", "CAP_PERFMON"][..]),
            (1 << 39, &["CAP_PERFMON"]),
            (1 << 38, &["CAP_BPF"]),
            (1 << 38 | 1 << 39, &[]),
            (1 << 21, &[]),
            (0x1ff_feff_ffff, &[]),
        ] {
            let names: Vec<_> = missing(effective, &NEEDED)
                .iter()
                .map(|one| one.name())
                .collect();
            assert_eq!(names, expected, "{effective:x}");
        }
    }
}
