//! Datagrams of servers' sockets → datagrams of each peer, decoded as soon as the peer is known.
//!
//! A thread of memcached answers a request before it reads the next one. Its next call therefore shows whose the last
//! request was, and that every answer to it has been sent.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use membench_common::Datagram;
use membench_decode::Decoder;
use membench_event::{Direction, Piece, Segment};

use super::announcement::{AF_INET, AF_INET6};
use super::sockets::{Role, Sockets};

/// A socket, by its cookie, and a thread that reads it.
pub(super) type Thread = (u64, u32);

/// The connection and the id of a request.
type Request = (u32, u16);

/// The origin of a datagram: a server's socket and the peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// Cookie of the socket.
    pub(super) cookie: u64,
    /// Ordinal of the server.
    pub(super) server: u32,
    /// Address of the server's client; `None` if unknown.
    pub(super) peer: Option<SocketAddr>,
}

/// A request whose peer is not known yet.
#[derive(Debug)]
struct Waiting {
    time: u64,
    pieces: Vec<OwnedPiece>,
}

#[derive(Debug)]
enum OwnedPiece {
    Bytes(Vec<u8>),
    Hole(u32),
}

/// The requests that a thread read last.
#[derive(Debug)]
enum Last {
    /// A request whose peer the thread's next call shows.
    Waiting(Waiting),
    /// Requests that one call read at `time`, of known peers.
    Known { time: u64, requests: Vec<Request> },
}

/// The places where datagrams go once their peer is known.
pub(super) struct Streams<'a> {
    /// Sockets, which know the connection of each peer.
    pub(super) sockets: &'a mut Sockets,
    /// The decoder of those connections.
    pub(super) decoder: &'a mut Decoder,
    /// True if packets are recorded, which do not tell when a server reads.
    pub(super) without_reads: bool,
}

/// The requests that each thread read last, until it has answered them.
#[derive(Debug, Default)]
pub(super) struct Datagrams(HashMap<Thread, Last>);

impl Datagrams {
    /// Takes a request whose peer is not known yet. The thread has answered what it read before; `earlier` is the origin
    /// of that.
    pub(super) fn take_request(
        &mut self,
        streams: &mut Streams<'_>,
        thread: Thread,
        earlier: Origin,
        segment: &Segment<'_>,
    ) {
        if let Some(last) = self.0.remove(&thread) {
            streams.finish(earlier, last);
        }
        self.0.insert(thread, Last::Waiting(Waiting::new(segment)));
    }

    /// Takes a request of a known peer. Requests that one call reads have one time; earlier ones have been answered.
    pub(super) fn take_named_request(
        &mut self,
        streams: &mut Streams<'_>,
        thread: Thread,
        origin: Origin,
        segment: &Segment<'_>,
    ) {
        let mut requests = match self.0.remove(&thread) {
            Some(Last::Known { time, requests }) if time == segment.time => requests,
            Some(last) => {
                streams.finish(origin, last);
                Vec::new()
            }
            None => Vec::new(),
        };
        requests.extend(streams.push(origin, segment));
        let time = segment.time;
        self.0.insert(thread, Last::Known { time, requests });
    }

    /// Takes a response. A request of the thread that still waits is of the same peer.
    pub(super) fn take_response(
        &mut self,
        streams: &mut Streams<'_>,
        thread: Thread,
        origin: Origin,
        segment: &Segment<'_>,
    ) {
        if let Some(Last::Waiting(waiting)) = self.0.get(&thread) {
            let known = Last::Known {
                time: waiting.time,
                requests: streams.push_waiting(origin, waiting).into_iter().collect(),
            };
            self.0.insert(thread, known);
        }
        streams.push(origin, segment);
    }

    /// Decodes the requests whose peer never became known, the oldest first.
    pub(super) fn end(&mut self, streams: &mut Streams<'_>) {
        let mut rest: Vec<(Thread, Waiting)> = self
            .0
            .drain()
            .filter_map(|(thread, last)| match last {
                Last::Waiting(waiting) => Some((thread, waiting)),
                Last::Known { .. } => None,
            })
            .collect();
        rest.sort_unstable_by_key(|(_, waiting)| waiting.time);
        for ((cookie, _), waiting) in rest {
            if let Some(Role::Datagrams(server)) = streams.sockets.role(cookie) {
                let origin = Origin {
                    cookie,
                    server,
                    peer: None,
                };
                streams.push_waiting(origin, &waiting);
            }
        }
    }
}

