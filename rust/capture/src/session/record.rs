//! Bytes of the ring → records, which are checked once and borrow the bytes.

use membench_common::{Close, Datagram, Header, Part, Socket, kind};
use membench_event::{Direction, Piece};
use smallvec::SmallVec;
use zerocopy::FromBytes;

/// One record of the ring, checked and borrowed.
///
/// # Example
///
/// ```
/// use membench_capture::{Header, Part, Record};
/// use membench_common::kind;
/// use membench_event::{Direction, Piece};
/// use zerocopy::IntoBytes;
///
/// // A read of 20 bytes on socket 7: the first 8 were kept, the other 12 were not.
/// let header = Header {
///     time: 1_000,
///     arrival: 900,
///     cookie: 7,
///     offset: 0,
///     length: 20,
///     call_length: 20,
///     kind: kind::REQUEST,
///     parts: 1,
///     call: 1,
///     lost: 0,
/// };
/// let part = Part { length: 20, head: 8, tail: 0 };
/// let bytes = [header.as_bytes(), part.as_bytes(), b"set k 0 "].concat();
/// # let words: Vec<u64> = bytes.chunks(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect();
/// # let bytes = words.as_bytes(); // aligned, as the ring aligns records
///
/// let Some(Record::Bytes { header, direction, pieces }) = Record::parse(&bytes) else {
///     panic!("a record of another kind, or a malformed one");
/// };
/// assert_eq!((header.cookie, direction), (7, Direction::Request));
/// assert_eq!(pieces.collect()[..], [Piece::Bytes(b"set k 0 "), Piece::Hole(12)]);
/// ```
#[derive(Clone, Debug)]
pub enum Record<'a> {
    /// Bytes of one direction of a socket.
    Bytes {
        /// Time, socket, and place in its stream.
        header: &'a Header,
        /// Request if the server read the bytes, response if it sent them.
        direction: Direction,
        /// The bytes.
        pieces: Pieces<'a>,
    },
    /// A datagram, or one record's part of it.
    Datagram {
        /// Time, the server's socket, and place in the datagram.
        header: &'a Header,
        /// Request if the server read the bytes, response if it sent them.
        direction: Direction,
        /// The thread that made the call, and a peer.
        datagram: &'a Datagram,
        /// The bytes.
        pieces: Pieces<'a>,
    },
    /// A socket that was seen for the first time. This record precedes all others of the socket.
    Socket {
        /// Time and socket.
        header: &'a Header,
        /// The socket's addresses.
        socket: &'a Socket,
    },
    /// A receive that returned 0: the client closed its side.
    End {
        /// Time, socket, and the end of its requests.
        header: &'a Header,
    },
    /// The close of a socket.
    Close {
        /// Time and socket.
        header: &'a Header,
        /// The ends of its streams.
        close: &'a Close,
    },
}

impl<'a> Record<'a> {
    /// Hands over a record, or counts it as malformed.
    #[cfg(feature = "ebpf")]
    pub(crate) fn parse_or_count(
        bytes: &'a [u8],
        malformed: &mut u64,
        take: &mut impl FnMut(Self),
    ) {
        match Self::parse(bytes) {
            Some(record) => take(record),
            None => *malformed += 1,
        }
    }

