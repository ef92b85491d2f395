//! A packet's link-layer header → direction, `EtherType` and the bytes from the network header on.

use etherparse::EtherType;

use super::Way;

/// Link type: the kind of a packet's first header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// Ethernet, with or without VLAN tags.
    Ethernet,
    /// No link-layer header: the packet starts with IPv4 or IPv6.
    Raw,
    /// BSD loopback: address family, 4 bytes in the byte order of the capturing machine.
    Null,
    /// OpenBSD loopback: address family, 4 bytes in network byte order.
    Loop,
    /// Linux cooked capture (device `any`).
    Cooked,
    /// Linux cooked capture, version 2.
    Cooked2,
}

/// Packet type of outgoing packets in both cooked headers (`PACKET_OUTGOING`).
const CAPTURED_OUTGOING: u8 = 4;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// `AF_INET` in loopback headers, on every system.
const FAMILY_IPV4: u32 = 2;
/// `AF_INET6` in loopback headers: its values on Linux, the BSDs and macOS.
const FAMILIES_IPV6: [u32; 4] = [10, 24, 28, 30];

impl Link {
    /// Returns the link type of a number in capture files (<https://www.tcpdump.org/linktypes.html>).
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Null,
            1 => Self::Ethernet,
            // libpcap calls raw IP on a live interface 12 or 14.
            12 | 14 | 101 | 228 | 229 => Self::Raw,
            108 => Self::Loop,
            113 => Self::Cooked,
            276 => Self::Cooked2,
            _ => return None,
        })
    }

    /// Splits the header off: returns the direction, if the header has it, the `EtherType` and the rest. Returns `None`
    /// if the header is cut off or has a family that is not IP.
    pub(super) fn split(self, bytes: &[u8]) -> Option<(Option<Way>, EtherType, &[u8])> {
        match self {
            Self::Ethernet => Some((None, EtherType(number(bytes, 12)?), bytes.get(14..)?)),
            Self::Raw => Some((None, by_version(bytes)?, bytes)),
            Self::Null | Self::Loop => {
                let family = bytes.first_chunk()?;
                Some((None, by_family(*family)?, bytes.get(4..)?))
            }
            Self::Cooked => {
                let outgoing = *bytes.get(1)? == CAPTURED_OUTGOING;
                Some((
                    way(outgoing),
                    EtherType(number(bytes, 14)?),
                    bytes.get(16..)?,
                ))
            }
            Self::Cooked2 => {
                let outgoing = *bytes.get(10)? == CAPTURED_OUTGOING;
                Some((
                    way(outgoing),
                    EtherType(number(bytes, 0)?),
                    bytes.get(20..)?,
                ))
            }
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as `Packet` holds it")]
fn way(outgoing: bool) -> Option<Way> {
    Some(if outgoing { Way::Sent } else { Way::Received })
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u16::from_be_bytes)
}

fn by_version(bytes: &[u8]) -> Option<EtherType> {
    match bytes.first()? >> 4 {
        4 => Some(EtherType(IPV4)),
        6 => Some(EtherType(IPV6)),
        _ => None,
    }
}

/// `EtherType` of an address family in either byte order. Families are small numbers, so the smaller reading is meant.
fn by_family(bytes: [u8; 4]) -> Option<EtherType> {
    let family = u32::from_be_bytes(bytes).min(u32::from_le_bytes(bytes));
    if family == FAMILY_IPV4 {
        Some(EtherType(IPV4))
    } else if FAMILIES_IPV6.contains(&family) {
        Some(EtherType(IPV6))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_header_is_found_after_each_link_header() {
        let ip = [0x45_u8, 0, 0, 20];
        let cooked = |kind: u8| {
            [
                &[0, kind, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0][..],
                &ip,
            ]
            .concat()
        };
        let cooked2 = [
            &[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 4, 6, 1, 2, 3, 4, 5, 6, 0, 0][..],
            &ip,
        ]
        .concat();
        for (link, bytes, expected) in [
            (1, [&[0; 12][..], &[8, 0], &ip].concat(), None),
            (101, ip.to_vec(), None),
            (0, [&[2, 0, 0, 0][..], &ip].concat(), None),
            (108, [&[0, 0, 0, 2][..], &ip].concat(), None),
            (113, cooked(4), Some(Way::Sent)),
            (113, cooked(0), Some(Way::Received)),
            (276, cooked2, Some(Way::Sent)),
        ] {
            let link = Link::from_number(link).unwrap();
            assert_eq!(
                link.split(&bytes),
                Some((expected, EtherType(IPV4), &ip[..])),
                "{link:?}"
            );
            for cut in 0..bytes.len() - ip.len() {
                assert_eq!(link.split(&bytes[..cut]), None, "{link:?} {cut}");
            }
        }
    }

    #[test]
    fn families_and_versions_that_are_not_ip_are_refused() {
        assert_eq!(Link::from_number(105), None);
        assert_eq!(Link::Raw.split(&[0x50]), None);
        assert_eq!(Link::Null.split(&[7, 0, 0, 0, 0x45]), None);
        assert_eq!(
            Link::Null.split(&[30, 0, 0, 0, 0x60]).unwrap().1,
            EtherType(IPV6)
        );
    }
}
