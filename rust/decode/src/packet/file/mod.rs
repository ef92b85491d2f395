//! A capture file → its packets: pcap and pcapng, also in gzip or zstd, read once from front to back.

mod bytes;
mod classic;
mod section;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::PacketError;

use super::{Link, Packet, Way};
use classic::Classic;
use section::Sections;

/// The longest packet taken for one, bytes: GRO's largest with room to spare.
const LONGEST_PACKET: u32 = 1 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why a capture file cannot be read to its end, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It ends in the middle of something.
    #[error("it ends in the middle of a packet, after {offset} bytes")]
    Cut {
        /// Whole bytes before, decompressed.
        offset: u64,
    },
    /// A length in it cannot be.
    #[error("{what} of {length} bytes after {offset} bytes cannot be")]
    Length {
        /// Of what.
        what: &'static str,
        /// What it claims.
        length: u64,
        /// Bytes before it, decompressed.
        offset: u64,
    },
    /// A packet of an interface that was not described.
    #[error("a packet after {offset} bytes is of interface {interface}, which is not described")]
    Interface {
        /// Which.
        interface: u32,
        /// Bytes before it, decompressed.
        offset: u64,
    },
    /// Packets of a link type that is not understood were passed over.
    #[error("packets of link type {number} cannot be read")]
    Link {
        /// Its number.
        number: u32,
    },
    /// The system, or the decompression, gave up.
    #[error("it cannot be read on after {offset} bytes: {reason}")]
    Read {
        /// What it said.
        reason: String,
        /// Bytes before, decompressed.
        offset: u64,
    },
}

/// A packet's place in the reader's room.
#[derive(Clone, Copy, Debug)]
struct Frame {
    /// ns since 1970.
    time: u64,
    link: Link,
    start: usize,
    captured: usize,
    length: u32,
    way: Option<Way>,
}

enum Format {
    Classic(Classic),
    Sections(Sections),
}

/// A capture file that is being read.
pub struct Reader {
    input: Input,
    format: Format,
    /// A packet that was read to learn its time.
    ahead: Option<Frame>,
    damage: Option<Damage>,
    ended: bool,
}

impl Reader {
    /// Opens a file and reads what it begins with.
    pub fn open(path: &Path) -> Result<Self, PacketError> {
        let file = File::open(path).map_err(|source| failed(path, source))?;
        Self::read(path, Box::new(file))
    }

    /// Reads a capture from anything; `path` is its name in errors.
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
        let Some(magic) = input.room.first_chunk().copied().filter(|_| length == 4) else {
            return Err(not_one(match length {
                0 => "it is empty".to_owned(),
                length => format!("it has {length} bytes"),
            }));
        };
        if magic == section::MAGIC {
            return Ok(Format::Sections(Sections::default()));
        }
        let Some((order, nanoseconds)) = classic::by_magic(magic) else {
            return Err(not_one(format!(
                "it begins with {:02x}{:02x}{:02x}{:02x}",
                magic[0], magic[1], magic[2], magic[3]
            )));
        };
        let rest = input
            .fill(classic::HEADER_REST)
            .map_err(|source| failed(path, source))?;
        if rest < classic::HEADER_REST {
            return Err(not_one("it ends within its header".to_owned()));
        }
        let number = order.u32(&input.room, 16).unwrap_or(0) & classic::LINK_BITS;
        let link = Link::of_number(number).ok_or_else(|| PacketError::LinkType {
            path: path.into(),
            number,
        })?;
        Ok(Format::Classic(Classic::new(order, nanoseconds, link)))
    }

    /// The next packet; none at the end, whether that is the file's or its damage's.
    pub fn next_packet(&mut self) -> Option<Packet<'_>> {
        let frame = self.ahead.take().or_else(|| self.next_frame())?;
        let bytes = self
            .input
            .room
            .get(frame.start..frame.start + frame.captured)?;
        Some(Packet {
            time: frame.time,
            link: frame.link,
            bytes,
            length: frame.length.max(u32::try_from(frame.captured).unwrap_or(0)),
            way: frame.way,
        })
    }

    /// When the next packet passed, ns since 1970; none at the end.
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

    /// What is wrong with the file, as far as it was read.
    pub fn damage(&self) -> Option<Damage> {
        let passed_over = match &self.format {
            Format::Classic(_) => None,
            Format::Sections(sections) => sections.unknown_link(),
        };
        self.damage
            .clone()
            .or(passed_over.map(|number| Damage::Link { number }))
    }

    /// Packets that the file says were dropped before they reached it, and packets passed over.
    pub fn dropped(&self) -> (u64, u64) {
        match &self.format {
            Format::Classic(_) => (0, 0),
            Format::Sections(sections) => (sections.dropped(), sections.passed_over()),
        }
    }

    /// What it is.
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

/// The file's content, decompressed if it is compressed.
fn decompressed(mut file: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
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

/// What is read from, one piece at a time into room that is used again.
struct Input {
    source: Box<dyn Read + Send>,
    room: Vec<u8>,
    /// Bytes read before what is in the room.
    offset: u64,
}

impl Input {
    fn new(source: Box<dyn Read + Send>) -> Self {
        Self {
            source,
            room: Vec::new(),
            offset: 0,
        }
    }

    /// Reads so many bytes in place of those in the room; fewer at the end.
    fn fill(&mut self, length: usize) -> io::Result<usize> {
        self.offset += self.room.len() as u64;
        self.room.clear();
        let taken = self.source.by_ref().take(length as u64);
        read_all(taken, &mut self.room)
    }

    /// Reads so many bytes: none at the end of the file, an error if it ends within.
    fn fill_or_end(&mut self, length: usize) -> Result<Option<()>, Damage> {
        match self.fill(length) {
            Ok(0) if length > 0 => Ok(None),
            Ok(read) if read < length => Err(self.cut()),
            Ok(_) => Ok(Some(())),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    /// Reads so many bytes, which must be there.
    fn fill_all(&mut self, length: usize) -> Result<(), Damage> {
        self.fill_or_end(length)?.ok_or_else(|| self.cut())
    }

    /// Passes over so many bytes.
    fn pass(&mut self, length: u64) -> Result<(), Damage> {
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
            offset: self.offset + self.room.len() as u64,
        }
    }

    fn unreadable(&self, error: &io::Error) -> Damage {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.cut();
        }
        Damage::Read {
            reason: error.to_string(),
            offset: self.offset + self.room.len() as u64,
        }
    }
}

fn read_all(mut source: impl Read, room: &mut Vec<u8>) -> io::Result<usize> {
    source.read_to_end(room)
}

/// Refuses a captured length that no packet has.
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

/// A time in units of which there are `per_second`, as ns.
fn nanoseconds(units: u64, per_second: u128) -> u64 {
    let nanoseconds = u128::from(units) * 1_000_000_000 / per_second.max(1);
    u64::try_from(nanoseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