    /// Parses a record; `None` if it breaks a rule of `membench_common`. `bytes` must be aligned to 8, as the ring aligns
    /// records.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = Header::ref_from_prefix(bytes).ok()?;
        match header.kind {
            kind::REQUEST | kind::REQUEST_FILLED => Self::bytes(header, Direction::Request, rest),
            kind::RESPONSE => Self::bytes(header, Direction::Response, rest),
            kind::DATAGRAM_REQUEST | kind::DATAGRAM_REQUEST_NAMED => {
                Self::datagram(header, Direction::Request, rest)
            }
            kind::DATAGRAM_RESPONSE => Self::datagram(header, Direction::Response, rest),
            kind::SOCKET => Some(Self::Socket {
                header,
                socket: Socket::ref_from_prefix(rest).ok()?.0,
            }),
            kind::END => Some(Self::End { header }),
            kind::CLOSE => Some(Self::Close {
                header,
                close: Close::ref_from_prefix(rest).ok()?.0,
            }),
            _ => None,
        }
    }

    /// Returns the record's time, ns of `CLOCK_MONOTONIC`.
    pub(crate) fn time(&self) -> u64 {
        let (Self::Bytes { header, .. }
        | Self::Datagram { header, .. }
        | Self::Socket { header, .. }
        | Self::End { header }
        | Self::Close { header, .. }) = self;
        header.time
    }

    fn bytes(header: &'a Header, direction: Direction, parts: &'a [u8]) -> Option<Self> {
        Some(Self::Bytes {
            header,
            direction,
            pieces: Pieces::parse(header, parts)?,
        })
    }

    fn datagram(header: &'a Header, direction: Direction, rest: &'a [u8]) -> Option<Self> {
        let (datagram, parts) = Datagram::ref_from_prefix(rest).ok()?;
        Some(Self::Datagram {
            header,
            direction,
            datagram,
            pieces: Pieces::parse(header, parts)?,
        })
    }
}

/// Returns the true length of `count` parts together; `None` if not all of them are there.
fn checked_length(mut parts: &[u8], count: u32) -> Option<u64> {
    let mut length = 0;
    for _ in 0..count {
        let (part, _, rest) = split_part(parts)?;
        length += u64::from(part.length);
        parts = rest;
    }
    Some(length)
}

/// Splits off the first part: its header, its kept bytes, and the parts after it.
fn split_part(parts: &[u8]) -> Option<(&Part, &[u8], &[u8])> {
    let (part, rest) = Part::ref_from_prefix(parts).ok()?;
    let kept = usize::from(part.head) + usize::from(part.tail);
    if u64::try_from(kept).ok()? > u64::from(part.length) {
        return None;
    }
    let (padded, after) = rest.split_at_checked(kept.next_multiple_of(8))?;
    Some((part, &padded[..kept], after))
}

/// The bytes of a record in stream order: kept ones, and holes.
#[derive(Clone, Copy, Debug)]
pub struct Pieces<'a> {
    parts: &'a [u8],
    count: u32,
}

impl<'a> Pieces<'a> {
    /// Parses a record's parts; `None` unless all are there and have the length together that the header says.
    fn parse(header: &Header, parts: &'a [u8]) -> Option<Self> {
        let is_whole = checked_length(parts, header.parts)? == u64::from(header.length);
        is_whole.then_some(Self {
            parts,
            count: header.parts,
        })
    }

