//! Datagrams of a server's socket → those of each peer. A thread answers what it read before it reads again: so its
//! next call tells whose the last request was, and that all of its answers were sent.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use membench_common::Datagram;
use membench_event::{Direction, Piece, Segment};

use crate::session::peer::{AF_INET, AF_INET6};

/// A socket's cookie and a thread.
pub(crate) type Thread = (u64, u32);

/// A request whose peer is not known yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    time: u64,
    pieces: Vec<Owned>,
}

#[derive(Debug)]
enum Owned {
    Bytes(Vec<u8>),
    Hole(u32),
}

/// What a thread last read.
#[derive(Debug)]
pub(crate) enum Last {
    /// A request of a peer that its next call tells.
    Waiting(Waiting),
    /// What one call read at this time: requests of these connections, with these ids.
    Known(u64, Vec<(u32, u16)>),
}

/// What each thread last read.
#[derive(Debug, Default)]
pub(crate) struct Threads(HashMap<Thread, Last>);

impl Threads {
    /// What a thread last read, which it has answered: it is forgotten.
    pub(crate) fn take(&mut self, thread: Thread) -> Option<Last> {
        self.0.remove(&thread)
    }

    /// A request whose peer is not known yet, if that is what the thread last read.
    pub(crate) fn take_waiting(&mut self, thread: Thread) -> Option<Waiting> {
        match self.0.remove(&thread)? {
            Last::Waiting(waiting) => Some(waiting),
            known @ Last::Known(..) => {
                self.0.insert(thread, known);
                None
            }
        }
    }

    /// Remembers what a thread has read.
    pub(crate) fn note(&mut self, thread: Thread, last: Last) {
        self.0.insert(thread, last);
    }

    /// What is left at the end, oldest first.
    pub(crate) fn rest(&mut self) -> Vec<(Thread, Waiting)> {
        let mut rest: Vec<(Thread, Waiting)> = self
            .0
            .drain()
            .filter_map(|(thread, last)| match last {
                Last::Waiting(waiting) => Some((thread, waiting)),
                Last::Known(..) => None,
            })
            .collect();
        rest.sort_unstable_by_key(|(_, waiting)| waiting.time);
        rest
    }
}

impl Waiting {
    /// Keeps a request's bytes until they can be decoded.
    pub(crate) fn new(segment: &Segment<'_>) -> Self {
        let owned = segment.pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => Owned::Bytes(bytes.to_vec()),
            Piece::Hole(length) => Owned::Hole(*length),
        });
        Self {
            time: segment.time,
            pieces: owned.collect(),
        }
    }

    /// When it was read, `CLOCK_MONOTONIC`, ns.
    pub(crate) fn time(&self) -> u64 {
        self.time
    }

    /// Hands the request on as a segment of `connection`.
    pub(crate) fn with<T>(&self, connection: u32, take: impl FnOnce(&Segment<'_>) -> T) -> T {
        let pieces: Vec<Piece<'_>> = self
            .pieces
            .iter()
            .map(|piece| match piece {
                Owned::Bytes(bytes) => Piece::Bytes(bytes),
                Owned::Hole(length) => Piece::Hole(*length),
            })
            .collect();
        take(&Segment {
            connection,
            direction: Direction::Request,
            offset: 0,
            time: self.time,
            arrival: None,
            filled: false,
            call: 0,
            pieces: &pieces,
        })
    }
}

/// The peer a record names, if it names one; an address mapped from IPv4 is the IPv4 address.
pub(crate) fn peer(datagram: &Datagram) -> Option<SocketAddr> {
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
        peer(&Datagram { name, thread: 1 })
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
