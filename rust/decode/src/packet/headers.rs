//! A packet → the TCP segment or the UDP datagram that it carries, or its kind if it carries none.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, IpNumber, Ipv6ExtensionSlice, LaxNetSlice, LaxSlicedPacket, TcpSlice, UdpSlice,
};

use super::encapsulation::{self, Behind, Encapsulation, Inner, MOST_LAYERS};
use super::{Packet, Way};

/// Longest payload taken for one, bytes: more than the largest packet that GRO builds.
const LONGEST_PAYLOAD: u32 = 1 << 20;
const IPV4: EtherType = EtherType(0x0800);
const IPV6: EtherType = EtherType(0x86dd);
/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;

/// A packet without the tags, labels and tunnels around it.
#[derive(Clone, Copy, Debug)]
pub struct Parsed<'a> {
    /// Kind of the packet inside.
    pub seen: Seen<'a>,
    /// Encapsulation that was removed last; `None` if there was none.
    pub inside: Option<Encapsulation>,
}

/// Kind of a packet.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// A TCP segment.
    Tcp(Tcp<'a>),
    /// A UDP datagram.
    Udp(Udp<'a>),
    /// A fragment of an IP packet.
    Fragment {
        /// Source and destination port; only the first fragment has them.
        ports: Option<(u16, u16)>,
    },
    /// A packet with too few captured bytes or contradictory headers.
    Unreadable {
        /// Source and destination port, if that much can be read.
        ports: Option<(u16, u16)>,
    },
    /// Any other packet.
    Other,
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    /// Time of passage, ns.
    pub time: u64,
    /// Direction through the interface, if known.
    pub way: Option<Way>,
    /// Address of the sender.
    pub source: SocketAddr,
    /// Address of the receiver.
    pub destination: SocketAddr,
    /// Sequence number of the first byte, or of SYN.
    pub sequence: u32,
    /// Sequence number that the sender expects next, if ACK is set.
    pub acknowledgement: Option<u32>,
    /// SYN: starts a connection.
    pub syn: bool,
    /// FIN: ends the sender's direction.
    pub fin: bool,
    /// RST: ends the connection.
    pub rst: bool,
    /// Captured payload.
    pub payload: &'a [u8],
    /// Original length of the payload, bytes.
    pub length: u32,
    /// Hash of IPv4 identification and TCP options. A packet captured twice keeps it, a retransmission mostly does not.
    pub identity: u64,
}

/// A UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct Udp<'a> {
    /// Time of passage, ns.
    pub time: u64,
    /// Address of the sender.
    pub source: SocketAddr,
    /// Address of the receiver.
    pub destination: SocketAddr,
    /// Captured payload.
    pub payload: &'a [u8],
    /// Original length of the payload, bytes.
    pub length: u32,
    /// IPv4 identification; 0 for IPv6.
    pub identification: u16,
}

/// Parses the headers of a packet, up to the innermost that can be read.
pub fn parse<'a>(packet: &Packet<'a>) -> Parsed<'a> {
    let Some((way, mut kind, mut bytes)) = packet.link.split(packet.bytes) else {
        return Parsed {
            seen: Seen::Other,
            inside: None,
        };
    };
    let packet = Packet {
        way: way.or(packet.way),
        ..*packet
    };
    let (mut inside, mut datagram) = (None, None);
    for _ in 0..MOST_LAYERS {
        let layer = match encapsulation::behind_link(kind, bytes) {
            Behind::Nothing if kind == IPV4 || kind == IPV6 => ip(&packet, kind, bytes),
            Behind::Nothing => Layer::Last(Seen::Other),
            behind => Layer::of(behind, Seen::Other),
        };
        match layer {
            // A port alone does not make a tunnel: clients may have the same.
            Layer::Last(Seen::Other) if datagram.is_some() => {
                return Parsed {
                    seen: datagram.unwrap_or(Seen::Other),
                    inside: None,
                };
            }
            Layer::Last(seen) => return Parsed { seen, inside },
            Layer::More(removed, inner) => {
                inside = removed.or(inside);
                (kind, bytes) = inner;
            }
            Layer::Tunnel(udp, removed, inner) => {
                datagram = Some(Seen::Udp(udp));
                inside = removed.or(inside);
                (kind, bytes) = inner;
            }
        }
    }
    Parsed {
        seen: Seen::Unreadable { ports: None },
        inside,
    }
}

