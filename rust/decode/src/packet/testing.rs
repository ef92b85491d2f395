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
