//! Failures of loading, attaching and reading: their messages, classes and remedies.

use std::{io, path::PathBuf};

use membench_event::{Class, Failure, Hint, io_hint};

use crate::{Capability, Kind, VerifierLog};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure to load, attach or read a kernel program.
///
/// Names are owned: objects, programs and maps come from files that this crate does not know.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no eBPF object.
    #[error("Failed to load eBPF program: {object} is not an eBPF object: {reason}")]
    NotAnObject {
        /// The object's name.
        object: String,
        /// The parser's reason.
        reason: String,
    },
    /// The object has no such program, map or global.
    #[error("Failed to load eBPF program: {object} has no {item} {name}")]
    Absent {
        /// The object's name.
        object: String,
        /// `program`, `map` or `global`.
        item: &'static str,
        /// The name that was looked up.
        name: String,
    },
    /// A value does not have the size of the global that it was to be stored in.
    #[error("Failed to load eBPF program: global {name} has {size} bytes, got: {given}")]
    GlobalSize {
        /// The global.
        name: String,
        /// Its size in the object, bytes.
        size: u64,
        /// The value's size, bytes.
        given: usize,
    },
    /// A ring is larger than rings can be.
    #[error("Failed to load eBPF program: a ring has at most {most} bytes, and {map} has {found}")]
    RingSize {
        /// The map.
        map: String,
        /// Size of the largest ring, bytes.
        most: u32,
        /// The size that was asked for, bytes.
        found: u32,
    },
    /// Programs of this type are not attached to such a hook.
    #[error(
        "Failed to attach eBPF program: {program} is of type {kind}, which is not attached to {hook}"
    )]
    WrongHook {
        /// The program.
        program: String,
        /// The program's type.
        kind: Kind,
        /// The hook.
        hook: String,
    },
    /// The kernel is older than the kind of attachment.
    #[error("Failed to attach eBPF program: {hook} needs Linux {oldest}, and this is {kernel}")]
    OldKernel {
        /// The hook.
        hook: String,
        /// The first version of Linux that has it.
        oldest: &'static str,
        /// The kernel's release.
        kernel: String,
    },
    /// A perf event is asked for more samples a second than the kernel takes.
    #[error(
        "Failed to attach eBPF program: the kernel takes at most {most} samples a second, got: {given}"
    )]
    SampleRate {
        /// `kernel.perf_event_max_sample_rate`.
        most: u64,
        /// The rate that was asked for, Hz.
        given: u64,
    },
    /// The kernel does not describe its types.
    #[error("Failed to load eBPF program: no kernel types in {}: {source}", path.display())]
    NoTypes {
        /// The file that describes them.
        path: PathBuf,
        /// The system's or the parser's reason.
        source: io::Error,
    },
    /// The kernel lacks a tracepoint.
    #[error("Failed to load eBPF program: Linux {kernel} has no tracepoint {tracepoint}")]
    NoTracepoint {
        /// The tracepoint.
        tracepoint: String,
        /// The kernel's release.
        kernel: String,
    },
    /// The kernel lacks a structure member that a program reads.
    #[error(
        "Failed to load eBPF program: Linux {kernel} has no member {member} in struct {structure}"
    )]
    NoMember {
        /// The structure.
        structure: String,
        /// The member's path inside the structure.
        member: String,
        /// The kernel's release.
        kernel: String,
    },
    /// This process lacks capabilities that the programs need.
    #[error(
        "Insufficient permissions to load eBPF programs. Missing: {}",
        Capability::list(missing, ", ")
    )]
    MissingCapabilities {
        /// The capabilities.
        missing: Vec<Capability>,
    },
    /// The kernel refused a program, a map or the object's types.
    #[error("Failed to load eBPF program: {name}: {source}{}{}", if log.is_empty() { "" } else { "\n" }, log.tail())]
    Load {
        /// The program, the map, or the object.
        name: String,
        /// The system's reason.
        source: io::Error,
        /// The verifier's log; empty if the verifier said nothing.
        log: VerifierLog,
    },
    /// The kernel refused to attach a program.
    #[error("Failed to attach eBPF program: {name}: {source}")]
    Attach {
        /// The program, or the queueing discipline that it was to be attached through.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A map cannot be mapped into this process's memory.
    #[error("Failed to load eBPF program: map {map} cannot be mapped: {source}")]
    Map {
        /// The map.
        map: String,
        /// The system's reason.
        source: io::Error,
    },
    /// An element of a map cannot be read or written.
    #[error("map {map}: {operation}: {source}")]
    Element {
        /// The map.
        map: String,
        /// `lookup`, `update`, `delete` or `next key`.
        operation: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A key or value does not have the size that the map was made for.
    #[error("map {map}: a {part} has {size} bytes, got: {given}")]
    ElementSize {
        /// The map.
        map: String,
        /// `key` or `value`.
        part: &'static str,
        /// The size in the map, bytes.
        size: usize,
        /// The size passed, bytes.
        given: usize,
    },
    /// The kernel does not list its programs, maps or links.
    #[error("the kernel does not list what it holds: {source}")]
    Listing {
        /// The system's reason.
        source: io::Error,
    },
    /// The kernel does not describe a program or link, or does not let go of it.
    #[error("{name}: {operation}: {source}")]
    Handle {
        /// The program or link.
        name: String,
        /// `info`, `replace` or `read`.
        operation: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A program, map or link cannot be pinned, or a pin cannot be opened.
    #[error("{}: {source}", path.display())]
    Pin {
        /// The path in the BPF file system.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The helper that removes filters at the end cannot be started.
    #[error("no {what}: {source}")]
    NoHelper {
        /// The helper.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Self::NotAnObject { .. }
            | Self::Absent { .. }
            | Self::GlobalSize { .. }
            | Self::RingSize { .. }
            | Self::WrongHook { .. }
            | Self::ElementSize { .. }
            | Self::SampleRate { .. } => Class::Usage,
            Self::OldKernel { .. }
            | Self::NoTypes { .. }
            | Self::NoTracepoint { .. }
            | Self::NoMember { .. }
            | Self::MissingCapabilities { .. }
            | Self::Load { .. }
            | Self::Attach { .. }
            | Self::Map { .. }
            | Self::Element { .. }
            | Self::Listing { .. }
            | Self::Handle { .. }
            | Self::Pin { .. }
            | Self::Io { .. }
            | Self::NoHelper { .. } => Class::Environment,
        }
    }

    fn hint(&self) -> Option<Hint> {
        let text = match self {
            Self::NotAnObject { .. } => "pass an ELF file that was compiled for the target `bpf`",
            Self::RingSize { .. } => "a ring has a power of two of bytes, from a page on",
            Self::NoTypes { .. } => "use a kernel built with CONFIG_DEBUG_INFO_BTF",
            Self::OldKernel { .. } => "attach to one function at a time",
            Self::SampleRate { .. } => {
                "take fewer, or raise `sysctl kernel.perf_event_max_sample_rate`"
            }
            Self::NoTracepoint { .. } | Self::NoMember { .. } => "use a newer kernel",
            Self::MissingCapabilities { missing } => {
                let missing = Capability::list(missing, " and ");
                return Some(Hint::text(format!(
                    "run as root, or with {missing} in a container"
                )));
            }
            Self::Load { source, log, .. } => return Some(load_hint(source, log)),
            Self::Attach { name, source } => return Some(attach_hint(name, source)),
            Self::Map { .. } => "the kernel must be 5.5 or newer",
            Self::Pin { .. } => "mount the BPF file system: `mount -t bpf bpf /sys/fs/bpf`",
            Self::Io { source, .. } => return io_hint(source),
            Self::NoHelper { .. } => "install iproute2, or raise a limit: `ulimit -u` (processes)",
            Self::Absent { .. }
            | Self::GlobalSize { .. }
            | Self::WrongHook { .. }
            | Self::Element { .. }
            | Self::Listing { .. }
            | Self::Handle { .. }
            | Self::ElementSize { .. } => return None,
        };
        Some(Hint::text(text))
    }
}

/// Forbidden although every capability is there.
const POLICY: &str = "the capabilities are there, so a policy forbids it: see `cat /sys/kernel/security/lockdown`, \
     `sysctl kernel.unprivileged_bpf_disabled` and the container's seccomp profile; before Linux 5.11 the limit of \
     locked memory does, too: `ulimit -l unlimited`, `LimitMEMLOCK=infinity`";

/// Returns the usual cause of an errno of loading, and its remedy.
fn load_hint(source: &io::Error, log: &VerifierLog) -> Hint {
    let text = match source.raw_os_error() {
        Some(libc::EPERM) => POLICY,
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
        Some(libc::ENOMEM) => "there is no memory for the maps: make them smaller",
        Some(libc::ENOSPC) => {
            "the verifier looked at so much that its log does not fit: make the program smaller, above all its loops"
        }
        Some(libc::ENOENT) => "the kernel lacks a type or tracepoint: use a newer kernel",
        Some(libc::E2BIG) => {
            "the program or a map is too large for this kernel: please report it with `uname -r`"
        }
        _ => return doctor(),
    };
    Hint::text(text)
}

/// Returns the usual cause of an errno of attaching, and its remedy.
fn attach_hint(name: &str, source: &io::Error) -> Hint {
    let text = match source.raw_os_error() {
        Some(libc::EPERM) => POLICY,
        Some(libc::ENOENT) if name == crate::CLSACT => {
            "the kernel lacks a queue or filter: `modprobe -a sch_ingress cls_bpf`"
        }
        Some(libc::ENOENT) => "the kernel has no such tracepoint or function: use a newer kernel",
        Some(libc::EACCES) => {
            "perf events are forbidden here: see `sysctl kernel.perf_event_paranoid` and `dmesg`"
        }
        Some(libc::EOPNOTSUPP) => {
            "this kernel cannot attach programs of this kind (CONFIG_BPF_EVENTS, a trampoline): use another one"
        }
        Some(libc::EBUSY | libc::EEXIST) => "another program holds the hook: see `bpftool prog`",
        Some(libc::EINVAL) => {
            return Hint::text("the kernel attaches no programs here: see ")
                .then_hint(Hint::command("doctor", ""));
        }
        _ => return doctor(),
    };
    Hint::text(text)
}

fn doctor() -> Hint {
    Hint::command("doctor", "").then(" shows what this machine can do")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(errno: i32, log: &str) -> Error {
        Error::Load {
            name: "count".into(),
            source: io::Error::from_raw_os_error(errno),
            log: VerifierLog::new(log),
        }
    }

    fn attach(name: &str, errno: i32) -> Error {
        Error::Attach {
            name: name.into(),
            source: io::Error::from_raw_os_error(errno),
        }
    }

    #[test]
    fn each_errno_has_its_first_line_its_cause_and_its_remedy() {
        let loading = "Failed to load eBPF program: count: ";
        let attaching = "Failed to attach eBPF program: count: ";
        let missing = vec![Capability::Perfmon, Capability::NetAdmin];
        for (error, first_line, remedy) in [
            (
                Error::MissingCapabilities { missing },
                "Insufficient permissions to load eBPF programs. Missing: CAP_PERFMON, CAP_NET_ADMIN",
                "with CAP_PERFMON and CAP_NET_ADMIN",
            ),
            (load(libc::EPERM, ""), loading, "lockdown"),
            (
                load(libc::EACCES, "R0 !read_ok"),
                loading,
                "verifier rejects",
            ),
            (load(libc::EACCES, ""), loading, "dmesg"),
            (load(libc::EINVAL, ""), loading, "uname -r"),
            (load(libc::ENOENT, ""), loading, "newer"),
            (load(libc::ENOSYS, ""), loading, "CONFIG_BPF_SYSCALL"),
            (load(libc::ENOMEM, ""), loading, "smaller"),
            (load(libc::E2BIG, ""), loading, "too large"),
            (load(libc::ENOSPC, ""), loading, "log"),
            (load(libc::EIO, ""), loading, "doctor"),
            (attach("count", libc::EPERM), attaching, "lockdown"),
            (
                attach("count", libc::ENOENT),
                attaching,
                "no such tracepoint",
            ),
            (
                attach(crate::CLSACT, libc::ENOENT),
                "Failed to attach eBPF program: clsact: ",
                "modprobe",
            ),
            (
                attach("count", libc::EACCES),
                attaching,
                "perf_event_paranoid",
            ),
            (
                attach("count", libc::EINVAL),
                attaching,
                "attaches no programs",
            ),
            (
                attach("count", libc::EOPNOTSUPP),
                attaching,
                "cannot attach",
            ),
            (attach("count", libc::EBUSY), attaching, "bpftool prog"),
            (attach("count", libc::EEXIST), attaching, "bpftool prog"),
        ] {
            let text = error.to_string();
            let hint = error.hint().unwrap().for_command_line();
            assert!(text.starts_with(first_line), "{text}");
            assert!(hint.contains(remedy), "{text}: {hint}");
            assert_eq!(error.class(), Class::Environment, "{text}");
        }
    }

    #[test]
    fn the_verifiers_log_follows_the_first_line() {
        let text = load(libc::EACCES, "R0 !read_ok").to_string();
        assert_eq!(text.lines().last(), Some("R0 !read_ok"));
    }
}
