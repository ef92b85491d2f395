//! A source as typed → what it names on this machine.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use super::stored::{self, Kind, STDIN};
use crate::{Error, Result};

/// Folder in which the kernel lists interfaces.
const INTERFACES: &str = "/sys/class/net";
/// Endings of the names of capture files.
const CAPTURES: [&str; 3] = [".pcap", ".pcapng", ".cap"];
/// Endings that compression appends.
const COMPRESSED: [&str; 3] = ["", ".gz", ".zst"];
/// A source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// `ebpf:any`: the kernel's socket hooks.
    Sockets,
    /// `ebpf:NAME`: packets of an interface, through programs of ours.
    Interface(String),
    /// `pcap:NAME`: packets of an interface, or of `any`, through libpcap.
    Libpcap(String),
    /// Capture files, read as one; `-` is standard input.
    Files(Vec<PathBuf>),
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
        Self::parse_among(text, &interfaces(), stored::kind_of_stdin)
    }

    /// Parses several sources, which must be capture files.
    ///
    /// # Errors
    ///
    /// There is none, or one of several is not a capture file.
    pub fn parse_all(texts: Vec<String>) -> Result<Self> {
        if let [text] = texts.as_slice() {
            return Self::parse(text);
        }
        let mut paths = Vec::new();
        for text in texts {
            match Self::parse(&text)? {
                Self::Files(one) if text != STDIN => paths.extend(one),
                _ => return Err(Error::NotTogether { text }),
            }
        }
        if paths.is_empty() {
            let text = String::new();
            return Err(Error::NotASource { text });
        }
        Ok(Self::Files(paths))
    }

    /// Parses a source. `kind_of_stdin` looks at standard input.
    fn parse_among(
        text: &str,
        interfaces: &[String],
        kind_of_stdin: impl Fn() -> Kind,
    ) -> Result<Self> {
        let is_interface = interfaces.iter().any(|known| known == text);
        let kind = if text == STDIN {
            Some(kind_of_stdin())
        } else {
            stored::kind_of(Path::new(text)).filter(|_| !is_interface)
        };
        let is_log = match kind {
            Some(Kind::Text) => !is_named_as_capture(text),
            Some(Kind::Unknown) => text == STDIN,
            Some(Kind::Capture) | None => false,
        };
        if is_log {
            return Ok(Self::Log(text.into()));
        }
        if kind.is_some() || text.contains('/') || is_named_as_capture(text) {
            return Ok(Self::Files(vec![text.into()]));
        }
        match text.split_once(':') {
            Some(("ebpf", "any")) => Ok(Self::Sockets),
            Some(("ebpf", name)) => interface(text, name, interfaces).map(Self::Interface),
            Some(("pcap", "any")) => Ok(Self::Libpcap("any".to_owned())),
            Some(("pcap", name)) => interface(text, name, interfaces).map(Self::Libpcap),
            Some(("watch", address)) => server(text, address).map(Self::Watch),
            _ if is_interface => Ok(Self::Libpcap(text.to_owned())),
            _ => Err(Error::NotASource { text: text.into() }),
        }
    }

    /// The kind's name in JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sockets => "sockets",
            Self::Interface(_) => "interface",
            Self::Libpcap(_) => "libpcap",
            Self::Files(_) => "file",
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
            Self::Log(path) => write!(to, "{}", path.display()),
            Self::Files(paths) => {
                let names: Vec<String> = paths
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                to.write_str(&names.join(" "))
            }
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
        parse_with(text, Kind::Text)
    }

    /// Parses a source while standard input is of this kind.
    fn parse_with(text: &str, stdin: Kind) -> Result<SourceSpec> {
        SourceSpec::parse_among(text, &["eth0".to_owned(), "lo".to_owned()], || stdin)
    }

    fn file(path: &str) -> SourceSpec {
        SourceSpec::Files(vec![path.into()])
    }

    #[test]
    fn each_form_of_source_is_understood() {
        for (text, source) in [
            ("ebpf:any", SourceSpec::Sockets),
            ("ebpf:eth0", SourceSpec::Interface("eth0".into())),
            ("pcap:any", SourceSpec::Libpcap("any".into())),
            ("pcap:lo", SourceSpec::Libpcap("lo".into())),
            ("eth0", SourceSpec::Libpcap("eth0".into())),
            ("dump.pcap", file("dump.pcap")),
            ("dump.cap.zst", file("dump.cap.zst")),
            ("ebpf:x.pcapng", file("ebpf:x.pcapng")),
            ("./ebpf:any", file("./ebpf:any")),
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
    fn what_is_stored_is_known_by_how_it_begins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("today");
        let text = path.to_str().unwrap();
        let pcap = [&0xa1b2_c3d4_u32.to_le_bytes()[..], &[0; 20]].concat();
        let zipped = |content: &[u8]| {
            let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut zipped, content).unwrap();
            zipped.finish().unwrap()
        };
        for (content, kind) in [
            (b"ts=5.6 gid=1 type=item_get".to_vec(), "log"),
            (b"OK\r\nts=".to_vec(), "log"),
            (b"Trying 127.0.0.1...".to_vec(), "log"),
            (b"ERROR\r\n".to_vec(), "log"),
            (zipped(b"ts=5.6 gid=1 type=item_get"), "log"),
            (pcap.clone(), "file"),
            (zipped(&pcap), "file"),
            (b"\x00\x01\x02".to_vec(), "file"),
            (Vec::new(), "file"),
        ] {
            fs::write(&path, &content).unwrap();
            assert_eq!(parse(text).unwrap().kind(), kind, "{content:?}");
        }
    }

    #[test]
    fn standard_input_is_known_by_how_it_begins() {
        assert_eq!(parse_with("-", Kind::Capture).unwrap(), file("-"));
        for kind in [Kind::Text, Kind::Unknown] {
            let log = SourceSpec::Log("-".into());
            assert_eq!(parse_with("-", kind).unwrap(), log);
        }
    }

    #[test]
    fn only_capture_files_are_read_together() {
        let all = |texts: &[&str]| {
            SourceSpec::parse_all(texts.iter().map(|text| (*text).to_owned()).collect())
        };
        let both = SourceSpec::Files(vec!["a.pcap".into(), "b.pcap".into()]);
        assert_eq!(all(&["a.pcap", "b.pcap"]).unwrap(), both);
        assert_eq!(both.to_string(), "a.pcap b.pcap");
        let error = all(&["a.pcap", "ebpf:any"]).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        assert!(all(&[]).is_err());
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
