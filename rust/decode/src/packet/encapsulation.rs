//! Bytes behind a header → the next header: the tags, labels and tunnels in which networks and mirrors wrap packets.

use etherparse::{EtherType, IpNumber};

use super::Link;

/// Most tags, labels and tunnels around a packet.
pub(super) const MOST_LAYERS: usize = 32;

const IPV4: EtherType = EtherType(0x0800);
const IPV6: EtherType = EtherType(0x86dd);
/// VLAN tags: 802.1Q, 802.1ad, and two that switches used before it.
const TAGS: [EtherType; 4] = [
    EtherType(0x8100),
    EtherType(0x88a8),
    EtherType(0x9100),
    EtherType(0x9200),
];
const MPLS: [EtherType; 2] = [EtherType(0x8847), EtherType(0x8848)];
/// Transparent Ethernet bridging: an Ethernet frame.
const BRIDGED: EtherType = EtherType(0x6558);
/// ERSPAN, types I and II.
const ERSPAN: EtherType = EtherType(0x88be);
/// ERSPAN, type III.
const ERSPAN_3: EtherType = EtherType(0x22eb);

/// UDP ports of VXLAN: the registered one, and the one that Linux used before.
const VXLAN_PORTS: [u16; 2] = [4789, 8472];
/// UDP port of VXLAN with a field for the protocol inside (GPE).
const VXLAN_GPE_PORT: u16 = 4790;
const GENEVE_PORT: u16 = 6081;
/// UDP port of MPLS over UDP.
const MPLS_PORT: u16 = 6635;
/// Flag in VXLAN's first byte: the network identifier is valid.
const VXLAN_IS_VALID: u8 = 0x08;

// Flags of a GRE header.
const GRE_CHECKSUM: u16 = 0x8000;
const GRE_ROUTING: u16 = 0x4000;
const GRE_KEY: u16 = 0x2000;
const GRE_SEQUENCE: u16 = 0x1000;
const GRE_VERSION: u16 = 0x0007;

/// A way in which a packet is carried inside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encapsulation {
    /// Labels (RFC 3032).
    Mpls,
    /// An IP packet in an IP packet (RFC 2003, RFC 2473).
    IpInIp,
    /// Generic routing encapsulation (RFC 2784), also of Ethernet frames.
    Gre,
    /// Encapsulated remote SPAN, types I to III, inside GRE.
    Erspan,
    /// Virtual extensible LAN (RFC 7348).
    Vxlan,
    /// Generic network virtualization (RFC 8926).
    Geneve,
}

impl Encapsulation {
    /// The name that people use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mpls => "MPLS",
            Self::IpInIp => "IP-in-IP",
            Self::Gre => "GRE",
            Self::Erspan => "ERSPAN",
            Self::Vxlan => "VXLAN",
            Self::Geneve => "GENEVE",
        }
    }
}

/// The next header: its kind, and the bytes from it on.
pub(super) type Inner<'a> = (EtherType, &'a [u8]);

/// Result of looking behind one header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind<'a> {
    /// Another header, and the encapsulation that was removed; `None` for a VLAN tag.
    Header(Option<Encapsulation>, Inner<'a>),
    /// Nothing that this module removes.
    Nothing,
    /// Too few bytes for the header.
    Cut,
}

/// Removes the tag, the labels or the frame header that `kind` says `bytes` start with.
pub(super) fn behind_link(kind: EtherType, bytes: &[u8]) -> Behind<'_> {
    if TAGS.contains(&kind) {
        return found(None, number(bytes, 2).zip(bytes.get(4..)));
    }
    if MPLS.contains(&kind) {
        return found_inner(Encapsulation::Mpls, labelled(bytes));
    }
    if kind == BRIDGED {
        return found_ethernet(None, bytes);
    }
    Behind::Nothing
}

/// Removes the tunnel header that follows an IP header with this protocol number.
pub(super) fn behind_ip(protocol: IpNumber, bytes: &[u8]) -> Behind<'_> {
    match protocol {
        IpNumber::IPV4 => found_inner(Encapsulation::IpInIp, Some((IPV4, bytes))),
        IpNumber::IPV6 => found_inner(Encapsulation::IpInIp, Some((IPV6, bytes))),
        IpNumber::MPLS_IN_IP => found_inner(Encapsulation::Mpls, labelled(bytes)),
        IpNumber::ETHER_IP => bytes.get(2..).map_or(Behind::Cut, |frame| {
            found_ethernet(Some(Encapsulation::IpInIp), frame)
        }),
        IpNumber::GRE => gre(bytes),
        _ => Behind::Nothing,
    }
}

/// Removes the tunnel header at the start of a datagram's payload, if its port or its content says that there is one.
pub(super) fn behind_udp(destination: u16, payload: &[u8]) -> Behind<'_> {
    match destination {
        GENEVE_PORT => geneve(payload),
        MPLS_PORT => found_inner(Encapsulation::Mpls, labelled(payload)),
        VXLAN_GPE_PORT => vxlan_gpe(payload),
        _ if VXLAN_PORTS.contains(&destination) => vxlan(payload),
        _ if is_surely_vxlan(payload) => vxlan(payload),
        _ => Behind::Nothing,
    }
}

fn found(removed: Option<Encapsulation>, inner: Option<(u16, &[u8])>) -> Behind<'_> {
    inner.map_or(Behind::Cut, |(kind, bytes)| {
        Behind::Header(removed, (EtherType(kind), bytes))
    })
}

