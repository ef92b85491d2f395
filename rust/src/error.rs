//! Everything that can go wrong, as facts; the bindings turn each into the exception a Python user expects.

use std::path::PathBuf;

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed: what was wanted and what was found. [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A source needs something this build leaves out.
    #[error("eBPF capture requires --features {feature}, got: {wanted}")]
    FeatureMissing {
        /// The Cargo feature.
        feature: &'static str,
        /// The source.
        wanted: &'static str,
    },
    /// The programs can follow some ports, but not these.
    #[error("between 1 and {most} ports can be followed, none of them 0, got: {wanted:?}")]
    Ports {
        /// The ports asked for.
        wanted: Vec<u16>,
        /// Most at once.
        most: usize,
    },
    /// The kernel does not describe its types.
    #[error("Failed to load eBPF program: no kernel types in {}: {source}", path.display())]
    NoKernelTypes {
        /// Where they should be.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The kernel lacks a tracepoint.
    #[error("Failed to load eBPF program: Linux {kernel} has no tracepoint {tracepoint}")]
    NoTracepoint {
        /// Which.
        tracepoint: &'static str,
        /// The kernel's release.
        kernel: String,
    },
    /// The kernel lacks a structure member that the programs read.
    #[error(
        "Failed to load eBPF program: Linux {kernel} has no member {member} in struct {structure}"
    )]
    NoKernelMember {
        /// Which structure.
        structure: &'static str,
        /// Which member.
        member: &'static str,
        /// The kernel's release.
        kernel: String,
    },
    /// The programs may not be loaded by this process.
    #[error("Insufficient permissions to load eBPF programs. Missing: {}", missing.join(", "))]
    MissingCapabilities {
        /// Capabilities.
        missing: Vec<&'static str>,
    },
    /// The kernel refused a program or map.
    #[error("Failed to load eBPF program: {name}: {source}{}{log}", if log.is_empty() { "" } else { "\n" })]
    KernelLoad {
        /// Which program or map.
        name: &'static str,
        /// The system's reason.
        source: std::io::Error,
        /// The end of what the verifier said, or nothing.
        log: String,
    },
    /// The kernel refused to attach a program.
    #[error("Failed to attach eBPF program: {name}: {source}")]
    KernelAttach {
        /// Which.
        name: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A map could not be mapped into memory.
    #[error("Failed to load eBPF program: map {map} cannot be mapped: {source}")]
    KernelMap {
        /// Which.
        map: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Privileges could not be given up.
    #[error("privileges could not be given up: {step}: {source}")]
    Privileges {
        /// Which.
        step: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A thread still has privileges after they were given up.
    #[error("privileges were given up, but {} says {kept} is kept", thread.display())]
    PrivilegesKept {
        /// The thread's status file.
        thread: PathBuf,
        /// The line in it.
        kept: &'static str,
    },
}

/// The classes of failure that users tell apart, each with its own exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Something broke inside: exit 1.
    Failed,
    /// The command or an argument is wrong: exit 2.
    Usage,
    /// A profile cannot be used: exit 1.
    Profile,
    /// This machine or its permissions do not allow it: exit 5.
    Environment,
    /// The target of a replay does not allow it: exit 5.
    Target,
    /// The output exists: exit 2.
    Exists,
}

impl Error {
    /// Which exception and exit code this becomes.
    pub fn class(&self) -> Class {
        match self {
            Self::Ports { .. } => Class::Usage,
            Self::PrivilegesKept { .. } => Class::Failed,
            Self::Io { .. }
            | Self::FeatureMissing { .. }
            | Self::NoKernelTypes { .. }
            | Self::NoTracepoint { .. }
            | Self::NoKernelMember { .. }
            | Self::MissingCapabilities { .. }
            | Self::KernelLoad { .. }
            | Self::KernelAttach { .. }
            | Self::KernelMap { .. }
            | Self::Privileges { .. } => Class::Environment,
        }
    }

    /// What to do about it, if there is something better than the message says.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } | Self::Ports { .. } | Self::Privileges { .. } => None,
            Self::FeatureMissing { feature, .. } => {
                Some(format!("build with `--features {feature}`, or record packets from an interface"))
            }
            Self::NoKernelTypes { .. } => {
                Some("use a kernel built with CONFIG_DEBUG_INFO_BTF, or record packets from an interface".into())
            }
            Self::NoTracepoint { .. } | Self::NoKernelMember { .. } => {
                Some("use Linux 6.3 or newer, or record packets from an interface".into())
            }
            Self::MissingCapabilities { missing } => {
                Some(format!("run as root, or with {} in a container", missing.join(" and ")))
            }
            Self::KernelLoad { source, log, .. } => Some(load_hint(source, log).into()),
            Self::KernelAttach { source, .. } => Some(attach_hint(source).into()),
            Self::KernelMap { .. } => Some("the kernel must be 5.5 or newer".into()),
            Self::PrivilegesKept { .. } => Some("privileges must be given up before other threads start".into()),
        }
    }
}

/// What each errno of loading means, and what to do.
fn load_hint(source: &std::io::Error, log: &str) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EPERM) => {
            "the capabilities are there, so a policy forbids it: see `cat /sys/kernel/security/lockdown`, \
             `sysctl kernel.unprivileged_bpf_disabled` and the container's seccomp profile"
        }
        Some(libc::EACCES) if !log.is_empty() => {
            "this kernel's verifier rejects the program: please report the lines above with `uname -r`"
        }
        Some(libc::EACCES) => "a security module forbids it: see `dmesg`",
        Some(libc::ENOSYS) => {
            "the kernel lacks CONFIG_BPF_SYSCALL, or a seccomp profile forbids bpf()"
        }
        Some(libc::EINVAL) => {
            "the kernel does not know something the program uses: please report it with `uname -r`"
        }
        Some(libc::ENOMEM) => "there is no memory for the ring: make it smaller",
        Some(libc::E2BIG) => {
            "the program or a map is too large for this kernel: please report it with `uname -r`"
        }
        _ => "`membench doctor` shows what this machine can do",
    }
}

/// The same for attaching.
fn attach_hint(source: &std::io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::ENOENT) => "the kernel has no such tracepoint: use Linux 6.3 or newer",
        Some(libc::EBUSY | libc::EEXIST) => "another program holds the hook: see `bpftool prog`",
        Some(libc::EINVAL) => "the kernel attaches no programs here: see `membench doctor`",
        _ => "`membench doctor` shows what this machine can do",
    }
}
