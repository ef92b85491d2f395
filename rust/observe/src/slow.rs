//! Records of requests that took long → the longest of an interval, with their worker, client and command.

use std::{cmp::Reverse, collections::BinaryHeap};

use membench_bpf::{Loaded, Map, Ring, Update};
use membench_common::observe::{Slow, answer, class, part};
use membench_event::{Anchor, float};
use membench_protocol::binary::Opcode;
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    Keep, Result, SlowRequest, connections::client, interval::COMMANDS, sums::named, tally::Tally,
};

/// Size of the ring, bytes: some 5,700 records.
pub(crate) const RING: u32 = 1 << 20;
/// Size of a ring that nothing comes into, bytes.
pub(crate) const UNUSED: u32 = 4096;
/// Records that are taken at a time.
const LIMIT: usize = 65_536;

/// The longest requests of an interval.
pub(crate) struct Slowest {
    ring: Ring,
    floor: Map,
    most: usize,
    kept: BinaryHeap<Reverse<Kept>>,
    /// The floor in the kernel, ns: a request that took no longer gets no record.
    floor_ns: u64,
}

/// A record, ordered by the request's time.
struct Kept(Slow);

impl Slowest {
    pub(crate) fn open(object: &Loaded, keep: Keep) -> Result<Self> {
        Ok(Self {
            ring: Ring::open(&object.map("slow")?)?,
            floor: object.map("floor")?,
            most: keep.most,
            kept: BinaryHeap::new(),
            floor_ns: 0,
        })
    }

    /// Reads the ring. Once as many requests are kept as are wanted, the programs pass over shorter ones.
    pub(crate) fn read(&mut self) -> Result<()> {
        self.drain();
        let shortest = self.kept.peek().map_or(0, |Reverse(kept)| kept.whole());
        self.set_floor(if self.kept.len() < self.most {
            0
        } else {
            shortest
        })
    }

    fn drain(&mut self) {
        let (kept, most) = (&mut self.kept, self.most);
        self.ring.drain(LIMIT, &mut |bytes| {
            if let Ok((slow, _)) = Slow::read_from_prefix(bytes) {
                kept.push(Reverse(Kept(slow)));
                if kept.len() > most {
                    kept.pop();
                }
            }
        });
    }

    /// Ends an interval: what comes from now on is of the next. Returns the longest records, the longest first.
    pub(crate) fn cut(&mut self) -> Result<Vec<Slow>> {
        self.set_floor(0)?;
        self.drain();
        let kept = std::mem::take(&mut self.kept).into_sorted_vec();
        Ok(kept.into_iter().map(|Reverse(Kept(slow))| slow).collect())
    }

    fn set_floor(&mut self, time: u64) -> Result<()> {
        if std::mem::replace(&mut self.floor_ns, time) != time {
            self.floor
                .update(0_u32.as_bytes(), time.as_bytes(), Update::Any)?;
        }
        Ok(())
    }
}

impl Kept {
    fn whole(&self) -> u64 {
        self.0.parts[part::WHOLE]
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Kept {}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.whole(), self.0.time).cmp(&(other.whole(), other.0.time))
    }
}

/// Names what a record holds. `start` is when the observation began.
pub(crate) fn request(slow: &Slow, tally: &Tally, start: Anchor) -> SlowRequest {
    let whole_ns = slow.parts[part::WHOLE];
    let began = slow.time.saturating_sub(whole_ns);
    let (process, thread, name) = tally.identity(slow.worker);
    let (command, answer) = told(slow.answer);
    SlowRequest {
        time_ns: start.utc_ns(began),
        began_s: float(began.saturating_sub(start.monotonic_ns)) / 1e9,
        whole_ns,
        parts_ns: named(&slow.parts),
        client: client(&slow.connection),
        port: slow.connection.local_port,
        process,
        thread,
        name,
        command,
        answer,
        request_bytes: slow.read,
        answer_bytes: slow.sent,
    }
}

/// Returns the command or its class, and the answer's first word, as far as the answer's begin tells.
fn told(begin: u32) -> (Option<&'static str>, Option<&'static str>) {
    if begin & answer::BINARY != 0 {
        let [opcode, ..] = begin.to_le_bytes();
        return (Some(Opcode(opcode).command().name()), None);
    }
    let index = (begin as usize).wrapping_sub(1);
    let class = answer::CLASSES.get(index).copied();
    let told = class.filter(|class| *class != class::OTHER);
    let command = told.and_then(|class| COMMANDS.get(class).copied());
    (command, ANSWERS.get(index).copied())
}

/// First words of answers, by their indices in [`answer::WORDS`].
const ANSWERS: [&str; answer::WORDS.len()] = [
    "number",
    "VALUE",
    "END",
    "STORED",
    "NOT_STORED",
    "EXISTS",
    "NOT_FOUND",
    "DELETED",
    "TOUCHED",
    "OK",
    "HD",
    "VA",
    "EN",
    "NF",
    "NS",
    "EX",
    "ME",
    "MN",
    "STAT",
    "VERSION",
    "RESET",
    "ERROR",
    "CLIENT_ERROR",
    "SERVER_ERROR",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_an_answer_is_told_by_its_begin() {
        for (begin, word) in answer::WORDS.iter().zip(ANSWERS).skip(1) {
            let begin = std::str::from_utf8(begin).unwrap().trim_end();
            assert!(word.starts_with(begin), "{begin}");
        }
        assert_eq!(told(2), (Some("get"), Some("VALUE")));
        assert_eq!(told(7), (None, Some("NOT_FOUND")));
    }

    #[test]
    fn an_opcode_tells_the_command() {
        assert_eq!(told(answer::BINARY | 0x1c), (Some("touch"), None));
        assert_eq!(told(0), (None, None));
    }

    #[test]
    fn an_opcode_and_its_class_tell_the_same_command() {
        for opcode in 0..=u8::MAX {
            let command = Opcode(opcode).command().name();
            let class = COMMANDS[answer::class_of(usize::from(opcode))];
            let classes: &[&str] = match command {
                "get" | "gets" | "gat" | "gats" => &["get"],
                "set" | "add" | "replace" | "append" | "prepend" | "cas" => &["store"],
                "incr" | "decr" => &["count"],
                "delete" | "touch" | "stats" | "version" => &[command],
                _ => &["other"],
            };
            assert!(classes.contains(&class), "{opcode:#x}: {command}, {class}");
        }
    }
}