fn found_inner(removed: Encapsulation, inner: Option<Inner<'_>>) -> Behind<'_> {
    inner.map_or(Behind::Cut, |inner| Behind::Header(Some(removed), inner))
}

fn found_ethernet(removed: Option<Encapsulation>, frame: &[u8]) -> Behind<'_> {
    Link::Ethernet
        .split(frame)
        .map_or(Behind::Cut, |(_, kind, bytes)| {
            Behind::Header(removed, (kind, bytes))
        })
}

/// Removes a stack of labels. What follows it is not named: an IP packet tells itself, anything else is the Ethernet
/// frame of a pseudowire. A control word before the frame starts with 0, as an address may.
fn labelled(mut bytes: &[u8]) -> Option<Inner<'_>> {
    for _ in 0..MOST_LAYERS {
        let is_last = bytes.get(2)? & 1 != 0;
        bytes = bytes.get(4..)?;
        if is_last {
            return match bytes.first()? >> 4 {
                4 => Some((IPV4, bytes)),
                6 => Some((IPV6, bytes)),
                0 if !holds_ip(bytes) => Some((BRIDGED, bytes.get(4..)?)),
                _ => Some((BRIDGED, bytes)),
            };
        }
    }
    None
}

/// Removes a GRE header of version 0 (RFC 2784, RFC 2890), and the ERSPAN header behind it.
fn gre(bytes: &[u8]) -> Behind<'_> {
    let Some((flags, kind)) = number(bytes, 0).zip(number(bytes, 2)) else {
        return Behind::Cut;
    };
    if flags & (GRE_VERSION | GRE_ROUTING) != 0 {
        return Behind::Nothing;
    }
    let fields = [GRE_CHECKSUM, GRE_KEY, GRE_SEQUENCE];
    let present = fields.iter().filter(|field| flags & **field != 0).count();
    let Some(rest) = bytes.get(4 + 4 * present..) else {
        return Behind::Cut;
    };
    match EtherType(kind) {
        // Type I has no header; a sequence number tells it from type II.
        ERSPAN if flags & GRE_SEQUENCE == 0 => found_ethernet(Some(Encapsulation::Erspan), rest),
        ERSPAN => rest.get(8..).map_or(Behind::Cut, |frame| {
            found_ethernet(Some(Encapsulation::Erspan), frame)
        }),
        ERSPAN_3 => erspan_3(rest),
        kind => Behind::Header(Some(Encapsulation::Gre), (kind, rest)),
    }
}

/// Removes an ERSPAN header of type III. Its last word tells the kind of frame, and if 8 more bytes follow.
fn erspan_3(bytes: &[u8]) -> Behind<'_> {
    const MORE: u16 = 1;
    let Some(word) = number(bytes, 10) else {
        return Behind::Cut;
    };
    let length = if word & MORE == 0 { 12 } else { 20 };
    let Some(frame) = bytes.get(length..) else {
        return Behind::Cut;
    };
    match word >> 10 & 0x1f {
        0 => found_ethernet(Some(Encapsulation::Erspan), frame),
        2 => found_inner(Encapsulation::Erspan, ip(frame)),
        _ => Behind::Nothing,
    }
}

fn vxlan(payload: &[u8]) -> Behind<'_> {
    match (payload.first(), payload.get(8..)) {
        (Some(flags), Some(frame)) if flags & VXLAN_IS_VALID != 0 => {
            found_ethernet(Some(Encapsulation::Vxlan), frame)
        }
        (Some(_), Some(_)) => Behind::Nothing,
        _ => Behind::Cut,
    }
}

fn vxlan_gpe(payload: &[u8]) -> Behind<'_> {
    let Some(rest) = payload.get(8..) else {
        return Behind::Cut;
    };
    match payload.get(3) {
        Some(1) => found_inner(Encapsulation::Vxlan, Some((IPV4, rest))),
        Some(2) => found_inner(Encapsulation::Vxlan, Some((IPV6, rest))),
        Some(3) => found_ethernet(Some(Encapsulation::Vxlan), rest),
        _ => Behind::Nothing,
    }
}

/// True for a VXLAN header with an IP packet in an Ethernet frame behind it, whatever the port: mirrors may be told to
/// use another one.
fn is_surely_vxlan(payload: &[u8]) -> bool {
    matches!(payload, [VXLAN_IS_VALID, 0, 0, 0, _, _, _, 0, ..])
        && payload.get(8..).is_some_and(holds_ip)
}

/// True for an Ethernet frame that holds an IP packet, a VLAN tag or labels.
fn holds_ip(frame: &[u8]) -> bool {
    Link::Ethernet.split(frame).is_some_and(|(_, kind, bytes)| {
        let version = bytes.first().map_or(0, |byte| byte >> 4);
        let is_ip = matches!((kind, version), (IPV4, 4) | (IPV6, 6));
        is_ip || TAGS.contains(&kind) || MPLS.contains(&kind)
    })
}

fn geneve(payload: &[u8]) -> Behind<'_> {
    let Some((first, kind)) = payload.first().zip(number(payload, 2)) else {
        return Behind::Cut;
    };
    if first >> 6 != 0 {
        return Behind::Nothing;
    }
    let options = usize::from(first & 0x3f) * 4;
    found(
        Some(Encapsulation::Geneve),
        payload.get(8 + options..).map(|rest| (kind, rest)),
    )
}

/// An IP packet, by its version.
fn ip(bytes: &[u8]) -> Option<Inner<'_>> {
    match bytes.first()? >> 4 {
        6 => Some((IPV6, bytes)),
        _ => Some((IPV4, bytes)),
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let number = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*number))
}
