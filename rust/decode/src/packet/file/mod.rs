//! A capture file → its packets: pcap or pcapng, also compressed with gzip or zstd, read once from start to end.

mod byte_order;
mod pcap;
mod pcapng;

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::open_file;

use super::{Link, Packet, PacketError, Way};
use pcap::Classic;
use pcapng::Sections;

/// Longest packet taken for one, bytes: more than the largest that GRO builds.
const LONGEST_PACKET: u32 = 1 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Damage that keeps a capture file from being read completely.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The file ends in the middle of a record or block.
    #[error("it ends in the middle of a packet, after {offset} bytes")]
    Cut {
        /// Offset of the end of the file in its decompressed content, bytes.
        offset: u64,
    },
    /// A length field has an impossible value.
    #[error("{what} after {offset} bytes has an impossible length of {length} bytes")]
    Length {
        /// Item with the length.
        what: &'static str,
        /// Value of the field, bytes.
        length: u64,
        /// Offset in the decompressed content, bytes.
        offset: u64,
    },
    /// A packet names an interface that the file does not describe.
    #[error(
        "a packet after {offset} bytes names interface {interface}, which the file does not describe"
    )]
    Interface {
        /// Number of the interface.
        interface: u32,
        /// Offset in the decompressed content, bytes.
        offset: u64,
    },
    /// Packets were passed over because their link type is not supported.
    #[error("packets of link type {number} cannot be read")]
    Link {
        /// Number of the link type.
        number: u32,
    },
    /// Reading or decompressing failed.
    #[error("reading failed after {offset} bytes: {reason}")]
    Read {
        /// Message of the system or the decompressor.
        reason: String,
        /// Offset in the decompressed content, bytes.
        offset: u64,
    },
}

/// A packet in the reader's buffer.
#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Time of passage, ns since 1970.
    time: u64,
    link: Link,
    /// Offset of the packet in the buffer.
    start: usize,
    /// Captured length, bytes.
    captured: usize,
    /// Original length, bytes.
    length: u32,
    way: Option<Way>,
}

enum Format {
    Classic(Classic),
    Sections(Sections),
}

/// Reader of one capture file.
///
/// Damage ends the reading: [`next_packet`](Self::next_packet) then returns `None` and [`damage`](Self::damage) tells
/// why.
pub struct Reader {
    input: Input,
    format: Format,
    /// Next packet, if it was already read to learn its time.
    ahead: Option<Frame>,
    damage: Option<Damage>,
    ended: bool,
}

impl Reader {
    /// Opens a file and detects its compression and format.
    pub fn open(path: &Path) -> Result<Self, PacketError> {
        let file = open_file(path).map_err(|source| failed(path, source))?;
        Self::read(path, Box::new(file))
    }

    /// Reads a capture from any source of bytes; errors name it `path`.
    pub fn read(path: &Path, file: Box<dyn Read + Send>) -> Result<Self, PacketError> {
        let plain = decompressed(file).map_err(|source| failed(path, source))?;
        let mut input = Input::new(plain);
        let format = Self::format(path, &mut input)?;
        Ok(Self {
            input,
            format,
            ahead: None,
            damage: None,
            ended: false,
        })
    }

    fn format(path: &Path, input: &mut Input) -> Result<Format, PacketError> {
        let not_one = |found: String| PacketError::NotACapture {
            path: path.into(),
            found,
        };
        let length = input.fill(4).map_err(|source| failed(path, source))?;
        let Some(magic) = input.buffer.first_chunk().copied().filter(|_| length == 4) else {
            return Err(not_one(match length {
                0 => "it is empty".to_owned(),
                length => format!("it has {length} bytes"),
            }));
        };
        if magic == pcapng::MAGIC {
            return Ok(Format::Sections(Sections::default()));
        }
        let Some(magic_number) = pcap::parse_magic(magic) else {
            return Err(not_one(format!(
                "it begins with {:02x}{:02x}{:02x}{:02x}",
                magic[0], magic[1], magic[2], magic[3]
            )));
        };
        let rest = input
            .fill(pcap::HEADER_REST)
            .map_err(|source| failed(path, source))?;
        if rest < pcap::HEADER_REST {
            return Err(not_one("it ends within its header".to_owned()));
        }
        Classic::new(magic_number, &input.buffer)
            .map(Format::Classic)
            .map_err(|number| PacketError::LinkType {
                path: path.into(),
                number,
            })
    }

