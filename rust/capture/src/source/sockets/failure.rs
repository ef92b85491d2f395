//! Failures of the kernel programs, as a recording tells them: with the remedies that it has.

use std::io;

use membench_bpf::kernel_release;
use membench_event::{Failure, Hint, Setting};

use crate::{Error, KernelError};

/// The verifier's line about the one function that kernels before 5.15 keep from tracing programs.
const ASKS_CONTROL_GROUP: &str = "unknown func bpf_get_current_ancestor_cgroup_id";

/// Names the cause of a rejected program where a recording knows it.
pub(crate) fn explained(error: KernelError) -> Error {
    match error {
        KernelError::Load { log, .. } if log.as_str().contains(ASKS_CONTROL_GROUP) => {
            Error::NoControlGroups {
                kernel: kernel_release(),
            }
        }
        error => error.into(),
    }
}

/// Returns the remedy of a recording, which can use other hooks and smaller rings.
pub(crate) fn hint(error: &KernelError) -> Option<Hint> {
    let is_missing = |source: &io::Error| source.raw_os_error() == Some(libc::ENOENT);
    let text = match error {
        KernelError::NoTracepoint { tracepoint, .. } if tracepoint.starts_with("sock_") => {
            return Some(
                Hint::text("use Linux 6.3 or newer, or ").then_setting(Setting::Hooks, "syscalls"),
            );
        }
        KernelError::NoTracepoint { .. } | KernelError::NoMember { .. } => {
            "use Linux 5.10 or newer"
        }
        KernelError::Load { source, .. } if source.raw_os_error() == Some(libc::ENOMEM) => {
            "there is no memory for the ring: make it smaller"
        }
        KernelError::Load { source, .. } if is_missing(source) => {
            "the kernel lacks a type or tracepoint: use Linux 6.3 or newer"
        }
        KernelError::Attach { name, source } if is_missing(source) && name != "clsact" => {
            "the kernel has no such tracepoint: use Linux 6.3 or newer"
        }
        error => return error.hint(),
    };
    Some(Hint::text(text))
}

#[cfg(test)]
mod tests {
    use membench_bpf::{Capability, VerifierLog};
    use membench_event::Class;

    use super::*;

    fn load(errno: i32, log: &str) -> Error {
        explained(KernelError::Load {
            name: "sock_recv_length".into(),
            source: io::Error::from_raw_os_error(errno),
            log: VerifierLog::new(log),
        })
    }

    fn attach(errno: i32) -> Error {
        attach_to("sock_recv_length", errno)
    }

    fn attach_to(name: &str, errno: i32) -> Error {
        let error = KernelError::Attach {
            name: name.into(),
            source: io::Error::from_raw_os_error(errno),
        };
        error.into()
    }

    #[test]
    fn each_errno_has_its_first_line_its_cause_and_its_remedy() {
        let loading = "Failed to load eBPF program: sock_recv_length: ";
        let attaching = "Failed to attach eBPF program: sock_recv_length: ";
        let missing = KernelError::MissingCapabilities {
            missing: vec![Capability::Perfmon],
        };
        for (error, first_line, remedy) in [
            (
                missing.into(),
                "Insufficient permissions to load eBPF programs. Missing: CAP_PERFMON",
                "CAP_PERFMON",
            ),
            (
                load(
                    libc::EINVAL,
                    &format!("7: (85) call …\n{ASKS_CONTROL_GROUP}#123"),
                ),
                "Failed to load eBPF program: on Linux ",
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
    fn the_verifiers_log_follows_the_first_line() {
        let text = load(libc::EACCES, "R0 !read_ok").to_string();
        assert_eq!(text.lines().last(), Some("R0 !read_ok"));
    }
}
