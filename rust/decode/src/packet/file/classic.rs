//! Records of a pcap file → frames (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html>).

use super::bytes::Order;
use super::{Damage, Frame, Input, Link, checked, nanoseconds};

/// Bytes of the file's header behind its magic number.
pub(super) const HEADER_REST: usize = 20;
/// Bits of the header's last word that name the link type.
pub(super) const LINK_BITS: u32 = 0x03ff_ffff;
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const RECORD: usize = 16;

/// A pcap file's form.
pub(super) struct Classic {
    order: Order,
    per_second: u32,
    link: Link,
}

/// The byte order and whether times are in ns.
pub(super) fn by_magic(magic: [u8; 4]) -> Option<(Order, bool)> {
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
        let field = |at| self.order.u32(&input.room, at).unwrap_or(0);
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
