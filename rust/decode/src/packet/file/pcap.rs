//! Records of a pcap file → frames (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html>).

use super::byte_order::Order;
use super::{Damage, Frame, Input, Link, checked, nanoseconds};

/// Bytes of the file header after the magic number.
pub(super) const HEADER_REST: usize = 20;
/// Bits of the file header's last word that hold the link type.
const LINK_BITS: u32 = 0x03ff_ffff;
/// Version of the format, in the two first halves of the rest of a file header.
const VERSION: (u16, u16) = (2, 4);
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Magic number of files that a patched libpcap wrote: each record header is longer.
const MODIFIED: u32 = 0xa1b2_cd34;
/// Bytes of a record header.
const RECORD: usize = 16;
/// Bytes by which a record header of [`MODIFIED`] files is longer: interface, protocol, packet type.
const MODIFIED_REST: usize = 8;

/// The facts that a magic number tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Magic {
    order: Order,
    /// Units of a record's fraction in a second.
    per_second: u32,
    /// Bytes of a record header after the usual ones.
    record_rest: usize,
}

/// Header of a pcap file.
pub(super) struct Classic {
    magic: Magic,
    link: Link,
    /// Number of file headers so far.
    captures: u64,
}

/// Parses a magic number.
pub(super) fn parse_magic(magic: [u8; 4]) -> Option<Magic> {
    [Order::Big, Order::Little].into_iter().find_map(|order| {
        let (per_second, record_rest) = match order.u32(&magic, 0)? {
            MICROSECONDS => (1_000_000, 0),
            NANOSECONDS => (1_000_000_000, 0),
            MODIFIED => (1_000_000, MODIFIED_REST),
            _ => return None,
        };
        Some(Magic {
            order,
            per_second,
            record_rest,
        })
    })
}

impl Classic {
    /// Parses the rest of a file header. Returns the number of the link type if that is not supported.
    pub(super) fn new(magic: Magic, rest: &[u8]) -> Result<Self, u32> {
        let number = magic.order.u32(rest, 16).unwrap_or(0) & LINK_BITS;
        Ok(Self {
            magic,
            link: Link::from_number(number).ok_or(number)?,
            captures: 1,
        })
    }

    /// Number of captures joined so far.
    pub(super) fn captures(&self) -> u64 {
        self.captures
    }

    pub(super) fn next_frame(&mut self, input: &mut Input) -> Result<Option<Frame>, Damage> {
        loop {
            if input.fill_or_end(RECORD)?.is_none() {
                return Ok(None);
            }
            let Some(magic) = joined(&input.buffer) else {
                break;
            };
            self.begin_again(magic, input)?;
        }
        let Magic {
            order,
            per_second,
            record_rest,
        } = self.magic;
        let field = |at| order.u32(&input.buffer, at).unwrap_or(0);
        let (seconds, fraction, captured, length) = (field(0), field(4), field(8), field(12));
        let captured = checked(captured, input.offset)?;
        input.fill_all(record_rest + captured)?;
        let fraction = nanoseconds(fraction.into(), per_second.into());
        Ok(Some(Frame {
            time: u64::from(seconds) * 1_000_000_000 + fraction,
            link: self.link,
            start: record_rest,
            captured,
            length,
            way: None,
        }))
    }

    /// Takes the header of a file that was joined to the one before.
    fn begin_again(&mut self, magic: Magic, input: &mut Input) -> Result<(), Damage> {
        let mut header = input.buffer.split_off(4);
        input.offset += RECORD as u64;
        input.buffer.clear();
        input.fill_all(HEADER_REST + 4 - RECORD)?;
        header.extend_from_slice(&input.buffer);
        let captures = self.captures + 1;
        *self = Self::new(magic, &header).map_err(|number| Damage::Link { number })?;
        self.captures = captures;
        Ok(())
    }
}

/// Returns the magic number of a file header where a record's is expected. A record of that time would be as long as
/// the version and the zone say, and is none.
fn joined(record: &[u8]) -> Option<Magic> {
    let magic = parse_magic(*record.first_chunk()?)?;
    let version = (magic.order.u16(record, 4)?, magic.order.u16(record, 6)?);
    (version == VERSION).then_some(magic)
}