    /// Returns the next packet; `None` at the end of the file or at damage.
    pub fn next_packet(&mut self) -> Option<Packet<'_>> {
        let frame = self.ahead.take().or_else(|| self.next_frame())?;
        let bytes = self
            .input
            .buffer
            .get(frame.start..frame.start + frame.captured)?;
        Some(Packet {
            time: frame.time,
            link: frame.link,
            bytes,
            length: frame.length.max(u32::try_from(frame.captured).unwrap_or(0)),
            way: frame.way,
        })
    }

    /// Returns the time of the next packet, ns since 1970, without taking it; `None` at the end.
    pub fn next_time(&mut self) -> Option<u64> {
        if self.ahead.is_none() {
            self.ahead = self.next_frame();
        }
        self.ahead.map(|frame| frame.time)
    }

    fn next_frame(&mut self) -> Option<Frame> {
        if self.ended {
            return None;
        }
        let next = match &mut self.format {
            Format::Classic(classic) => classic.next_frame(&mut self.input),
            Format::Sections(sections) => sections.next_frame(&mut self.input),
        };
        let frame = next.unwrap_or_else(|damage| {
            self.damage = Some(damage);
            None
        });
        self.ended = frame.is_none();
        frame
    }

    /// Damage found so far.
    pub fn damage(&self) -> Option<Damage> {
        let passed_over = match &self.format {
            Format::Classic(_) => None,
            Format::Sections(sections) => sections.unknown_link(),
        };
        self.damage
            .clone()
            .or(passed_over.map(|number| Damage::Link { number }))
    }

    /// Number of packets that the capture dropped according to the file, and number of packets passed over because
    /// their link type is not supported.
    pub fn dropped(&self) -> (u64, u64) {
        match &self.format {
            Format::Classic(_) => (0, 0),
            Format::Sections(sections) => (sections.dropped(), sections.passed_over()),
        }
    }

    /// Number of captures in the file: those that were joined, one after the other.
    pub fn captures(&self) -> u64 {
        match &self.format {
            Format::Classic(classic) => classic.captures(),
            Format::Sections(sections) => sections.captures(),
        }
    }

    /// Name of the format: `pcap` or `pcapng`.
    pub fn format_name(&self) -> &'static str {
        match &self.format {
            Format::Classic(_) => "pcap",
            Format::Sections(_) => "pcapng",
        }
    }
}

fn failed(path: &Path, source: io::Error) -> PacketError {
    PacketError::Io {
        path: PathBuf::from(path),
        source,
    }
}

/// True if a file whose content begins so is a packet capture.
pub fn begins_capture(content: &[u8]) -> bool {
    content
        .first_chunk()
        .is_some_and(|magic| *magic == pcapng::MAGIC || pcap::parse_magic(*magic).is_some())
}

/// Returns the content of a file, decompressed if it is compressed by gzip or zstd.
pub fn decompressed(mut file: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    let gzip = magic.starts_with(&GZIP);
    let zstd = magic.starts_with(&ZSTD);
    let whole = BufReader::with_capacity(1 << 16, io::Cursor::new(magic).chain(file));
    Ok(if gzip {
        Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(whole)))
    } else if zstd {
        Box::new(BufReader::new(zstd::Decoder::with_buffer(whole)?))
    } else {
        Box::new(whole)
    })
}

/// Decompressed content, read piece by piece into one buffer.
struct Input {
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// Offset of the buffer's first byte in the content.
    offset: u64,
}

impl Input {
    fn new(source: Box<dyn Read + Send>) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            offset: 0,
        }
    }

    /// Replaces the buffer by the next `length` bytes. Returns how many were read, fewer at the end of the content.
    fn fill(&mut self, length: usize) -> io::Result<usize> {
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        let taken = self.source.by_ref().take(length as u64);
        read_all(taken, &mut self.buffer)
    }

    /// Replaces the buffer by the next `length` bytes. Returns `None` at the end of the content, an error if it ends
    /// within them.
    fn fill_or_end(&mut self, length: usize) -> Result<Option<()>, Damage> {
        match self.fill(length) {
            Ok(0) if length > 0 => Ok(None),
            Ok(read) if read < length => Err(self.cut()),
            Ok(_) => Ok(Some(())),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    /// Replaces the buffer by the next `length` bytes. Returns an error if the content ends before or within them.
    fn fill_all(&mut self, length: usize) -> Result<(), Damage> {
        self.fill_or_end(length)?.ok_or_else(|| self.cut())
    }

    /// Skips the next `length` bytes.
    fn skip(&mut self, length: u64) -> Result<(), Damage> {
        self.fill_all(0)?;
        let passed = io::copy(&mut self.source.by_ref().take(length), &mut io::sink());
        let passed = passed.map_err(|error| self.unreadable(&error))?;
        self.offset += passed;
        if passed < length {
            Err(self.cut())
        } else {
            Ok(())
        }
    }

    fn cut(&self) -> Damage {
        Damage::Cut {
            offset: self.offset + self.buffer.len() as u64,
        }
    }

    fn unreadable(&self, error: &io::Error) -> Damage {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.cut();
        }
        Damage::Read {
            reason: error.to_string(),
            offset: self.offset + self.buffer.len() as u64,
        }
    }
}

fn read_all(mut source: impl Read, buffer: &mut Vec<u8>) -> io::Result<usize> {
    source.read_to_end(buffer)
}

/// Checks a captured length: no packet is longer than [`LONGEST_PACKET`].
fn checked(captured: u32, offset: u64) -> Result<usize, Damage> {
    if captured > LONGEST_PACKET {
        return Err(Damage::Length {
            what: "a packet",
            length: captured.into(),
            offset,
        });
    }
    Ok(captured as usize)
}

/// Converts a time in units of 1/`per_second` s to ns.
fn nanoseconds(units: u64, per_second: u128) -> u64 {
    let nanoseconds = u128::from(units) * 1_000_000_000 / per_second.max(1);
    u64::try_from(nanoseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
