//! Test helpers: descriptions of TCP segments → packets, and findings → values that can be compared.

use std::net::{IpAddr, SocketAddr};

use etherparse::PacketBuilder;

use super::{Bytes, Flows, Found, Link, Packet};
use membench_event::Direction;

/// Port of the server in every test.
pub const PORT: u16 = 11211;
pub const US: u64 = 1_000;
pub const MS: u64 = 1_000_000;
pub const S: u64 = 1_000_000_000;

/// Description of one packet.
#[derive(Clone, Debug)]
pub struct Segment {
    pub time: u64,
    pub direction: Direction,
    pub client: u16,
    pub sequence: u32,
    pub acknowledgement: Option<u32>,
    /// Any of `S`, `F`, `R`.
    pub flags: &'static str,
    pub payload: Vec<u8>,
    pub identification: u16,
}

/// Describes a request.
pub fn request(time: u64, sequence: u32, acknowledgement: u32, payload: &[u8]) -> Segment {
    Segment {
        time,
        direction: Direction::Request,
        client: 40_000,
        sequence,
        acknowledgement: Some(acknowledgement),
        flags: "",
        payload: payload.to_vec(),
        // A retransmission has an identification of its own, a copy does not.
        identification: u16::try_from(time / US % 60_000).unwrap_or(0),
    }
}

/// Describes a response.
pub fn response(time: u64, sequence: u32, acknowledgement: u32, payload: &[u8]) -> Segment {
    Segment {
        direction: Direction::Response,
        ..request(time, sequence, acknowledgement, payload)
    }
}

impl Segment {
    #[must_use]
    pub fn with(self, flags: &'static str) -> Self {
        Self { flags, ..self }
    }

    #[must_use]
    pub fn without_acknowledgement(self) -> Self {
        Self {
            acknowledgement: None,
            ..self
        }
    }

    /// The packet's bytes on Ethernet.
    pub fn frame(&self) -> Vec<u8> {
        let (from, to) = match self.direction {
            Direction::Request => ((10, self.client), (20, PORT)),
            Direction::Response => ((20, PORT), (10, self.client)),
        };
        let mut ip = etherparse::Ipv4Header::new(
            0,
            64,
            etherparse::IpNumber::TCP,
            [10, 0, 0, from.0],
            [10, 0, 0, to.0],
        )
        .expect("a short payload");
        ip.identification = self.identification;
        let mut builder = PacketBuilder::ethernet2([1; 6], [2; 6])
            .ip(etherparse::IpHeaders::Ipv4(
                ip,
                etherparse::Ipv4Extensions::default(),
            ))
            .tcp(from.1, to.1, self.sequence, 1000);
        if let Some(acknowledgement) = self.acknowledgement {
            builder = builder.ack(acknowledgement);
        }
        for flag in self.flags.chars() {
            builder = match flag {
                'S' => builder.syn(),
                'F' => builder.fin(),
                _ => builder.rst(),
            };
        }
        let mut frame = Vec::new();
        builder
            .write(&mut frame, &self.payload)
            .expect("a short payload");
        frame
    }
}

/// A finding as plain values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plain {
    Opened {
        client: SocketAddr,
        mid_stream: bool,
    },
    /// Direction, offset, bytes, and length of the hole after them.
    Bytes(Direction, u64, Vec<u8>, u32),
    Ended(Direction),
    Closed {
        orderly: bool,
    },
    /// Direction, port of the client, and bytes.
    Datagram(Direction, u16, Vec<u8>),
    /// Port of the client.
    Left(u16),
}

impl Plain {
    pub fn from_found(found: &Found<'_>) -> Self {
        match *found {
            Found::Opened {
                client, mid_stream, ..
            } => Self::Opened { client, mid_stream },
            Found::Bytes(Bytes {
                direction,
                offset,
                bytes,
                hole,
                ..
            }) => Self::Bytes(direction, offset, bytes.to_vec(), hole),
            Found::Ended { direction, .. } => Self::Ended(direction),
            Found::Closed { orderly, .. } => Self::Closed { orderly },
            Found::Left { client, .. } => Self::Left(client.port()),
            Found::Datagram(datagram) => Self::Datagram(
                datagram.direction,
                datagram.client.port(),
                datagram.bytes.to_vec(),
            ),
        }
    }
}

/// Feeds `flows` the packet, captured up to `snaplen`.
pub fn take(
    flows: &mut Flows,
    segment: &Segment,
    snaplen: usize,
    emit: &mut impl FnMut(Found<'_>),
) {
    let frame = segment.frame();
    let packet = Packet {
        time: segment.time,
        link: Link::Ethernet,
        bytes: &frame[..frame.len().min(snaplen)],
        length: u32::try_from(frame.len()).expect("a short frame"),
        way: None,
    };
    flows.take(&packet, emit);
}

/// Address of the client that uses this port.
pub fn client(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([10, 0, 0, 10]), port)
}

