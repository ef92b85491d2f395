//! A packet → the TCP segment that it carries, or its kind if it carries none.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, Ipv6ExtensionSlice, LaxNetSlice, LaxSlicedPacket, TcpSlice, UdpSlice};

use super::{Packet, Way};

/// Longest payload taken for one, bytes: more than the largest packet that GRO builds.
const LONGEST_PAYLOAD: u32 = 1 << 20;

/// Kind of a packet.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// A TCP segment.
    Tcp(Tcp<'a>),
    /// A UDP datagram.
    Udp {
        /// Source and destination port.
        ports: (u16, u16),
        /// Payload, bytes.
        length: u64,
    },
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

/// Parses the headers of a packet.
pub fn parse<'a>(packet: &Packet<'a>) -> Seen<'a> {
    let Some((way, kind, network)) = packet.link.split(packet.bytes) else {
        return Seen::Other;
    };
    let sliced = LaxSlicedPacket::from_ether_type(kind, network);
    let Some(net) = &sliced.net else {
        return classify_without_ip(&sliced);
    };
    let Some(ip) = Ip::from_net(net) else {
        return Seen::Other;
    };
    let Some(payload) = net.ip_payload_ref() else {
        return Seen::Other;
    };
    if payload.fragmented {
        return Seen::Fragment {
            ports: is_first(net).then(|| ports(payload.payload)).flatten(),
        };
    }
    let uncaptured = ip.uncaptured(packet);
    match payload.ip_number {
        IpNumber::TCP => tcp(packet, way.or(packet.way), &ip, payload.payload, uncaptured),
        IpNumber::UDP => udp(payload.payload),
        _ => Seen::Other,
    }
}

/// Tells an unreadable IP header from a packet without one.
fn classify_without_ip(sliced: &LaxSlicedPacket<'_>) -> Seen<'static> {
    if sliced.stop_err.is_some() {
        Seen::Unreadable { ports: None }
    } else {
        Seen::Other
    }
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

fn tcp<'a>(
    packet: &Packet<'a>,
    way: Option<Way>,
    ip: &Ip<'_>,
    payload: &'a [u8],
    uncaptured: u64,
) -> Seen<'a> {
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
        way,
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

fn udp(payload: &[u8]) -> Seen<'static> {
    match UdpSlice::from_slice_lax(payload) {
        Ok(udp) => Seen::Udp {
            ports: (udp.source_port(), udp.destination_port()),
            length: u64::from(udp.length()).saturating_sub(8),
        },
        Err(_) => Seen::Unreadable {
            ports: ports(payload),
        },
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