    /// Returns the head, hole and tail of each part, as far as it has them.
    pub fn collect(self) -> SmallVec<[Piece<'a>; 8]> {
        let mut pieces = SmallVec::new();
        let mut parts = self.parts;
        for _ in 0..self.count {
            let Some((part, kept, rest)) = split_part(parts) else {
                break;
            };
            let (head, tail) = kept.split_at(usize::from(part.head).min(kept.len()));
            let hole = part.length - u32::from(part.head) - u32::from(part.tail);
            if !head.is_empty() {
                pieces.push(Piece::Bytes(head));
            }
            if hole > 0 {
                pieces.push(Piece::Hole(hole));
            }
            if !tail.is_empty() {
                pieces.push(Piece::Bytes(tail));
            }
            parts = rest;
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;

    /// Index of the word of a record that holds its kind and its number of parts.
    const PARTS: usize = core::mem::offset_of!(Header, kind) / 8;

    /// A ring record, aligned as the ring aligns it.
    struct Ring(Vec<u64>);

    impl Ring {
        fn record(kind: u32, length: u32, parts: &[(u32, &[u8], &[u8])]) -> Self {
            let header = Header {
                time: 1,
                arrival: 0,
                cookie: 2,
                offset: 3,
                length,
                call_length: length,
                kind,
                parts: u32::try_from(parts.len()).unwrap(),
                call: 4,
                lost: 0,
            };
            let mut bytes = header.as_bytes().to_vec();
            for (length, head, tail) in parts {
                let (head_length, tail_length) = (
                    head.len().try_into().unwrap(),
                    tail.len().try_into().unwrap(),
                );
                bytes.extend(
                    Part {
                        length: *length,
                        head: head_length,
                        tail: tail_length,
                    }
                    .as_bytes(),
                );
                bytes.extend([*head, *tail].concat());
                bytes.resize(bytes.len().next_multiple_of(8), 0xff);
            }
            Self::from_bytes(&bytes)
        }

        fn from_bytes(bytes: &[u8]) -> Self {
            Self(
                bytes
                    .chunks_exact(8)
                    .map(|word| u64::from_ne_bytes(word.try_into().unwrap()))
                    .collect(),
            )
        }

        fn bytes(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }

    fn pieces(ring: &Ring) -> Vec<Piece<'_>> {
        match Record::parse(ring.bytes()) {
            Some(Record::Bytes { pieces, .. }) => pieces.collect().into_vec(),
            other => panic!("not bytes: {other:?}"),
        }
    }

    #[test]
    fn parts_become_their_heads_holes_and_tails() {
        let ring = Ring::record(
            kind::RESPONSE,
            1138,
            &[
                (13, b"VALUE k 0 9\r\n", b""),
                (100, b"", b""),
                (1020, b"head", b"\r\n"),
                (5, b"END\r\n", b""),
            ],
        );
        assert_eq!(
            pieces(&ring),
            [
                Piece::Bytes(b"VALUE k 0 9\r\n"),
                Piece::Hole(100),
                Piece::Bytes(b"head"),
                Piece::Hole(1014),
                Piece::Bytes(b"\r\n"),
                Piece::Bytes(b"END\r\n"),
            ]
        );
    }

    #[test]
    fn a_record_says_which_way_its_bytes_went() {
        for (kind, expected) in [
            (kind::REQUEST, Direction::Request),
            (kind::REQUEST_FILLED, Direction::Request),
            (kind::RESPONSE, Direction::Response),
        ] {
            let ring = Ring::record(kind, 2, &[(2, b"ok", b"")]);
            let Some(Record::Bytes {
                direction, header, ..
            }) = Record::parse(ring.bytes())
            else {
                panic!("{kind}")
            };
            assert_eq!((direction, header.offset, header.call), (expected, 3, 4));
        }
    }

    #[test]
    fn records_that_break_a_rule_are_refused() {
        let part =
            |length, head: &'static [u8]| Ring::record(kind::REQUEST, 3, &[(length, head, b"")]);
        let mut short = part(3, b"get");
        short.0.pop();
        let mut counts_more = part(3, b"get");
        counts_more.0[PARTS] += 1 << 32;
        for (rule, ring) in [
            ("kinds are known", Ring::record(77, 0, &[])),
            ("kept bytes are part of the true length", part(2, b"get")),
            ("the header's length is the parts' sum", part(4, b"get")),
            ("kept bytes are all there", short),
            ("parts are all there", counts_more),
            (
                "a socket's record has its addresses",
                Ring::record(kind::SOCKET, 0, &[]),
            ),
            (
                "a closed socket's record says where it ended",
                Ring::record(kind::CLOSE, 0, &[]),
            ),
            ("a header is all there", Ring(vec![0; 5])),
        ] {
            assert!(Record::parse(ring.bytes()).is_none(), "{rule}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(words: Vec<u64>, kind in 0_u32..7, parts in 0_u32..9) {
            let mut words = words;
            if let Some(word) = words.get_mut(PARTS) {
                *word = u64::from(kind) | u64::from(parts) << 32;
            }
            if let Some(Record::Bytes { pieces, header, .. }) = Record::parse(words.as_bytes()) {
                assert_eq!(pieces.collect().iter().map(Piece::length).sum::<u64>(), u64::from(header.length));
            }
        }
    }
}
