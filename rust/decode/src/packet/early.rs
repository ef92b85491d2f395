//! The first segments of a connection, in any order → where its two directions begin.

use membench_event::Direction;

use super::headers::Tcp;
use super::stream::{OVERHEAD, USUAL_WINDOW};

/// A segment that is kept.
#[derive(Debug)]
struct Kept {
    direction: Direction,
    /// The segment, without its payload.
    head: Tcp<'static>,
    payload: Vec<u8>,
}

/// Segments that wait for the handshake of their connection.
#[derive(Debug)]
pub(super) struct Early {
    /// Time of the first of them, ns.
    since: u64,
    segments: Vec<Kept>,
    /// Memory that they take, bytes.
    held: usize,
    /// Sequence number of the client's SYN, if it was captured.
    opened: Option<u32>,
    /// Sequence number and acknowledgement of the server's SYN, if it was captured.
    answered: Option<(u32, u32)>,
}

impl Early {
    pub(super) fn new(since: u64) -> Self {
        Self {
            since,
            segments: Vec::new(),
            held: 0,
            opened: None,
            answered: None,
        }
    }

    pub(super) fn since(&self) -> u64 {
        self.since
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn keep(&mut self, direction: Direction, tcp: &Tcp<'_>) {
        match (direction, tcp.syn, tcp.acknowledgement) {
            (Direction::Request, true, _) => self.opened = Some(tcp.sequence),
            (Direction::Response, true, Some(known)) => self.answered = Some((tcp.sequence, known)),
            _ => {}
        }
        self.held += tcp.payload.len() + OVERHEAD;
        self.segments.push(Kept {
            direction,
            head: Tcp {
                payload: &[],
                ..*tcp
            },
            payload: tcp.payload.to_vec(),
        });
    }

    /// True if it is known where both directions begin. The server's SYN tells both.
    pub(super) fn is_complete(&self) -> bool {
        self.answered.is_some()
    }

    /// True if the server's SYN was captured.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.is_some()
    }

    /// Sequence number of the client's SYN, if it is known.
    pub(super) fn initial(&self) -> Option<u32> {
        let acknowledged = self.answered.map(|(_, known)| known.wrapping_sub(1));
        self.opened.or(acknowledged)
    }

    /// True if a SYN with this sequence number can open the connection of the segments so far: it is their SYN, or they
    /// follow it.
    pub(super) fn may_follow(&self, direction: Direction, syn: u32) -> bool {
        let known = match direction {
            Direction::Request => self.initial(),
            Direction::Response => self.answered.map(|(sequence, _)| sequence),
        };
        let follows = |sequence: u32| sequence.wrapping_sub(syn) < USUAL_WINDOW;
        known.is_none_or(|known| known == syn)
            && self
                .segments
                .iter()
                .filter(|kept| kept.direction == direction)
                .all(|kept| follows(kept.head.sequence))
    }

    /// Sequence number of the first byte of a direction: after its SYN, or else the lowest that is known of.
    pub(super) fn origin(&self, direction: Direction) -> Option<u32> {
        let syn = match direction {
            Direction::Request => self.initial(),
            Direction::Response => self.answered.map(|(sequence, _)| sequence),
        };
        let known = self.segments.iter().filter_map(|kept| {
            if kept.direction != direction {
                return kept.head.acknowledgement;
            }
            let has_place = kept.head.length > 0 || kept.head.fin || kept.head.syn;
            has_place.then(|| kept.head.sequence.wrapping_add(kept.head.syn.into()))
        });
        let lower = |a: u32, b: u32| {
            if b.wrapping_sub(a).cast_signed() < 0 {
                b
            } else {
                a
            }
        };
        syn.map(|syn| syn.wrapping_add(1)).or(known.reduce(lower))
    }

    /// Hands on each segment, in the order in which they were captured.
    pub(super) fn each(self, mut take: impl FnMut(Direction, &Tcp<'_>)) {
        for kept in &self.segments {
            take(
                kept.direction,
                &Tcp {
                    payload: &kept.payload,
                    ..kept.head
                },
            );
        }
    }
}
