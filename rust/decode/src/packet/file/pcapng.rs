//! Blocks of a pcapng file → frames (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>).

use std::collections::HashMap;

use super::byte_order::Order;
use super::{Damage, Frame, Input, LONGEST_PACKET, Link, Way, checked, nanoseconds};

/// Type of a section header, the first block of a file and of each section. It reads alike in both byte orders.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Magic number in a section header that shows the byte order.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Bytes around a block's content: type and length before it, the length again after it.
const AROUND: u32 = 12;
/// Longest block that is read whole: a packet with its fields and options.
const LONGEST_BLOCK: u32 = LONGEST_PACKET + (64 << 10);
/// Most interfaces that a section may describe.
const MOST_INTERFACES: usize = 4096;

// Block types.
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

// Options of an interface.
const RESOLUTION: u16 = 9;
const TIME_OFFSET: u16 = 14;

// Options of a packet.
const FLAGS: u16 = 2;
const DROP_COUNT: u16 = 4;

// Options of statistics.
const INTERFACE_DROPS: u16 = 5;
const SYSTEM_DROPS: u16 = 7;

/// An interface of the current section.
struct Interface {
    /// Link type; `None` if it is not supported.
    link: Option<Link>,
    /// Number of the link type.
    number: u32,
    /// Most bytes captured of a packet; 0 for no limit.
    snaplen: u32,
    /// Units of its times in a second.
    per_second: u128,
    /// Offset added to its times, s.
    offset: i64,
}

/// State of a pcapng file, as far as it was read.
#[derive(Default)]
pub(super) struct Sections {
    /// True once the type of the first section header, read to detect the format, was used.
    started: bool,
    order: Order,
    interfaces: Vec<Interface>,
    /// Latest count of dropped packets of each interface of this section, from statistics.
    drops: HashMap<u32, u64>,
    /// Dropped packets of earlier sections, from statistics.
    dropped_before: u64,
    /// Dropped packets, from the options of packets.
    packet_drops: u64,
    /// Number of section headers so far.
    captures: u64,
    passed_over: u64,
    unknown_link: Option<u32>,
    /// Time of the last packet, ns since 1970.
    time: u64,
}

impl Sections {
    /// Number of dropped packets that the file reports. Packets and statistics report the same drops, so the larger
    /// count is taken.
    pub(super) fn dropped(&self) -> u64 {
        let drops = self.drops.values();
        drops
            .fold(self.dropped_before, |sum, drops| sum.saturating_add(*drops))
            .max(self.packet_drops)
    }

    /// Number of sections so far.
    pub(super) fn captures(&self) -> u64 {
        self.captures
    }

    /// Number of packets passed over because their link type is not supported.
    pub(super) fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// Link type of the last packet passed over.
    pub(super) fn unknown_link(&self) -> Option<u32> {
        self.unknown_link
    }

    /// Reads blocks up to the next packet. Returns `None` at the end of the file.
    pub(super) fn next_frame(&mut self, input: &mut Input) -> Result<Option<Frame>, Damage> {
        loop {
            let Some(kind) = self.next_kind(input)? else {
                return Ok(None);
            };
            if kind == u32::from_be_bytes(MAGIC) {
                self.begin_section(input)?;
                continue;
            }
            let length = self.block(kind, input)?;
            let frame = match kind {
                INTERFACE => self.add_interface(input, length)?,
                PACKET => self.packet(input, length, false)?,
                OBSOLETE_PACKET => self.packet(input, length, true)?,
                SIMPLE_PACKET => self.simple_packet(input, length)?,
                STATISTICS => self.statistics(input, length),
                _ => None,
            };
            if frame.is_some() {
                return Ok(frame);
            }
        }
    }

    /// Reads the type of the next block. Returns `None` at the end of the file.
    fn next_kind(&mut self, input: &mut Input) -> Result<Option<u32>, Damage> {
        if !std::mem::replace(&mut self.started, true) {
            return Ok(Some(u32::from_be_bytes(MAGIC)));
        }
        let read = input.fill_or_end(4)?;
        let kind = self.order.u32(&input.buffer, 0);
        Ok(read.and(kind))
    }