/// Wraps the rest of a packet in an IPv4 packet between two routers, on Ethernet.
pub fn in_ip(protocol: u8, inner: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ethernet2([3; 6], [4; 6])
        .ipv4([172, 16, 0, 1], [172, 16, 0, 2], 64)
        .write(&mut packet, etherparse::IpNumber(protocol), inner)
        .expect("a short payload");
    packet
}

/// Wraps the rest of a packet in a UDP datagram between two routers, on Ethernet.
pub fn in_udp(port: u16, inner: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ethernet2([3; 6], [4; 6])
        .ipv6([0xfd; 16], [0xfe; 16], 64)
        .udp(50_000, port)
        .write(&mut packet, inner)
        .expect("a short payload");
    packet
}

/// Wraps a frame in each encapsulation that is removed. Each is named.
pub fn encapsulated(frame: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    const ETHERNET: usize = 14;
    let ip = &frame[ETHERNET..];
    let behind = |header: &[u8], rest: &[u8]| [header, rest].concat();
    let gre = |header: &[u8], rest: &[u8]| in_ip(47, &behind(header, rest));
    let tagged = |tags: &[u8]| [&frame[..12], tags, &frame[12..]].concat();
    let labels = [0, 1, 0x10, 64, 0, 2, 0x11, 64];
    let mpls = |rest: &[u8]| [&frame[..12], &[0x88, 0x47], &labels, rest].concat();
    let vxlan = [8, 0, 0, 0, 0, 0, 123, 0];
    vec![
        ("VXLAN", in_udp(4789, &behind(&vxlan, frame))),
        (
            "VXLAN at Linux's port",
            in_udp(8472, &behind(&vxlan, frame)),
        ),
        (
            "VXLAN at another port",
            in_udp(5555, &behind(&vxlan, frame)),
        ),
        (
            "VXLAN-GPE of IPv4",
            in_udp(4790, &behind(&[12, 0, 0, 1, 0, 0, 123, 0], ip)),
        ),
        (
            "GENEVE with an option",
            in_udp(
                6081,
                &behind(&[1, 0, 0x65, 0x58, 0, 0, 9, 0, 1, 2, 3, 4], frame),
            ),
        ),
        ("GRE of IPv4", gre(&[0, 0, 8, 0], ip)),
        (
            "GRE of Ethernet, with checksum, key and sequence",
            gre(
                &[0xb0, 0, 0x65, 0x58, 1, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1],
                frame,
            ),
        ),
        ("ERSPAN I", gre(&[0, 0, 0x88, 0xbe], frame)),
        (
            "ERSPAN II",
            gre(
                &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 0, 1, 0, 0, 0, 2],
                frame,
            ),
        ),
        (
            "ERSPAN III",
            gre(
                &[
                    0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0,
                ],
                frame,
            ),
        ),
        (
            "ERSPAN III of IP, with a subheader",
            gre(
                &[
                    0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 1, 0, 1, 0, 0, 0, 2, 0, 0, 8, 1, 1, 2,
                    3, 4, 5, 6, 7, 8,
                ],
                ip,
            ),
        ),
        ("IP-in-IP", in_ip(4, ip)),
        ("Ethernet in IP", in_ip(97, &behind(&[0x30, 0], frame))),
        ("MPLS of IP", mpls(ip)),
        ("MPLS pseudowire", mpls(frame)),
        (
            "MPLS pseudowire with a control word",
            mpls(&behind(&[0, 0, 0, 1], frame)),
        ),
        ("MPLS in IP", in_ip(137, &behind(&labels, ip))),
        ("MPLS in UDP", in_udp(6635, &behind(&labels, ip))),
        (
            "three VLAN tags",
            tagged(&[0x91, 0, 0, 3, 0x88, 0xa8, 0, 7, 0x81, 0, 0, 5]),
        ),
    ]
}

/// A UDP datagram of a client (`Request`) or of the server, on Ethernet.
pub fn datagram(direction: Direction, client: u16, payload: &[u8]) -> Vec<u8> {
    let (from, to) = match direction {
        Direction::Request => ((10, client), (20, PORT)),
        Direction::Response => ((20, PORT), (10, client)),
    };
    let mut packet = Vec::new();
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4([10, 0, 0, from.0], [10, 0, 0, to.0], 64)
        .udp(from.1, to.1)
        .write(&mut packet, payload)
        .expect("a short payload");
    packet
}

/// memcached's frame header and text.
pub fn framed(id: u16, sequence: u16, total: u16, text: &[u8]) -> Vec<u8> {
    let [id, sequence, total] = [id, sequence, total].map(u16::to_be_bytes);
    [&id[..], &sequence, &total, &[0; 2], text].concat()
}
