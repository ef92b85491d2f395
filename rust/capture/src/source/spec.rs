//! A source as typed → what it names on this machine.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::{Error, Result};

/// Folder in which the kernel lists interfaces.
const INTERFACES: &str = "/sys/class/net";
/// Endings of the names of capture files.
const CAPTURES: [&str; 3] = [".pcap", ".pcapng", ".cap"];
/// Endings that compression appends.
const COMPRESSED: [&str; 3] = ["", ".gz", ".zst"];
/// Beginnings of a stored log; `OK` is the server's answer to `watch`.
const LOG_BEGINNINGS: [&[u8]; 4] = [b"ts=", b"skipped=", b"OK\r\n", b"OK\n"];
/// Standard input.
const STDIN: &str = "-";

/// A source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// `ebpf:any`: the kernel's socket hooks.
    Sockets,
    /// `ebpf:NAME`: packets of an interface, through programs of ours.
    Interface(String),
    /// `pcap:NAME`: packets of an interface, or of `any`, through libpcap.
    Libpcap(String),
    /// A capture file.
    File(PathBuf),
    /// `watch:HOST:PORT`: the log of a running memcached.
    Watch(String),
    /// A stored log of memcached's; `-` is standard input.
    Log(PathBuf),
}

impl SourceSpec {
    /// Parses a source, and checks it against this machine's interfaces and files.
    ///
    /// # Errors
    ///
    /// The text has none of the known forms, or names an interface that does not exist.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_among(text, &interfaces())
    }

    fn parse_among(text: &str, interfaces: &[String]) -> Result<Self> {
        if text == STDIN || is_log(Path::new(text)) {
            return Ok(Self::Log(text.into()));
        }
        if text.contains('/') || is_named_as_capture(text) {
            return Ok(Self::File(text.into()));
        }
        match text.split_once(':') {
            Some(("ebpf", "any")) => Ok(Self::Sockets),
            Some(("ebpf", name)) => interface(text, name, interfaces).map(Self::Interface),
            Some(("pcap", "any")) => Ok(Self::Libpcap("any".to_owned())),
            Some(("pcap", name)) => interface(text, name, interfaces).map(Self::Libpcap),
            Some(("watch", address)) => server(text, address).map(Self::Watch),
            _ if interfaces.iter().any(|known| known == text) => Ok(Self::Libpcap(text.to_owned())),
            _ => Err(Error::NotASource { text: text.into() }),
        }
    }

    /// The kind's name in JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sockets => "sockets",
            Self::Interface(_) => "interface",
            Self::Libpcap(_) => "libpcap",
            Self::File(_) => "file",
            Self::Watch(_) => "watch",
            Self::Log(_) => "log",
        }
    }

    /// True if events come from memcached's own log: no packets, no kernel.
    pub const fn is_log(&self) -> bool {
        matches!(self, Self::Watch(_) | Self::Log(_))
    }
}

/// The form that [`SourceSpec::parse`] reads.
impl fmt::Display for SourceSpec {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sockets => to.write_str("ebpf:any"),
            Self::Interface(name) => write!(to, "ebpf:{name}"),
            Self::Libpcap(name) => write!(to, "pcap:{name}"),
            Self::Watch(address) => write!(to, "watch:{address}"),
            Self::File(path) | Self::Log(path) => write!(to, "{}", path.display()),
        }
    }
}

/// This machine's interfaces, by name.
fn interfaces() -> Vec<String> {
    let entries = fs::read_dir(INTERFACES).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

fn is_named_as_capture(text: &str) -> bool {
    let ends = |plain: &str| CAPTURES.iter().any(|ending| plain.ends_with(ending));
    let mut plain = COMPRESSED.iter().filter_map(|end| text.strip_suffix(end));
    plain.any(ends)
}

/// True if a file begins as memcached's log does; a file that cannot be read is reported when it is opened.
fn is_log(path: &Path) -> bool {
    let beginning = || -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        File::open(path)?.take(16).read_to_end(&mut read)?;
        Ok(read)
    };
    path.is_file()
        && beginning().is_ok_and(|read| LOG_BEGINNINGS.iter().any(|begin| read.starts_with(begin)))
}

fn interface(text: &str, name: &str, interfaces: &[String]) -> Result<String> {
    if interfaces.iter().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    Err(Error::NoInterface {
        text: text.to_owned(),
        name: name.to_owned(),
        known: interfaces.to_vec(),
    })
}

fn server(text: &str, address: &str) -> Result<String> {
    let is_address = address.rsplit_once(':').is_some_and(|(host, port)| {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        !host.is_empty() && digits && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if is_address {
        return Ok(address.to_owned());
    }
    Err(Error::NotAnAddress { text: text.into() })
}

#[cfg(test)]
mod tests {
    use membench_event::Failure;

    use super::*;

    fn parse(text: &str) -> Result<SourceSpec> {
        SourceSpec::parse_among(text, &["eth0".to_owned(), "lo".to_owned()])
    }

    #[test]
    fn each_form_of_source_is_understood() {
        for (text, source) in [
            ("ebpf:any", SourceSpec::Sockets),
            ("ebpf:eth0", SourceSpec::Interface("eth0".into())),
            ("pcap:any", SourceSpec::Libpcap("any".into())),
            ("pcap:lo", SourceSpec::Libpcap("lo".into())),
            ("eth0", SourceSpec::Libpcap("eth0".into())),
            ("dump.pcap", SourceSpec::File("dump.pcap".into())),
            ("dump.cap.zst", SourceSpec::File("dump.cap.zst".into())),
            ("ebpf:x.pcapng", SourceSpec::File("ebpf:x.pcapng".into())),
            ("./ebpf:any", SourceSpec::File("./ebpf:any".into())),
            (
                "watch:10.0.0.7:11211",
                SourceSpec::Watch("10.0.0.7:11211".into()),
            ),
            ("-", SourceSpec::Log("-".into())),
        ] {
            assert_eq!(parse(text).unwrap(), source, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_hint() {
        for text in [
            "",
            "any",
            "ebpf",
            "ebpf:",
            "pcap:",
            "watch:host",
            "watch::1",
            "watch:host:0",
            "watch:host:99999",
            "tcp:eth0",
            "eth1",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.hint().is_some(), "{text}: {error}");
        }
    }

    #[test]
    fn an_unknown_interface_is_named_beside_those_there_are() {
        let error = parse("ebpf:eth9").unwrap_err();
        assert!(error.to_string().contains("no interface is called 'eth9'"));
        let hint = error.hint().unwrap().for_library();
        assert_eq!(hint, "this machine has eth0, lo");
    }

    #[test]
    fn a_stored_log_is_known_by_how_it_begins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("today");
        let text = path.to_str().unwrap();
        for (beginning, is_log) in [
            (&b"ts=5.6 gid=1 type=item_get"[..], true),
            (b"OK\r\nts=", true),
            (b"skipped=4", true),
            (b"something else", false),
        ] {
            fs::write(&path, beginning).unwrap();
            assert_eq!(parse(text).unwrap().is_log(), is_log, "{beginning:?}");
        }
    }

    #[test]
    fn a_source_is_written_as_it_is_read() {
        for text in [
            "ebpf:any",
            "ebpf:lo",
            "pcap:eth0",
            "watch:host:1",
            "./x.pcap",
            "-",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }
}