    fn begin_section(&mut self, input: &mut Input) -> Result<(), Damage> {
        input.fill_all(8)?;
        let orders = [Order::Big, Order::Little];
        let order = orders
            .into_iter()
            .find(|order| order.u32(&input.buffer, 4) == Some(BYTE_ORDER));
        let length = order.and_then(|order| order.u32(&input.buffer, 0));
        let (Some(order), Some(length @ 28..)) = (order, length) else {
            return Err(Damage::Length {
                what: "a section header",
                length: length.unwrap_or(0).into(),
                offset: input.offset,
            });
        };
        self.order = order;
        self.captures += 1;
        let ended = self.drops.drain().map(|(_, drops)| drops);
        self.dropped_before = ended.fold(self.dropped_before, u64::saturating_add);
        self.interfaces.clear();
        input.skip(u64::from(length) - u64::from(AROUND))
    }

    /// Reads the content of a block and returns its length. Skips the content of other block types and returns 0.
    fn block(&self, kind: u32, input: &mut Input) -> Result<usize, Damage> {
        input.fill_all(4)?;
        let length = self.order.u32(&input.buffer, 0).unwrap_or(0);
        let wrong = Damage::Length {
            what: "a block",
            length: length.into(),
            offset: input.offset,
        };
        if length < AROUND || !length.is_multiple_of(4) {
            return Err(wrong);
        }
        let content = length - AROUND;
        if !matches!(
            kind,
            INTERFACE | PACKET | OBSOLETE_PACKET | SIMPLE_PACKET | STATISTICS
        ) {
            input.skip(u64::from(content) + 4)?;
            return Ok(0);
        }
        if length > LONGEST_BLOCK {
            return Err(wrong);
        }
        input.fill_all(content as usize + 4)?;
        if self.order.u32(&input.buffer, content as usize) != Some(length) {
            return Err(wrong);
        }
        Ok(content as usize)
    }

    fn add_interface(&mut self, input: &Input, length: usize) -> Result<Option<Frame>, Damage> {
        if length < 8 || self.interfaces.len() >= MOST_INTERFACES {
            return Err(Damage::Length {
                what: "an interface description",
                length: length as u64,
                offset: input.offset,
            });
        }
        let block = &input.buffer[..length];
        let number = u32::from(self.order.u16(block, 0).unwrap_or(0));
        let mut interface = Interface {
            link: Link::from_number(number),
            number,
            snaplen: self.order.u32(block, 4).unwrap_or(0),
            per_second: 1_000_000,
            offset: 0,
        };
        for (code, value) in options(self.order, block, 8) {
            match (code, value) {
                (RESOLUTION, [resolution, ..]) => interface.per_second = per_second(*resolution),
                (TIME_OFFSET, value) => {
                    let offset = self.order.u64(value, 0).unwrap_or(0);
                    interface.offset = offset.cast_signed();
                }
                _ => {}
            }
        }
        self.interfaces.push(interface);
        Ok(None)
    }

    /// Parses an enhanced packet block or its obsolete form, which differs in the first word.
    fn packet(
        &mut self,
        input: &Input,
        length: usize,
        obsolete: bool,
    ) -> Result<Option<Frame>, Damage> {
        let block = &input.buffer[..length];
        let field = |at| self.order.u32(block, at).unwrap_or(0);
        let captured = checked(field(12), input.offset)?;
        let end = 20 + captured;
        if end > length {
            return Err(Damage::Length {
                what: "a packet",
                length: captured as u64,
                offset: input.offset,
            });
        }
        let (interface, mut dropped) = if obsolete {
            let half = |at| self.order.u16(block, at).unwrap_or(0);
            (
                u32::from(half(0)),
                Some(u64::from(half(2))).filter(|drops| *drops < 0xffff),
            )
        } else {
            (field(0), None)
        };
        let mut way = None;
        for (code, value) in options(self.order, block, end.next_multiple_of(4)) {
            match code {
                FLAGS => way = self.order.u32(value, 0).and_then(way_from_flags),
                DROP_COUNT if !obsolete => dropped = self.order.u64(value, 0),
                _ => {}
            }
        }
        let time = self.order.high_low(block, 4).unwrap_or(0);
        self.packet_drops = self.packet_drops.saturating_add(dropped.unwrap_or(0));
        let original = field(16);
        let time = self.convert_time(interface, time, input.offset)?;
        Ok(self.link_of(interface).map(|link| Frame {
            time,
            link,
            start: 20,
            captured,
            length: original,
            way,
        }))
    }

