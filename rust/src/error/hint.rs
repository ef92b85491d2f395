//! Errors → what to do about them.

use super::Error;

const COPY_AGAIN: &str = "copy the whole folder again from where it was recorded";
const ALL_OF_IT: &str = "record all of it, into one profile";

impl Error {
    /// What to do about it, if there is something better than the message says.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Exists { .. } => Some("`--force` replaces it".into()),
            Self::NotAProfile { .. } => {
                Some("only profiles are replaced; remove it or choose another name".into())
            }
            Self::BeingRecorded { .. } => Some("end that recording first".into()),
            Self::ManifestMissing { .. } => Some(
                "copy the whole folder again; `events-*.parquet` can be read by any Parquet reader"
                    .into(),
            ),
            Self::ManifestDamaged { .. }
            | Self::PartMissing { .. }
            | Self::Parquet { .. }
            | Self::Arrow { .. }
            | Self::Column { .. } => Some(COPY_AGAIN.into()),
            Self::KeyFile { .. } => Some("`membench keygen FILE` makes one".into()),
            Self::KeyFileReadable { path, .. } => Some(format!("`chmod 600 {}`", path.display())),
            Self::NoLibpcap { .. } => {
                Some("install it: `apt-get install libpcap0.8`, `dnf install libpcap` or `apk add libpcap`".into())
            }
            Self::PacketsForbidden { .. } => {
                Some("run as root, or with CAP_NET_RAW in a container".into())
            }
            Self::PacketsUnavailable { .. } => {
                Some("`membench doctor` shows what this machine can do".into())
            }
            Self::NoSource { kernel, packets } => both_hints(kernel, packets),
            Self::NotACapture { .. } => {
                Some("`tcpdump -i any -s 0 -w FILE.pcap tcp port 11211` makes one".into())
            }
            Self::LinkType { .. } => {
                Some("capture on an Ethernet interface, on `lo` or on `any`".into())
            }
            Self::NotOfPackets { .. } => {
                Some("packets tell ports and addresses only, and are read whole: leave it out".into())
            }
            Self::RecorderPanicked => Some("`membench repair` seals it; please report this".into()),
            Self::Io { source, .. } => io_hint(source),
            Self::NewerSchema { .. } => Some("`pip install --upgrade membench`".into()),
            Self::Selection { option, .. } => selection_hint(option),
            Self::Ports { .. }
            | Self::Privileges { .. }
            | Self::UnknownResponses { .. }
            | Self::UnknownTier { .. }
            | Self::NotADuration { .. }
            | Self::RecorderTaken
            | Self::HooksSilent { .. }
            | Self::UnknownAnalysis { .. }
            | Self::TooManyKeys { .. }
            | Self::Random(_)
            | Self::TargetProtocol { .. }
            | Self::NothingToReplay { .. }
            | Self::ReplaySystem { .. } => None,
            Self::NotStarted { .. } => Some(
                "limits decide that: `ulimit -u` (threads), `ulimit -n` (files), the service's `TasksMax`"
                    .into(),
            ),
            Self::NotForSource { .. } | Self::Sampled { .. } => Some(ALL_OF_IT.into()),
            Self::Pacing { .. } => Some("`recorded`, `speed=2` or `rate=50000/s`".to_owned()),
            Self::TargetAddress { .. } => {
                Some("`127.0.0.1:11211`, `[::1]:11211` or `cache.example:11211`".to_owned())
            }
            Self::TargetUnreachable { target, .. } => Some(format!(
                "is memcached running and listening on {target}? `memcached -l ADDRESS -p PORT` starts one"
            )),
            Self::TargetBusy { .. } => {
                Some("replay writes to its target; `--allow-nonempty` if you mean it".to_owned())
            }
            Self::TooManyConnections { wanted, .. } => {
                Some(format!("`ulimit -n {}`, then again", wanted + 64))
            }
            Self::WatchUnreachable { server, source } => Some(unreachable_hint(server, source)),
            Self::WatchRefused { found, .. } => Some(refused_hint(found).into()),
            Self::NotALog { .. } => Some(
                "`(echo watch fetchers mutations connevents; cat) | nc HOST PORT > watch.log` makes one"
                    .into(),
            ),
            Self::FeatureMissing { feature, .. } => {
                Some(format!("build with `--features {feature}`"))
            }
            Self::NoKernelTypes { .. } => {
                Some("use a kernel built with CONFIG_DEBUG_INFO_BTF".into())
            }
            Self::NoTracepoint { tracepoint, .. } if tracepoint.starts_with("sock_") => {
                Some("use Linux 6.3 or newer, or tier T2".into())
            }
            Self::NoTracepoint { .. } | Self::NoKernelMember { .. } => {
                Some("use Linux 5.10 or newer".into())
            }
            Self::MissingCapabilities { missing } => Some(format!(
                "run as root, or with {} in a container",
                missing.join(" and ")
            )),
            Self::KernelLoad { source, log, .. } => Some(load_hint(source, log).into()),
            Self::KernelAttach { source, .. } => Some(attach_hint(source).into()),
            Self::KernelMap { .. } => Some("the kernel must be 5.5 or newer".into()),
            Self::PrivilegesKept { .. } => {
                Some("privileges must be given up before other threads start".into())
            }
        }
    }
}

