//! What the kernel lacks or refuses → its text, its class and what to do about it.

use std::io;
use std::path::PathBuf;

use membench_event::{Class, Failure, Hint, Setting};

/// What a recording takes that the kernel lacks or refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The kernel does not describe its types.
    #[error("Failed to load eBPF program: no kernel types in {}: {source}", path.display())]
    NoTypes {
        /// Where they should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
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
    NoMember {
        /// Which structure.
        structure: &'static str,
        /// Which member.
        member: &'static str,
        /// The kernel's release.
        kernel: String,
    },
    /// The kernel's tracing programs cannot tell a task's control group.
    #[error(
        "Failed to load eBPF program: on Linux {kernel} programs cannot tell a task's control group"
    )]
    NoControlGroups {
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
    Load {
        /// Which program or map.
        name: &'static str,
        /// The system's reason.
        source: io::Error,
        /// The end of what the verifier said, or nothing.
        log: String,
    },
    /// The kernel refused to attach a program.
    #[error("Failed to attach eBPF program: {name}: {source}")]
    Attach {
        /// Which.
        name: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A map could not be mapped into memory.
    #[error("Failed to load eBPF program: map {map} cannot be mapped: {source}")]
    Map {
        /// Which.
        map: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Privileges could not be given up.
    #[error("privileges could not be given up: {step}: {source}")]
    Privileges {
        /// Which.
        step: &'static str,
        /// The system's reason.
        source: io::Error,
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

impl Failure for KernelError {
    fn class(&self) -> Class {
        match self {
            Self::NoTypes { .. }
            | Self::NoTracepoint { .. }
            | Self::NoMember { .. }
            | Self::NoControlGroups { .. }
            | Self::MissingCapabilities { .. }
            | Self::Load { .. }
            | Self::Attach { .. }
            | Self::Map { .. }
            | Self::Privileges { .. } => Class::Environment,
            Self::PrivilegesKept { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<Hint> {
        let hint = match self {
            Self::NoTypes { .. } => "use a kernel built with CONFIG_DEBUG_INFO_BTF",
            Self::NoTracepoint { tracepoint, .. } if tracepoint.starts_with("sock_") => {
                return Some(
                    Hint::text("use Linux 6.3 or newer, or ")
                        .then_setting(Setting::Hooks, "syscalls"),
                );
            }
            Self::NoTracepoint { .. } | Self::NoMember { .. } => "use Linux 5.10 or newer",
            Self::NoControlGroups { .. } => {
                return Some(
                    Hint::text("name its processes with ")
                        .then_setting(Setting::Pids, "")
                        .then(", or use Linux 5.15 or newer"),
                );
            }
            Self::MissingCapabilities { missing } => {
                let missing = missing.join(" and ");
                return Some(Hint::text(format!(
                    "run as root, or with {missing} in a container"
                )));
            }
            Self::Load { source, log, .. } => load_hint(source, log),
            Self::Attach { name, source } => attach_hint(name, source),
            Self::Map { .. } => "the kernel must be 5.5 or newer",
            Self::Privileges { .. } => return None,
            Self::PrivilegesKept { .. } => "privileges must be given up before other threads start",
        };
        Some(Hint::text(hint))
    }
}

/// What each errno of loading means, and what to do.
fn load_hint(source: &io::Error, log: &str) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EPERM) => {
            "the capabilities are there, so a policy forbids it: see `cat /sys/kernel/security/lockdown`, \
             `sysctl kernel.unprivileged_bpf_disabled` and the container's seccomp profile; before Linux 5.11 the limit of \
             locked memory does, too: `ulimit -l unlimited`, `LimitMEMLOCK=infinity`"
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
        Some(libc::ENOSPC) => "the verifier's log does not fit: please report it with `uname -r`",
        Some(libc::ENOENT) => "the kernel lacks a type or tracepoint: use Linux 6.3 or newer",
        Some(libc::E2BIG) => {
            "the program or a map is too large for this kernel: please report it with `uname -r`"
        }
        _ => "`membench doctor` shows what this machine can do",
    }
}

/// The same for attaching.
fn attach_hint(name: &str, source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::ENOENT) if name == "clsact" => {
            "the kernel lacks a queue or filter: `modprobe -a sch_ingress cls_bpf`"
        }
        Some(libc::ENOENT) => "the kernel has no such tracepoint: use Linux 6.3 or newer",
        Some(libc::EACCES) => {
            "perf events are forbidden here: see `sysctl kernel.perf_event_paranoid` and `dmesg`"
        }
        Some(libc::EOPNOTSUPP) => {
            "this kernel cannot attach programs of this kind (CONFIG_BPF_EVENTS, a trampoline): use another one"
        }
        Some(libc::EBUSY | libc::EEXIST) => "another program holds the hook: see `bpftool prog`",
        Some(libc::EINVAL) => "the kernel attaches no programs here: see `membench doctor`",
        _ => "`membench doctor` shows what this machine can do",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn load(errno: i32, log: &str) -> Error {
        let error = KernelError::Load {
            name: "sock_recv_length",
            source: io::Error::from_raw_os_error(errno),
            log: log.into(),
        };
        error.into()
    }

    fn attach(errno: i32) -> Error {
        attach_to("sock_recv_length", errno)
    }

    fn attach_to(name: &'static str, errno: i32) -> Error {
        let error = KernelError::Attach {
            name,
            source: io::Error::from_raw_os_error(errno),
        };
        error.into()
    }

    #[test]
    fn each_errno_has_its_first_line_its_cause_and_its_remedy() {
        let loading = "Failed to load eBPF program: sock_recv_length: ";
        let attaching = "Failed to attach eBPF program: sock_recv_length: ";
        let missing = KernelError::MissingCapabilities {
            missing: vec!["CAP_PERFMON"],
        };
        let missing = Error::from(missing);
        let no_groups = KernelError::NoControlGroups {
            kernel: "5.10.0".into(),
        };
        for (error, first_line, remedy) in [
            (
                missing,
                "Insufficient permissions to load eBPF programs. Missing: CAP_PERFMON",
                "CAP_PERFMON",
            ),
            (
                no_groups.into(),
                "Failed to load eBPF program: on Linux 5.10.0 programs cannot tell",
                "`--pid`",
            ),
            (load(libc::EPERM, ""), loading, "lockdown"),
            (
                load(libc::EACCES, "R0 !read_ok"),
                loading,
                "verifier rejects",
            ),
            (load(libc::EACCES, ""), loading, "dmesg"),
            (load(libc::EINVAL, ""), loading, "uname -r"),
            (load(libc::ENOENT, ""), loading, "6.3"),
            (load(libc::ENOSYS, ""), loading, "CONFIG_BPF_SYSCALL"),
            (load(libc::ENOMEM, ""), loading, "smaller"),
            (load(libc::E2BIG, ""), loading, "too large"),
            (load(libc::ENOSPC, ""), loading, "log"),
            (attach(libc::ENOENT), attaching, "no such tracepoint"),
            (
                attach_to("clsact", libc::ENOENT),
                "Failed to attach eBPF program: clsact: ",
                "modprobe",
            ),
            (attach(libc::EACCES), attaching, "perf_event_paranoid"),
            (attach(libc::EINVAL), attaching, "attaches no programs"),
            (attach(libc::EOPNOTSUPP), attaching, "cannot attach"),
            (attach(libc::EBUSY), attaching, "bpftool prog"),
            (attach(libc::EEXIST), attaching, "bpftool prog"),
        ] {
            let text = error.to_string();
            let hint = error.hint().unwrap().for_command_line();
            assert!(text.starts_with(first_line), "{text}");
            assert!(hint.contains(remedy), "{text}: {hint}");
            assert_eq!(error.class(), Class::Environment, "{text}");
        }
    }

    #[test]
    fn what_the_verifier_said_follows_the_first_line() {
        let text = load(libc::EACCES, "R0 !read_ok").to_string();
        assert_eq!(text.lines().last(), Some("R0 !read_ok"));
    }
}
