//! What was found in packets → the session: its connections, its decoder, and what is in doubt.

use std::net::{IpAddr, SocketAddr};

use membench_common::Socket;
use membench_decode::packet::{Bytes, Found};
use membench_event::{CloseSide, Direction, Piece, Segment};
use smallvec::SmallVec;

use crate::session::Session;
use crate::session::doubts::PAUSE;
use crate::session::sockets::Role;

/// Requests without a response on one connection before they are given up: only one side can be seen.
const MOST_OPEN: usize = 16_384;
/// Families in announcements.
const FAMILIES: (u16, u16) = (2, 10);
const TCP: u16 = 6;

impl Session {
    /// Takes what was found in packets.
    pub(crate) fn take_found(&mut self, found: &Found<'_>) {
        match *found {
            Found::Opened {
                flow,
                client,
                server,
                time,
                mid_stream,
            } => {
                let namespace = self.namespace;
                let socket = announcement(namespace, client, server, mid_stream);
                self.open_flow(flow, &socket, time);
            }
            Found::Bytes(bytes) => self.take_payload(&bytes),
            Found::Ended { flow, direction } => self.sockets.ended(flow, side(direction)),
            Found::Closed {
                flow,
                time,
                orderly,
            } => self.close_flow(flow, time, orderly),
        }
    }

    fn open_flow(&mut self, flow: u64, socket: &Socket, time: u64) {
        if let Role::Connection(connection) = self.sockets.announce(flow, socket, time) {
            let mid_stream = socket.mid_stream != 0;
            self.decoder.open_without_reads(connection, mid_stream);
            if mid_stream {
                self.doubts.begin(connection);
            } else {
                self.decoder.expect_barrier(connection);
            }
        }
    }

    fn take_payload(&mut self, bytes: &Bytes<'_>) {
        let length = bytes.bytes.len() as u64 + u64::from(bytes.hole);
        let Some(role) = self.sockets.role(bytes.flow) else {
            self.orphaned += length;
            return;
        };
        let pieces = pieces(bytes);
        let mut segment = Segment {
            connection: 0,
            direction: bytes.direction,
            offset: bytes.offset,
            time: bytes.time,
            arrival: None,
            filled: false,
            call: bytes.call,
            pieces: &pieces,
        };
        let seen = self.sockets.count(role, bytes.direction, length);
        match role {
            Role::Own(_) => self.take_own(bytes.flow, &segment, seen),
            // Packets are followed where they are TCP.
            Role::Datagrams(_) => self.orphaned += length,
            Role::Connection(connection) => {
                segment.connection = connection;
                self.push(bytes, &segment);
            }
        }
    }

    fn push(&mut self, bytes: &Bytes<'_>, segment: &Segment<'_>) {
        let connection = segment.connection;
        if bytes.direction == Direction::Request && bytes.at_rest {
            self.look_at_rest(connection, bytes.pause);
        }
        let gap = self.decoder.push(segment, true);
        if gap > 0 {
            self.list_loss(bytes.time, connection, "missed", gap);
        }
        if self.decoder.open_requests(connection) > MOST_OPEN {
            self.decoder.give_up_responses(connection);
        }
        self.route(connection, bytes.time);
    }

    /// A request follows when both sides have everything: pairing can begin anew, or has proved right.
    fn look_at_rest(&mut self, connection: u32, pause: u64) {
        if !self.decoder.paired(connection) {
            self.decoder.expect_barrier(connection);
        } else if pause >= PAUSE && self.decoder.settled(connection) {
            self.doubts.confirm(connection);
        }
    }

    /// Passes on what decoding a connection has yielded.
    fn route(&mut self, connection: u32, time: u64) {
        let paired = self.decoder.paired(connection);
        let (events, options) = (self.decoder.events(), self.decoder.options());
        self.doubts.take(connection, events, options, paired, time);
        self.decoder.clear_events();
    }

    fn close_flow(&mut self, flow: u64, time: u64, orderly: bool) {
        let Some(Role::Connection(connection)) = self.sockets.closed(flow, time) else {
            return;
        };
        if orderly && self.decoder.settled(connection) {
            self.doubts.confirm(connection);
        }
        self.doubts.end(&self.decoder, connection, time);
        self.close(connection);
        self.doubts.release(self.decoder.events());
        self.decoder.clear_events();
    }
}

/// Payload as the decoder takes it.
fn pieces<'a>(bytes: &Bytes<'a>) -> SmallVec<[Piece<'a>; 2]> {
    let mut pieces = SmallVec::new();
    if !bytes.bytes.is_empty() {
        pieces.push(Piece::Bytes(bytes.bytes));
    }
    if bytes.hole > 0 {
        pieces.push(Piece::Hole(bytes.hole));
    }
    pieces
}

fn side(direction: Direction) -> CloseSide {
    match direction {
        Direction::Request => CloseSide::Client,
        Direction::Response => CloseSide::Server,
    }
}

/// A connection as a socket of no process.
fn announcement(
    namespace: u32,
    client: SocketAddr,
    server: SocketAddr,
    mid_stream: bool,
) -> Socket {
    Socket {
        namespace,
        pid: 0,
        family: if client.is_ipv4() {
            FAMILIES.0
        } else {
            FAMILIES.1
        },
        protocol: TCP,
        local_port: server.port(),
        remote_port: client.port(),
        local: octets(server.ip()),
        remote: octets(client.ip()),
        mid_stream: mid_stream.into(),
        padding: 0,
    }
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&ip.octets());
            octets
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests;
