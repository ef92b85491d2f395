//! A record of the ring that holds a packet → the packet, as every packet source hands it over.
//!
//! The payload of a super-packet (GRO, TSO) is split over several records. Each becomes the segment that the network would
//! have carried: the same headers, with the sequence number of its own first byte.

use membench_common::{Packet as Head, way};
use membench_decode::packet::{Link, Packet, Way};
use zerocopy::FromBytes;

/// Offset of the flags in a TCP header.
const FLAGS: usize = 13;
/// Offset of the sequence number in a TCP header.
const SEQUENCE: usize = 4;
const FIN: u8 = 1;
const SYN: u8 = 2;

/// A packet without its bytes, which are kept elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    time: u64,
    length: u32,
    way: Option<Way>,
}

impl Frame {
    /// Reads a record and stores its bytes in `room`; `None` if it breaks a rule of `membench_common`.
    pub(crate) fn read(record: &[u8], room: &mut Vec<u8>) -> Option<Self> {
        let (head, rest) = Head::read_from_prefix(record).ok()?;
        let captured = usize::from(head.headers) + usize::try_from(head.kept).ok()?;
        room.clear();
        room.extend_from_slice(rest.get(..captured)?);
        let mut length = head.length;
        if head.windows != 0 {
            make_segment(&head, room)?;
            length = u32::try_from(captured).ok()?;
        }
        let way = match head.way {
            way::IN => Some(Way::Received),
            way::OUT => Some(Way::Sent),
            _ => None,
        };
        Some(Self {
            time: head.time,
            length,
            way,
        })
    }

    /// Joins the packet with the bytes that [`read`](Self::read) stored.
    pub(crate) fn packet(self, link: Link, bytes: &[u8]) -> Packet<'_> {
        let Self { time, length, way } = self;
        Packet {
            time,
            link,
            bytes,
            length,
            way,
        }
    }
}

/// Changes the headers to those of this window alone.
fn make_segment(head: &Head, bytes: &mut [u8]) -> Option<()> {
    let network = bytes.get_mut(usize::from(head.network)..)?;
    let length = match network.first()? >> 4 {
        4 => 2..4,
        6 => 4..6,
        _ => return None,
    };
    // Length 0: the segment ends where the captured bytes do.
    network.get_mut(length)?.fill(0);
    let tcp = bytes.get_mut(usize::from(head.transport)..)?;
    let is_last =
        head.offset.saturating_add(head.kept) >= head.length.saturating_sub(head.headers.into());
    let flags = tcp.get_mut(FLAGS)?;
    let has_syn = *flags & SYN != 0;
    if !is_last {
        *flags &= !FIN;
    }
    if head.offset > 0 {
        *flags &= !SYN;
        let sequence: &mut [u8; 4] = tcp.get_mut(SEQUENCE..)?.first_chunk_mut()?;
        let first = u32::from_be_bytes(*sequence).wrapping_add(head.offset);
        *sequence = first.wrapping_add(has_syn.into()).to_be_bytes();
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use membench_decode::packet::testing::{self, MS, Plain};
    use membench_decode::packet::{Flows, Limits};
    use membench_event::Direction;
    use zerocopy::IntoBytes;

    use super::*;

    const ETHERNET: usize = 14;
    const HEADERS: usize = 54;

    /// Cuts a packet into windows of this length, each in a record.
    fn records(frame: &[u8], window: usize) -> Vec<Vec<u8>> {
        let (headers, payload) = frame.split_at(HEADERS);
        let record = |(at, part): (usize, &[u8])| {
            let head = Head {
                time: MS,
                length: frame.len().try_into().unwrap(),
                offset: (at * window).try_into().unwrap(),
                kept: part.len().try_into().unwrap(),
                headers: HEADERS.try_into().unwrap(),
                network: ETHERNET.try_into().unwrap(),
                transport: 34,
                way: way::IN,
                windows: (payload.len() > window).into(),
            };
            [head.as_bytes(), headers, part].concat()
        };
        payload.chunks(window).enumerate().map(record).collect()
    }

    fn found(records: &[Vec<u8>]) -> Vec<Plain> {
        let (mut room, mut found) = (Vec::new(), Vec::new());
        let mut flows = Flows::new(&[testing::PORT], Limits::default());
        for record in records {
            let frame = Frame::read(record, &mut room).unwrap();
            let packet = frame.packet(Link::Ethernet, &room);
            assert_eq!(packet.way, Some(Way::Received));
            flows.take(&packet, &mut |one| found.push(Plain::from_found(&one)));
        }
        // Without a handshake, earlier bytes are waited for.
        flows.finish(&mut |one| found.push(Plain::from_found(&one)));
        assert_eq!(flows.unfollowed().unreadable, 0);
        found
    }

    fn bytes(found: &[Plain]) -> Vec<u8> {
        let bytes = found.iter().filter_map(|one| match one {
            Plain::Bytes(Direction::Request, _, bytes, 0) => Some(bytes.clone()),
            _ => None,
        });
        bytes.flatten().collect()
    }

    #[test]
    fn windows_of_a_super_packet_are_its_payload_in_order() {
        let payload: Vec<u8> = (0..=255).cycle().take(40_000).collect();
        let frame = testing::request(MS, u32::MAX - 9_000, 1, &payload).frame();
        for window in [40_000, 39_999, 16_384, 1_000] {
            assert_eq!(bytes(&found(&records(&frame, window))), payload, "{window}");
        }
    }

    #[test]
    fn a_window_that_was_dropped_is_missing_and_nothing_else() {
        let payload = [b'x'; 3_000];
        let frame = testing::request(MS, 7, 1, &payload).frame();
        let mut records = records(&frame, 1_000);
        records.remove(1);
        assert_eq!(bytes(&found(&records)).len(), 2_000);
    }

    #[test]
    fn only_the_last_window_ends_the_direction() {
        let frame = testing::request(MS, 7, 1, &[b'x'; 3_000]).with("F").frame();
        let records = records(&frame, 1_000);
        let ended = |found: &[Plain]| found.contains(&Plain::Ended(Direction::Request));
        assert!(!ended(&found(&records[..2])));
        assert!(ended(&found(&records)));
    }

    #[test]
    fn records_that_break_a_rule_are_refused() {
        let frame = testing::request(MS, 7, 1, &[b'x'; 300]).frame();
        let whole = records(&frame, 100).remove(1);
        let mut room = Vec::new();
        for cut in 0..whole.len() {
            assert!(Frame::read(&whole[..cut], &mut room).is_none(), "{cut}");
        }
        assert!(Frame::read(&whole, &mut room).is_some());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_reading_panic(record: Vec<u8>) {
            Frame::read(&record, &mut Vec::new());
        }
    }
}