/// Where the names that an option takes can be looked up.
fn selection_hint(option: &str) -> Option<String> {
    let hint = match option {
        "--pid" => {
            "`pgrep memcached` tells pids; `--port` names ports that are not listened on yet"
        }
        "--cgroup" => "`cat /proc/PID/cgroup` has the path, in the line that begins with `0::`",
        "--netns" => "`ip netns` lists names; `--netns PID` takes the one a process is in",
        _ => return None,
    };
    Some(hint.into())
}

/// What would help the kernel's hooks, and what packets.
fn both_hints(kernel: &Error, packets: &Error) -> Option<String> {
    let hints: Vec<String> = [kernel.hint(), packets.hint()]
        .into_iter()
        .flatten()
        .collect();
    (!hints.is_empty()).then(|| hints.join("; for packets: "))
}

/// What the usual reasons of the system ask for.
fn io_hint(source: &std::io::Error) -> Option<String> {
    use std::io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull};
    let hint = match source.kind() {
        NotFound => "check the name, and that the folder it is in exists",
        PermissionDenied => "check who owns it, or run as its owner",
        StorageFull => "free some space, or choose another disk",
        ReadOnlyFilesystem => "choose a disk that can be written to",
        _ => return None,
    };
    Some(hint.into())
}

/// Why no connection to a server may have come about.
fn unreachable_hint(server: &str, source: &std::io::Error) -> String {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    match source.kind() {
        // What a socket with a time limit says when nothing came.
        WouldBlock | TimedOut => {
            format!(
                "{server} did not answer in 2 s: a firewall, or TLS, which is not supported here"
            )
        }
        _ => format!("is memcached running and listening on {server}? (plain TCP, text protocol)"),
    }
}

/// What a server that does not send its log says, and what it means.
fn refused_hint(found: &str) -> &'static str {
    if found.contains("not allowed") {
        "memcached was started with `-W`, which forbids it: start it without, or record `ebpf:any`"
    } else if found.contains("unauthenticated") {
        "memcached asks for a password (`-Y`), which is not supported here: record `ebpf:any`"
    } else if found.starts_with("WATCHER_TOO_MANY") {
        "20 clients watch it already: end one of them, or record `ebpf:any`"
    } else {
        "it takes a memcached of version 1.4.26 or newer that speaks the text protocol; `ebpf:any` records any"
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
        Some(libc::ENOSPC) => "the verifier's log does not fit: please report it with `uname -r`",
        Some(libc::ENOENT) => "the kernel lacks a type or tracepoint: use Linux 6.3 or newer",
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
    use std::io;

    use super::*;
    use crate::error::Class;

    fn load(errno: i32, log: &str) -> Error {
        Error::KernelLoad {
            name: "sock_recv_length",
            source: io::Error::from_raw_os_error(errno),
            log: log.into(),
        }
    }

    fn attach(errno: i32) -> Error {
        Error::KernelAttach {
            name: "sock_recv_length",
            source: io::Error::from_raw_os_error(errno),
        }
    }

    #[test]
    fn each_errno_has_its_first_line_its_cause_and_its_remedy() {
        let loading = "Failed to load eBPF program: sock_recv_length: ";
        let attaching = "Failed to attach eBPF program: sock_recv_length: ";
        let missing = Error::MissingCapabilities {
            missing: vec!["CAP_PERFMON"],
        };
        for (error, first_line, remedy) in [
            (
                missing,
                "Insufficient permissions to load eBPF programs. Missing: CAP_PERFMON",
                "CAP_PERFMON",
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
            (attach(libc::EACCES), attaching, "perf_event_paranoid"),
            (attach(libc::EINVAL), attaching, "attaches no programs"),
            (attach(libc::EOPNOTSUPP), attaching, "cannot attach"),
            (attach(libc::EBUSY), attaching, "bpftool prog"),
            (attach(libc::EEXIST), attaching, "bpftool prog"),
        ] {
            let (text, hint) = (error.to_string(), error.hint().unwrap_or_default());
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