/// One header's content.
enum Layer<'a> {
    /// Another header, and the encapsulation that was removed.
    More(Option<Encapsulation>, Inner<'a>),
    /// Another header in the payload of a datagram, which may as well be no tunnel.
    Tunnel(Udp<'a>, Option<Encapsulation>, Inner<'a>),
    /// The packet inside.
    Last(Seen<'a>),
}

impl<'a> Layer<'a> {
    /// Takes what lies behind a header, or `seen` if nothing is removed there.
    fn of(behind: Behind<'a>, seen: Seen<'a>) -> Self {
        match behind {
            Behind::Header(removed, inner) => Self::More(removed, inner),
            Behind::Cut => Self::Last(Seen::Unreadable { ports: None }),
            Behind::Nothing => Self::Last(seen),
        }
    }
}

/// Parses an IP packet.
fn ip<'a>(packet: &Packet<'a>, kind: EtherType, bytes: &'a [u8]) -> Layer<'a> {
    let sliced = LaxSlicedPacket::from_ether_type(kind, bytes);
    let Some(net) = &sliced.net else {
        return Layer::Last(Seen::Unreadable { ports: None });
    };
    let Some(ip) = Ip::from_net(net) else {
        return Layer::Last(Seen::Other);
    };
    let Some(payload) = net.ip_payload_ref() else {
        return Layer::Last(Seen::Other);
    };
    let inner = payload.payload;
    if payload.fragmented {
        return fragment(payload.ip_number, is_first(net), inner);
    }
    let uncaptured = ip.uncaptured(packet);
    match payload.ip_number {
        IpNumber::TCP => Layer::Last(tcp(packet, &ip, inner, uncaptured)),
        IpNumber::UDP => udp(packet, &ip, inner),
        protocol => Layer::of(encapsulation::behind_ip(protocol, inner), Seen::Other),
    }
}

/// Parses a fragment. The first fragment of a tunnel holds a packet that is cut at its end, as by a snaplen.
fn fragment(protocol: IpNumber, is_first: bool, bytes: &[u8]) -> Layer<'_> {
    let ports = match protocol {
        IpNumber::TCP | IpNumber::UDP if is_first => ports(bytes),
        _ => None,
    };
    let seen = Seen::Fragment { ports };
    let behind = match (is_first, protocol, ports) {
        (true, IpNumber::UDP, Some((_, destination))) => {
            bytes.get(UDP_HEADER..).map_or(Behind::Nothing, |payload| {
                encapsulation::behind_udp(destination, payload)
            })
        }
        (true, IpNumber::TCP | IpNumber::UDP, _) | (false, ..) => Behind::Nothing,
        (true, protocol, _) => encapsulation::behind_ip(protocol, bytes),
    };
    Layer::of(behind, seen)
}

/// Fields of a network header.
struct Ip<'a> {
    source: IpAddr,
    destination: IpAddr,
    /// Bytes of the header within the packet.
    header: &'a [u8],
    /// Length of header and payload from the header, bytes; 0 if it has none.
    length: u64,
    /// IPv4 identification; 0 for IPv6.
    identification: u16,
}

impl<'a> Ip<'a> {
    fn from_net(net: &'a LaxNetSlice<'_>) -> Option<Self> {
        match net {
            LaxNetSlice::Ipv4(ip) => {
                let header = ip.header();
                Some(Self {
                    source: header.source_addr().into(),
                    destination: header.destination_addr().into(),
                    header: header.slice(),
                    length: header.total_len().into(),
                    identification: header.identification(),
                })
            }
            LaxNetSlice::Ipv6(ip) => {
                let header = ip.header();
                let payload = u64::from(header.payload_length());
                let slice = header.slice();
                Some(Self {
                    source: header.source_addr().into(),
                    destination: header.destination_addr().into(),
                    header: slice,
                    length: if payload == 0 {
                        0
                    } else {
                        payload + slice.len() as u64
                    },
                    identification: 0,
                })
            }
            LaxNetSlice::Arp(_) => None,
        }
    }

