//! Capture files → their packets, as those of one capture: in the order of their times, whatever the files' order.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};

use membench_decode::open_file;
use membench_decode::packet::file::Reader;
use membench_decode::packet::{Packet, PacketError};
use membench_event::Anchor;

use crate::source::end::Ended;
use crate::source::packets::{Feed, FeedLosses, TIME_BASIS};
use crate::source::stored::{self, STDIN};
use crate::source::{Clock, Description};
use crate::{Error, Result, SourceSpec};

/// Sound times: from 1990 on, when there was nothing to capture, to 2100, ns since 1970.
const SOUND_TIMES: std::ops::Range<u64> = 631_152_000_000_000_000..4_102_444_800_000_000_000;
/// Most packets that are read ahead in search of a sound time.
const MOST_AHEAD: usize = 64;

/// Capture files, open, and read as one.
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    /// Files whose turn has not come, the last of which is next.
    later: Vec<Later>,
    /// Files that are being read: several only where their times overlap.
    open: Vec<One>,
    /// Name of the first file's format.
    format: &'static str,
    /// Facts of files that were read to their end.
    past: Past,
}

/// A file whose turn has not come.
struct Later {
    path: PathBuf,
    /// Time of its first packet, ns; `None` without packets.
    first: Option<u64>,
    content: Content,
}

enum Content {
    /// A file that can be read from its start again.
    File(File),
    /// Standard input, or the only file, which was begun to be read.
    Begun(Box<One>),
}

/// A file that is being read.
struct One {
    path: PathBuf,
    reader: Reader,
    /// Packets that were read ahead.
    ahead: VecDeque<Owned>,
    /// Bytes of the one of them that was handed over last.
    taken: Vec<u8>,
}

/// A packet that was read ahead.
struct Owned {
    /// The packet without its bytes.
    head: Packet<'static>,
    bytes: Vec<u8>,
}

impl Owned {
    fn copy(packet: &Packet<'_>) -> Self {
        let Packet {
            time,
            link,
            bytes,
            length,
            way,
        } = *packet;
        Self {
            head: Packet {
                time,
                link,
                bytes: &[],
                length,
                way,
            },
            bytes: bytes.to_vec(),
        }
    }
}

/// Sums over files that were read to their end.
#[derive(Debug, Default)]
struct Past {
    dropped: u64,
    unreadable: u64,
    /// Number of captures in the files.
    captures: u64,
    damaged: u64,
    /// The first damage found.
    damage: Option<String>,
}

impl Files {
    /// Opens capture files while this process may read them.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut later = Vec::new();
        let mut format = "pcap";
        for path in paths {
            let mut one = Box::new(One::open(path)?);
            format = one.reader.format_name();
            let first = one.first_sound_time();
            later.push(Later {
                path: path.clone(),
                first,
                content: if paths.len() == 1 {
                    Content::Begun(one)
                } else {
                    rewound(path).map_or(Content::Begun(one), Content::File)
                },
            });
        }
        later.sort_by_key(|one| std::cmp::Reverse(one.first.unwrap_or(u64::MAX)));
        Ok(Self {
            paths: paths.to_vec(),
            later,
            open: Vec::new(),
            format,
            past: Past::default(),
        })
    }

    /// Returns the index of the file whose packet is next, after opening those whose turn has come.
    fn next_file(&mut self) -> Option<usize> {
        loop {
            self.close_ended();
            let times = self.open.iter_mut().map(One::next_time).enumerate();
            let next = times
                .filter_map(|(at, time)| Some((time?, at)))
                .min()
                .map(|(time, at)| (Some(time), at));
            let is_due =
                |one: &Later| next.is_none_or(|(time, _)| one.first.is_some() && one.first <= time);
            if !self.later.last().is_some_and(is_due) {
                return next.map(|(_, at)| at);
            }
            self.open_next();
        }
    }

    fn open_next(&mut self) {
        let Some(Later { path, content, .. }) = self.later.pop() else {
            return;
        };
        let opened = match content {
            Content::Begun(one) => Ok(*one),
            Content::File(file) => One::read(&path, Box::new(file)),
        };
        match opened {
            Ok(one) => self.open.push(one),
            // It could be read when all were opened.
            Err(error) => self.past.note_damage(error.to_string()),
        }
    }

    /// Closes the files that hold no more.
    fn close_ended(&mut self) {
        let several = self.paths.len() > 1;
        let past = &mut self.past;
        self.open.retain_mut(|one| {
            let holds_more = one.next_time().is_some();
            if !holds_more {
                past.add(one, several);
            }
            holds_more
        });
    }
}

