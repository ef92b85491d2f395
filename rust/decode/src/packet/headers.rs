//! A packet → the TCP segment it carries, or what it is instead.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, Ipv6ExtensionSlice, LaxNetSlice, LaxSlicedPacket, TcpSlice, UdpSlice};

use super::{Packet, Way};

/// The longest payload a packet can have, bytes: GRO's largest with room to spare.
const LONGEST: u32 = 1 << 20;

/// What a packet turned out to be.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// A TCP segment.
    Tcp(Tcp<'a>),
    /// A UDP datagram.
    Udp {
        /// From which port and to which.
        ports: (u16, u16),
        /// Its payload, bytes.
        length: u64,
    },
    /// A piece of a packet that the network cut up.
    Fragment {
        /// From which port and to which, in the first piece.
        ports: Option<(u16, u16)>,
    },
    /// Too little was captured to tell, or the headers contradict themselves.
    Unreadable {
        /// From which port and to which, if that much can be read.
        ports: Option<(u16, u16)>,
    },
    /// Something else.
    Other,
}

/// One TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    /// When it passed, ns.
    pub time: u64,
    /// Which way it went, where that is known.
    pub way: Option<Way>,
    /// From where.
    pub source: SocketAddr,
    /// To where.
    pub destination: SocketAddr,
    /// Sequence number of its first byte, or of SYN.
    pub sequence: u32,
    /// Sequence number its sender expects next, if it says so.
    pub acknowledgement: Option<u32>,
    /// It begins a connection.
    pub syn: bool,
    /// It ends its direction.
    pub fin: bool,
    /// It ends the connection.
    pub rst: bool,
    /// What was captured of its payload.
    pub payload: &'a [u8],
    /// How long the payload was, bytes.
    pub length: u32,
    /// What tells a packet from its repetition, as far as its headers do: the IPv4 identification and TCP options.
    pub identity: u64,
}

/// Looks through a packet's headers.
pub fn parse<'a>(packet: &Packet<'a>) -> Seen<'a> {
    let Some((way, kind, network)) = packet.link.open(packet.bytes) else {
        return Seen::Other;
    };
    let sliced = LaxSlicedPacket::from_ether_type(kind, network);
    let Some(net) = &sliced.net else {
        return without_network(&sliced);
    };
    let Some(ip) = Ip::of(net) else {
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

/// Not IP, or IP whose header cannot be read.
fn without_network(sliced: &LaxSlicedPacket<'_>) -> Seen<'static> {
    if sliced.stop_err.is_some() {
        Seen::Unreadable { ports: None }
    } else {
        Seen::Other
    }
}

/// What of the network header matters here.
struct Ip<'a> {
    source: IpAddr,
    destination: IpAddr,
    /// Where the header stands.
    header: &'a [u8],
    /// Header and payload, as the header says; 0 where it does not.
    length: u64,
    identification: u16,
}

impl<'a> Ip<'a> {
    fn of(net: &'a LaxNetSlice<'_>) -> Option<Self> {
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

    /// How many bytes of the network packet were not captured. A length of 0 is a super-packet's that no length field
    /// holds (GRO, TSO): it ends where the packet does.
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

/// Where `inner`, a part of `outer`, begins.
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
        .filter(|length| *length <= LONGEST)
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

/// A number that a packet and its copy share, and a retransmission mostly does not: its timestamp option differs.
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

/// What TCP and UDP headers begin with.
fn ports(transport: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d] = *transport.first_chunk()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// Whether a fragment is the one with the transport header.
fn is_first(net: &LaxNetSlice<'_>) -> bool {
    match net {
        LaxNetSlice::Ipv4(ip) => ip.header().fragments_offset().value() == 0,
        LaxNetSlice::Ipv6(ip) => ip.extensions().clone().into_iter().all(|header| {
            !matches!(header, Ipv6ExtensionSlice::Fragment(piece) if piece.fragment_offset().value() != 0)
        }),
        LaxNetSlice::Arp(_) => false,
    }
}
