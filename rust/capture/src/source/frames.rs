//! Records of the rings that hold packets → the packets, as every packet source hands them over.

use std::mem;

use membench_common::{Packet as Head, way};
use membench_decode::packet::{Link, Packet, Way};
use zerocopy::FromBytes;

/// Largest packet, bytes: more than those that GRO and TSO build.
const LARGEST: usize = 1 << 20;

/// Packets of which the first records were taken: at most one for each CPU.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    begun: Vec<Frame>,
    /// The packet that was completed last.
    whole: Frame,
}

/// A packet, or its beginning.
#[derive(Debug, Default)]
struct Frame {
    time: u64,
    cpu: u16,
    way: Option<Way>,
    bytes: Vec<u8>,
}

/// Result of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It completes a packet.
    Whole,
    /// More of the packet follows.
    Part,
    /// It breaks a rule of `membench_common`.
    Malformed,
}

impl Frames {
    /// Takes a record. A packet of which a record was dropped, as the kernel's programs count, is left out.
    pub(crate) fn take(&mut self, record: &[u8]) -> Taken {
        self.add(record).unwrap_or(Taken::Malformed)
    }

    fn add(&mut self, record: &[u8]) -> Option<Taken> {
        let (head, rest) = Head::read_from_prefix(record).ok()?;
        let number = |bytes: u32| usize::try_from(bytes).ok();
        let (length, offset) = (number(head.length)?, number(head.offset)?);
        let part = rest.get(..number(head.kept)?)?;
        let end = offset.checked_add(part.len())?;
        if part.is_empty() || end > length || length > LARGEST {
            return None;
        }
        let begun = self.begun.iter().position(|one| one.cpu == head.cpu);
        if offset == 0 {
            let mut bytes = if end == length {
                mem::take(&mut self.whole.bytes)
            } else {
                Vec::with_capacity(length)
            };
            bytes.clear();
            bytes.extend_from_slice(part);
            let frame = Frame {
                time: head.time,
                cpu: head.cpu,
                way: way(head.way),
                bytes,
            };
            if let Some(begun) = begun {
                self.begun.swap_remove(begun);
            }
            if end < length {
                self.begun.push(frame);
                return Some(Taken::Part);
            }
            self.whole = frame;
            return Some(Taken::Whole);
        }
        let begun = begun?;
        let frame = self.begun.get_mut(begun)?;
        if (frame.time, frame.bytes.len()) != (head.time, offset) {
            return None;
        }
        frame.bytes.extend_from_slice(part);
        if end < length {
            return Some(Taken::Part);
        }
        self.whole = self.begun.swap_remove(begun);
        Some(Taken::Whole)
    }

    /// Returns the packet that was completed last.
    pub(crate) fn packet(&self, link: Link) -> Packet<'_> {
        let Frame {
            time, way, bytes, ..
        } = &self.whole;
        Packet {
            time: *time,
            link,
            bytes,
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            way: *way,
        }
    }
}

fn way(number: u16) -> Option<Way> {
    match number {
        way::IN => Some(Way::Received),
        way::OUT => Some(Way::Sent),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;

    /// Cuts a packet into parts of this length, each in a record.
    fn records(frame: &[u8], part: usize, time: u64, cpu: u16) -> Vec<Vec<u8>> {
        let record = |(at, kept): (usize, &[u8])| {
            let head = Head {
                time,
                length: frame.len().try_into().unwrap(),
                offset: (at * part).try_into().unwrap(),
                kept: kept.len().try_into().unwrap(),
                cpu,
                way: way::IN,
            };
            [head.as_bytes(), kept].concat()
        };
        frame.chunks(part).enumerate().map(record).collect()
    }

    fn found<'a>(records: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<Vec<u8>> {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for record in records {
            if frames.take(record) == Taken::Whole {
                let packet = frames.packet(Link::Raw);
                assert_eq!(packet.way, Some(Way::Received));
                assert_eq!(packet.length as usize, packet.bytes.len());
                found.push(packet.bytes.to_vec());
            }
        }
        found
    }

    #[test]
    fn parts_of_a_packet_are_the_packet() {
        let frame: Vec<u8> = (0..=255).cycle().take(40_000).collect();
        for part in [40_000, 39_999, 16_384, 1_000, 1] {
            let records = records(&frame, part, 5, 3);
            assert_eq!(found(&records), std::slice::from_ref(&frame), "{part}");
        }
    }

    #[test]
    fn parts_of_packets_on_several_cpus_are_told_apart() {
        let (first, second) = (
            records(&[1; 3_000], 1_000, 5, 1),
            records(&[2; 3_000], 1_000, 6, 2),
        );
        let mixed = first.iter().zip(&second).flat_map(|(a, b)| [a, b]);
        assert_eq!(found(mixed), [vec![1; 3_000], vec![2; 3_000]]);
    }

    #[test]
    fn a_packet_of_which_a_part_was_dropped_is_left_out_and_no_other() {
        let cut = &records(&[1; 3_000], 1_000, 5, 1)[..2];
        let next = records(&[2; 3_000], 1_000, 6, 1);
        assert_eq!(found(cut.iter().chain(&next)), [vec![2; 3_000]]);
        let small = records(&[2; 30], 1_000, 6, 1);
        assert_eq!(found(cut.iter().chain(&small)), [vec![2; 30]]);
    }

    #[test]
    fn records_that_break_a_rule_are_refused() {
        let whole = records(&[7; 300], 100, 5, 1).remove(1);
        let mut frames = Frames::default();
        assert_eq!(frames.take(&whole), Taken::Malformed, "nothing has begun");
        for cut in 0..whole.len() {
            frames.take(&records(&[7; 300], 100, 5, 1)[0]);
            assert_eq!(frames.take(&whole[..cut]), Taken::Malformed, "{cut}");
        }
        assert_eq!(frames.take(&whole), Taken::Part);
        assert_eq!(frames.take(&whole), Taken::Malformed, "it was there before");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_reading_panic(records: Vec<Vec<u8>>) {
            let mut frames = Frames::default();
            for record in &records {
                frames.take(record);
            }
        }
    }
}
