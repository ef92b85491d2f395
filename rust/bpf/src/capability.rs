//! Capabilities of this process: which of those that a program needs are missing.

use std::{fmt, fs};

use crate::{Error, Result};

/// A capability that loading or attaching programs can take.
///
/// The numbers are those of
/// [capability.h](https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Network programs, and everything that is done to an interface.
    NetAdmin,
    /// Everything below, on its own; before Linux 5.8 the only way.
    SysAdmin,
    /// Tracing programs. Without it the verifier also explores speculative paths, which exceeds its limit on loops.
    Perfmon,
    /// Maps, and programs of any type.
    Bpf,
}

impl Capability {
    /// Returns the kernel's name, such as `CAP_BPF`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }

    const fn bit(self) -> u64 {
        1 << match self {
            Self::NetAdmin => 12,
            Self::SysAdmin => 21,
            Self::Perfmon => 38,
            Self::Bpf => 39,
        }
    }

    /// Returns those of `needed` that this process lacks. `CAP_SYS_ADMIN` includes all of them.
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
