//! Blocks of a pcapng file → frames (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>).

use std::collections::HashMap;

use super::bytes::Order;
use super::{Damage, Frame, Input, LONGEST_PACKET, Link, Way, checked, nanoseconds};

/// The type of the block that a file and each of its sections begins with; the same in both byte orders.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Type and length before a block, its length again behind it.
const AROUND: u32 = 12;
/// The longest block that is read whole: a packet, its fields and options.
const LONGEST_BLOCK: u32 = LONGEST_PACKET + (64 << 10);
/// Interfaces described in one section at most.
const MOST_INTERFACES: usize = 4096;

const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

/// Options: of an interface, of a packet, of statistics.
const RESOLUTION: u16 = 9;
const TIME_OFFSET: u16 = 14;
const FLAGS: u16 = 2;
const DROP_COUNT: u16 = 4;
const INTERFACE_DROPS: u16 = 5;
const SYSTEM_DROPS: u16 = 7;

struct Interface {
    link: Option<Link>,
    number: u32,
    snaplen: u32,
    per_second: u128,
    /// Added to its times, s.
    offset: i64,
}

/// A pcapng file's form, as far as it was read.
#[derive(Default)]
pub(super) struct Sections {
    /// The first block's type has been read, to tell the format.
    begun: bool,
    order: Order,
    interfaces: Vec<Interface>,
    /// The latest counts of dropped packets of this section, by interface,
    drops: HashMap<u32, u64>,
    /// and of those before it.
    dropped_before: u64,
    /// Drops that packets tell of.
    told: u64,
    passed_over: u64,
    unknown_link: Option<u32>,
    time: u64,
}

impl Sections {
    /// Packets dropped, as the file says: packets and statistics tell of the same.
    pub(super) fn dropped(&self) -> u64 {
        let drops = self.drops.values();
        drops
            .fold(self.dropped_before, |sum, drops| sum.saturating_add(*drops))
            .max(self.told)
    }

    /// Packets of link types that are not understood.
    pub(super) fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// One of those link types.
    pub(super) fn unknown_link(&self) -> Option<u32> {
        self.unknown_link
    }

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

    /// The next block's type.
    fn next_kind(&mut self, input: &mut Input) -> Result<Option<u32>, Damage> {
        if !std::mem::replace(&mut self.begun, true) {
            return Ok(Some(u32::from_be_bytes(MAGIC)));
        }
        let read = input.fill_or_end(4)?;
        let kind = self.order.u32(&input.room, 0);
        Ok(read.and(kind))
    }

    fn begin_section(&mut self, input: &mut Input) -> Result<(), Damage> {
        input.fill_all(8)?;
        let orders = [Order::Big, Order::Little];
        let order = orders
            .into_iter()
            .find(|order| order.u32(&input.room, 4) == Some(BYTE_ORDER));
        let length = order.and_then(|order| order.u32(&input.room, 0));
        let (Some(order), Some(length @ 28..)) = (order, length) else {
            return Err(Damage::Length {
                what: "a section header",
                length: length.unwrap_or(0).into(),
                offset: input.offset,
            });
        };
        self.order = order;
        let ended = self.drops.drain().map(|(_, drops)| drops);
        self.dropped_before = ended.fold(self.dropped_before, u64::saturating_add);
        self.interfaces.clear();
        input.pass(u64::from(length) - u64::from(AROUND))
    }

    /// Reads a block's content, or passes over one of no interest; returns the length of what was read.
    fn block(&self, kind: u32, input: &mut Input) -> Result<usize, Damage> {
        input.fill_all(4)?;
        let length = self.order.u32(&input.room, 0).unwrap_or(0);
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
            input.pass(u64::from(content) + 4)?;
            return Ok(0);
        }
        if length > LONGEST_BLOCK {
            return Err(wrong);
        }
        input.fill_all(content as usize + 4)?;
        if self.order.u32(&input.room, content as usize) != Some(length) {
            return Err(wrong);
        }
        Ok(content as usize)
    }

    fn add_interface(&mut self, input: &Input, length: usize) -> Result<Option<Frame>, Damage> {
        if length < 8 || self.interfaces.len() >= MOST_INTERFACES {
            return Err(Damage::Length {
                what: "an interface's description",
                length: length as u64,
                offset: input.offset,
            });
        }
        let block = &input.room[..length];
        let number = u32::from(self.order.u16(block, 0).unwrap_or(0));
        let mut interface = Interface {
            link: Link::of_number(number),
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

    /// An enhanced packet block, or its obsolete form, which differs in the first word.
    fn packet(
        &mut self,
        input: &Input,
        length: usize,
        obsolete: bool,
    ) -> Result<Option<Frame>, Damage> {
        let block = &input.room[..length];
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
                FLAGS => way = self.order.u32(value, 0).and_then(way_of),
                DROP_COUNT if !obsolete => dropped = self.order.u64(value, 0),
                _ => {}
            }
        }
        let time = self.order.halves(block, 4).unwrap_or(0);
        self.told = self.told.saturating_add(dropped.unwrap_or(0));
        let original = field(16);
        let time = self.place(interface, time, input.offset)?;
        Ok(self.frame(interface, time, captured, original, way, 20))
    }

    /// A packet without a time: it is given the last one's.
    fn simple_packet(&mut self, input: &Input, length: usize) -> Result<Option<Frame>, Damage> {
        let original = self.order.u32(&input.room[..length], 0).unwrap_or(0);
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
        Ok(self.frame(0, self.time, captured, original, None, 4))
    }

    /// A packet's time in ns since 1970.
    fn place(&mut self, interface: u32, units: u64, offset: u64) -> Result<u64, Damage> {
        let known = self.interfaces.get(interface as usize);
        let known = known.ok_or(Damage::Interface { interface, offset })?;
        let added = i128::from(known.offset) * 1_000_000_000;
        let time = i128::from(nanoseconds(units, known.per_second)) + added;
        self.time = u64::try_from(time.max(0)).unwrap_or(u64::MAX);
        Ok(self.time)
    }

    fn frame(
        &mut self,
        interface: u32,
        time: u64,
        captured: usize,
        length: u32,
        way: Option<Way>,
        start: usize,
    ) -> Option<Frame> {
        let interface = self.interfaces.get(interface as usize)?;
        let Some(link) = interface.link else {
            self.passed_over += 1;
            self.unknown_link = Some(interface.number);
            return None;
        };
        Some(Frame {
            time,
            link,
            start,
            captured,
            length,
            way,
        })
    }

    fn statistics(&mut self, input: &Input, length: usize) -> Option<Frame> {
        let block = &input.room[..length];
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

/// The options of a block from `at` on; what cannot be one ends them.
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

/// Units a second of a resolution option: a negative power of 10, or with the high bit of 2.
fn per_second(resolution: u8) -> u128 {
    let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
    base.saturating_pow(u32::from(resolution & 0x7f))
}

fn way_of(flags: u32) -> Option<Way> {
    match flags & 3 {
        1 => Some(Way::Received),
        2 => Some(Way::Sent),
        _ => None,
    }
}