impl Streams<'_> {
    /// Decodes a datagram. Returns the request, if it is one.
    pub(super) fn push(&mut self, origin: Origin, segment: &Segment<'_>) -> Option<Request> {
        let connection = self.connection(origin, segment.time);
        let role = Role::Connection(connection);
        self.sockets
            .count(role, segment.direction, segment.length());
        let id = self.decoder.push_datagram(&Segment {
            connection,
            ..*segment
        })?;
        Some((connection, id))
    }

    fn push_waiting(&mut self, origin: Origin, waiting: &Waiting) -> Option<Request> {
        let pieces = waiting.pieces();
        self.push(origin, &waiting.segment(&pieces))
    }

    /// Finishes the requests that a thread read before: every answer to them has been sent.
    fn finish(&mut self, origin: Origin, last: Last) {
        let requests = match last {
            Last::Waiting(waiting) => self.push_waiting(origin, &waiting).into_iter().collect(),
            Last::Known { requests, .. } => requests,
        };
        for (connection, id) in requests {
            self.decoder.finish_datagram(connection, id);
        }
    }

    /// Returns the connection of a datagram, which is opened if this is the first of its peer.
    fn connection(&mut self, origin: Origin, time: u64) -> u32 {
        let Origin {
            cookie,
            server,
            peer,
        } = origin;
        let (connection, is_new) = self.sockets.datagram_connection(cookie, server, peer, time);
        if is_new && self.without_reads {
            self.decoder
                .open_datagrams_without_reads(connection, server);
        } else if is_new {
            self.decoder.open_datagrams(connection, server);
        }
        connection
    }
}

impl Waiting {
    /// Copies a request's bytes until they can be decoded.
    fn new(segment: &Segment<'_>) -> Self {
        let pieces = segment.pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => OwnedPiece::Bytes(bytes.to_vec()),
            Piece::Hole(length) => OwnedPiece::Hole(*length),
        });
        Self {
            time: segment.time,
            pieces: pieces.collect(),
        }
    }

    fn pieces(&self) -> Vec<Piece<'_>> {
        let pieces = self.pieces.iter().map(|piece| match piece {
            OwnedPiece::Bytes(bytes) => Piece::Bytes(bytes),
            OwnedPiece::Hole(length) => Piece::Hole(*length),
        });
        pieces.collect()
    }

    /// Returns the request as a segment of these pieces, of no connection yet.
    fn segment<'a>(&self, pieces: &'a [Piece<'a>]) -> Segment<'a> {
        Segment {
            connection: 0,
            direction: Direction::Request,
            offset: 0,
            time: self.time,
            arrival: None,
            filled: false,
            call: 0,
            pieces,
        }
    }
}

/// Returns the peer that a record names, if it names one. An address that maps an IPv4 address becomes that address.
pub(super) fn named_peer(datagram: &Datagram) -> Option<SocketAddr> {
    let name = &datagram.name;
    let family = u16::from_ne_bytes([name[0], name[1]]);
    let port = u16::from_be_bytes([name[2], name[3]]);
    match family {
        AF_INET => {
            let bytes: [u8; 4] = name[4..8].try_into().ok()?;
            Some(SocketAddr::from((Ipv4Addr::from(bytes), port)))
        }
        AF_INET6 => {
            let bytes: [u8; 16] = name[8..24].try_into().ok()?;
            let ip = Ipv6Addr::from(bytes).to_canonical();
            Some(SocketAddr::new(ip, port))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(bytes: &[u8]) -> Option<SocketAddr> {
        let mut name = [0; 28];
        name[..bytes.len()].copy_from_slice(bytes);
        named_peer(&Datagram { name, thread: 1 })
    }

    #[test]
    fn a_peer_is_read_as_the_kernel_writes_it() {
        let family = |family: u16| family.to_ne_bytes();
        let four = [&family(AF_INET)[..], &[0x2b, 0xcb, 127, 0, 0, 1]].concat();
        let expected = Some(SocketAddr::from(([127, 0, 0, 1], 11211)));
        assert_eq!(named(&four), expected);
        let mapped = [
            &family(AF_INET6)[..],
            &[0x2b, 0xcb, 0, 0, 0, 0],
            &[0; 10],
            &[255, 255, 127, 0, 0, 1],
        ];
        assert_eq!(named(&mapped.concat()), expected);
        assert_eq!(named(&[]), None);
    }
}
