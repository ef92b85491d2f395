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
            Self::NotOfInterface { .. } => Some("leave it out: the first way that works is taken".into()),
            Self::RecorderPanicked => Some("`membench repair` seals it; please report this".into()),
            Self::Io { source, .. } => io_hint(source),
            Self::NewerSchema { .. } => Some("`pip install --upgrade membench`".into()),
            Self::Selection { option, .. } => selection_hint(option),
            Self::Ports { .. }
            | Self::UnknownResponses { .. }
            | Self::UnknownTier { .. }
            | Self::NotADuration { .. }
            | Self::RecorderTaken
            | Self::HooksSilent { .. }
            | Self::UnknownAnalysis { .. }
            | Self::TooManyKeys { .. }
            | Self::Random(_) => None,
            Self::NoTrial { .. } => Some("bring the loopback interface up: `ip link set lo up`".into()),
            Self::NotStarted { .. } => Some(
                "limits decide that: `ulimit -u` (threads), `ulimit -n` (files), the service's `TasksMax`"
                    .into(),
            ),
            Self::NotForSource { .. } | Self::Sampled { .. } => Some(ALL_OF_IT.into()),
            Self::WatchUnreachable { server, source } => Some(unreachable_hint(server, source)),
            Self::WatchRefused { found, .. } => Some(refused_hint(found).into()),
            Self::NotALog { .. } => Some(
                "`(echo watch fetchers mutations connevents; cat) | nc HOST PORT > watch.log` makes one"
                    .into(),
            ),
            Self::FeatureMissing { feature, .. } => {
                Some(format!("build with `--features {feature}`"))
            }
            Self::Kernel(error) => error.hint(),
            Self::Replay(error) => error.hint(),
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