impl Past {
    fn add(&mut self, one: &One, several: bool) {
        let (dropped, unreadable) = one.reader.dropped();
        self.dropped += dropped;
        self.unreadable += unreadable;
        self.captures += one.reader.captures();
        if let Some(damage) = one.reader.damage() {
            self.note_damage(if several {
                format!("{}: {damage}", one.path.display())
            } else {
                damage.to_string()
            });
        }
    }

    fn note_damage(&mut self, damage: String) {
        self.damaged += 1;
        self.damage.get_or_insert(damage);
    }
}

impl One {
    fn open(path: &Path) -> Result<Self> {
        let content = stored::open(path).map_err(|source| Error::Io {
            path: path.into(),
            source,
        })?;
        Ok(Self::read(path, content)?)
    }

    fn read(path: &Path, content: stored::Content) -> std::result::Result<Self, PacketError> {
        Ok(Self {
            path: path.to_owned(),
            reader: Reader::read(path, content)?,
            ahead: VecDeque::new(),
            taken: Vec::new(),
        })
    }

    /// Returns the time of its first packet, or that of the first one with a sound time soon after it.
    fn first_sound_time(&mut self) -> Option<u64> {
        let first = self.next_time()?;
        if SOUND_TIMES.contains(&first) {
            return Some(first);
        }
        while self.ahead.len() < MOST_AHEAD
            && let Some(packet) = self.reader.next_packet()
        {
            let time = packet.time;
            self.ahead.push_back(Owned::copy(&packet));
            if SOUND_TIMES.contains(&time) {
                return Some(time);
            }
        }
        Some(first)
    }

    fn next_time(&mut self) -> Option<u64> {
        let ahead = self.ahead.front().map(|one| one.head.time);
        ahead.or_else(|| self.reader.next_time())
    }
}

/// Opens a file again, to read it from its start; `None` if it is standard input.
fn rewound(path: &Path) -> Option<File> {
    if path == Path::new(STDIN) {
        return None;
    }
    open_file(path).ok()
}

impl Feed for Files {
    fn describe(&mut self) -> Description {
        let first = self.later.iter().filter_map(|one| one.first).min();
        let first = first.unwrap_or(0);
        let mut facts = serde_json::json!({ "format": self.format });
        if self.paths.len() > 1 {
            facts["files"] = self.paths.len().into();
        }
        Description {
            // Packets are on the clock of UTC.
            anchor: Anchor {
                monotonic_ns: first,
                utc_ns: first,
            },
            clock: Clock::Stored,
            facts,
            ..Description::new(SourceSpec::Files(self.paths.clone()), TIME_BASIS)
        }
    }

    fn next_packet(&mut self) -> Option<Packet<'_>> {
        let at = self.next_file()?;
        let One {
            reader,
            ahead,
            taken,
            ..
        } = self.open.get_mut(at)?;
        match ahead.pop_front() {
            Some(one) => {
                *taken = one.bytes;
                Some(Packet {
                    bytes: taken,
                    ..one.head
                })
            }
            None => reader.next_packet(),
        }
    }

    fn look(&mut self) -> Option<Ended> {
        Some(match &self.past.damage {
            Some(damage) => Ended::Damage(damage.clone()),
            None => Ended::EndOfFile,
        })
    }

    fn now(&self) -> Option<u64> {
        None
    }

    fn namespace(&self) -> u32 {
        0
    }

    fn losses(&self) -> FeedLosses {
        let mut past = Past {
            dropped: self.past.dropped,
            unreadable: self.past.unreadable,
            damaged: self.past.damaged,
            ..Past::default()
        };
        for one in &self.open {
            past.add(one, false);
        }
        FeedLosses {
            dropped: past.dropped,
            unreadable: past.unreadable,
            malformed: 0,
            damaged: past.damaged,
        }
    }
}
