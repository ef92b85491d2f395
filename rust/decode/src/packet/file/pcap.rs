//! Records of a pcap file → frames (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html>).

use super::byte_order::Order;
use super::{Damage, Frame, Input, Link, checked, nanoseconds};

/// Bytes of the file header after the magic number.
pub(super) const HEADER_REST: usize = 20;
/// Bits of the file header's last word that hold the link type.
pub(super) const LINK_BITS: u32 = 0x03ff_ffff;
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Bytes of a record header.
const RECORD: usize = 16;

/// Byte order, time resolution and link type of a pcap file.
pub(super) struct Classic {
    order: Order,
    /// Units of a record's fraction in a second.
    per_second: u32,
    link: Link,
}

/// Returns the byte order that a magic number shows; the flag is true if times are in ns, false if in µs.
pub(super) fn parse_magic(magic: [u8; 4]) -> Option<(Order, bool)> {
    [Order::Big, Order::Little]
        .into_iter()
        .find_map(|order| match order.u32(&magic, 0)? {
            MICROSECONDS => Some((order, false)),
            NANOSECONDS => Some((order, true)),
            _ => None,
        })
}

impl Classic {
    pub(super) fn new(order: Order, nanoseconds: bool, link: Link) -> Self {
        Self {
            order,
            per_second: if nanoseconds {
                1_000_000_000
            } else {
                1_000_000
            },
            link,
        }
    }

    pub(super) fn next_frame(&mut self, input: &mut Input) -> Result<Option<Frame>, Damage> {
        if input.fill_or_end(RECORD)?.is_none() {
            return Ok(None);
        }
        let field = |at| self.order.u32(&input.buffer, at).unwrap_or(0);
        let (seconds, fraction, captured, length) = (field(0), field(4), field(8), field(12));
        let captured = checked(captured, input.offset)?;
        input.fill_all(captured)?;
        let fraction = nanoseconds(fraction.into(), self.per_second.into());
        Ok(Some(Frame {
            time: u64::from(seconds) * 1_000_000_000 + fraction,
            link: self.link,
            start: 0,
            captured,
            length,
            way: None,
        }))
    }
}