    /// Number of bytes of the IP packet that were not captured. A length of 0 marks a super-packet (GRO, TSO) too long
    /// for the length field; it extends to the end of `packet`.
    fn uncaptured(&self, packet: &Packet<'_>) -> u64 {
        let before = offset(packet.bytes, self.header) as u64;
        let captured = (packet.bytes.len() as u64).saturating_sub(before);
        let whole = if self.length == 0 {
            u64::from(packet.length).saturating_sub(before)
        } else {
            self.length
        };
        whole.saturating_sub(captured)
    }
}

/// Offset of `inner` within `outer`, which contains it.
fn offset(outer: &[u8], inner: &[u8]) -> usize {
    (inner.as_ptr() as usize).saturating_sub(outer.as_ptr() as usize)
}

fn tcp<'a>(packet: &Packet<'a>, ip: &Ip<'_>, payload: &'a [u8], uncaptured: u64) -> Seen<'a> {
    let unreadable = Seen::Unreadable {
        ports: ports(payload),
    };
    let Ok(tcp) = TcpSlice::from_slice(payload) else {
        return unreadable;
    };
    let payload = payload.get(tcp.header_slice().len()..).unwrap_or_default();
    let length = payload.len() as u64 + uncaptured;
    let Some(length) = u32::try_from(length)
        .ok()
        .filter(|length| *length <= LONGEST_PAYLOAD)
    else {
        return unreadable;
    };
    Seen::Tcp(Tcp {
        time: packet.time,
        way: packet.way,
        source: SocketAddr::new(ip.source, tcp.source_port()),
        destination: SocketAddr::new(ip.destination, tcp.destination_port()),
        sequence: tcp.sequence_number(),
        acknowledgement: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload,
        length,
        identity: identity(ip.identification, tcp.options()),
    })
}

/// Hashes the header fields that a packet captured twice shares with its copy. A retransmission mostly differs in its
/// timestamp option.
fn identity(identification: u16, options: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ u64::from(identification);
    options.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Parses a datagram, which may hold a tunnel.
fn udp<'a>(packet: &Packet<'a>, ip: &Ip<'_>, bytes: &'a [u8]) -> Layer<'a> {
    let Ok(udp) = UdpSlice::from_slice_lax(bytes) else {
        return Layer::Last(Seen::Unreadable {
            ports: ports(bytes),
        });
    };
    let payload = bytes.get(UDP_HEADER..).unwrap_or_default();
    // A length of 0 marks a super-packet, which ends where the captured bytes do.
    let length = match usize::from(udp.length()) {
        0 => payload.len(),
        length => length.saturating_sub(UDP_HEADER),
    };
    let payload = &payload[..payload.len().min(length)];
    let datagram = Udp {
        time: packet.time,
        source: SocketAddr::new(ip.source, udp.source_port()),
        destination: SocketAddr::new(ip.destination, udp.destination_port()),
        payload,
        length: u32::try_from(length).unwrap_or(u32::MAX),
        identification: ip.identification,
    };
    match encapsulation::behind_udp(udp.destination_port(), payload) {
        Behind::Header(removed, inner) => Layer::Tunnel(datagram, removed, inner),
        Behind::Cut if payload.len() < length => Layer::Last(Seen::Unreadable { ports: None }),
        Behind::Cut | Behind::Nothing => Layer::Last(Seen::Udp(datagram)),
    }
}

/// Source and destination port, at the start of both TCP and UDP headers.
fn ports(transport: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d] = *transport.first_chunk()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// True for the first fragment, which holds the transport header.
fn is_first(net: &LaxNetSlice<'_>) -> bool {
    match net {
        LaxNetSlice::Ipv4(ip) => ip.header().fragments_offset().value() == 0,
        LaxNetSlice::Ipv6(ip) => ip.extensions().clone().into_iter().all(|header| {
            !matches!(header, Ipv6ExtensionSlice::Fragment(piece) if piece.fragment_offset().value() != 0)
        }),
        LaxNetSlice::Arp(_) => false,
    }
}