    /// Parses a simple packet block. It has no time and gets that of the packet before it.
    fn simple_packet(&mut self, input: &Input, length: usize) -> Result<Option<Frame>, Damage> {
        let original = self.order.u32(&input.buffer[..length], 0).unwrap_or(0);
        let snaplen = match self.interfaces.first() {
            None => {
                return Err(Damage::Interface {
                    interface: 0,
                    offset: input.offset,
                });
            }
            Some(Interface { snaplen: 0, .. }) => u32::MAX,
            Some(interface) => interface.snaplen,
        };
        let room = length.saturating_sub(4);
        let captured = (original.min(snaplen) as usize).min(room);
        Ok(self.link_of(0).map(|link| Frame {
            time: self.time,
            link,
            start: 4,
            captured,
            length: original,
            way: None,
        }))
    }

    /// Converts the time of a packet to ns since 1970.
    fn convert_time(&mut self, interface: u32, units: u64, offset: u64) -> Result<u64, Damage> {
        let known = self.interfaces.get(interface as usize);
        let known = known.ok_or(Damage::Interface { interface, offset })?;
        let added = i128::from(known.offset) * 1_000_000_000;
        let time = i128::from(nanoseconds(units, known.per_second)) + added;
        self.time = u64::try_from(time.max(0)).unwrap_or(u64::MAX);
        Ok(self.time)
    }

    /// Returns the link type of an interface. Counts a packet as passed over if the link type is not supported.
    fn link_of(&mut self, interface: u32) -> Option<Link> {
        let interface = self.interfaces.get(interface as usize)?;
        if interface.link.is_none() {
            self.passed_over += 1;
            self.unknown_link = Some(interface.number);
        }
        interface.link
    }

    /// Takes the drop counts of an interface from a statistics block.
    fn statistics(&mut self, input: &Input, length: usize) -> Option<Frame> {
        let block = &input.buffer[..length];
        let interface = self.order.u32(block, 0)?;
        let drops = options(self.order, block, 12)
            .filter(|(code, _)| matches!(*code, INTERFACE_DROPS | SYSTEM_DROPS))
            .filter_map(|(_, value)| self.order.u64(value, 0))
            .fold(0, u64::saturating_add);
        if (interface as usize) < self.interfaces.len() {
            self.drops.insert(interface, drops);
        }
        None
    }
}

/// Iterates over the options of a block from offset `at`, up to the first malformed one.
fn options(order: Order, block: &[u8], mut at: usize) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (code, length) = (
            order.u16(block, at)?,
            usize::from(order.u16(block, at + 2)?),
        );
        let value = block.get(at + 4..at + 4 + length)?;
        at += 4 + length.next_multiple_of(4);
        (code != 0).then_some((code, value))
    })
}

/// Units in a second for a resolution option: a negative exponent of 10, or of 2 if the high bit is set.
fn per_second(resolution: u8) -> u128 {
    let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
    base.saturating_pow(u32::from(resolution & 0x7f))
}

fn way_from_flags(flags: u32) -> Option<Way> {
    match flags & 3 {
        1 => Some(Way::Received),
        2 => Some(Way::Sent),
        _ => None,
    }
}
