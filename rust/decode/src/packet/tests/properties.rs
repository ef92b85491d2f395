//! Properties: every order of a stream, and arbitrary bytes.

use proptest::prelude::*;

use super::*;

proptest! {
    /// Any order, repetition and segmentation of a stream gives its bytes once.
    #[test]
    fn a_stream_comes_out_whole(
        cuts in proptest::collection::vec(1_usize..400, 1..30),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
        start in any::<u32>(),
    ) {
        let total: usize = cuts.iter().sum();
        let stream: Vec<u8> = (0..total).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut at = 0;
        let mut pieces = Vec::new();
        for cut in cuts {
            pieces.push((at, at + cut));
            at += cut;
        }
        let mut sent: Vec<_> = order.iter().map(|index| *index.get(&pieces)).collect();
        sent.extend(pieces);
        let first = start.wrapping_add(1);
        let mut segments = vec![
            request(0, start, 0, b"").with("S").without_acknowledgement(),
            response(US, 500, first, b"").with("S"),
        ];
        for (number, (from, to)) in sent.into_iter().enumerate() {
            let sequence = first.wrapping_add(u32::try_from(from).unwrap());
            segments.push(request((number as u64 + 2) * US, sequence, 501, &stream[from..to]));
        }
        let mut streamed = Vec::new();
        for one in found(&segments) {
            if let Plain::Bytes(_, offset, bytes, hole) = one {
                prop_assert_eq!((offset, hole), (streamed.len() as u64, 0));
                streamed.extend(bytes);
            }
        }
        prop_assert_eq!(streamed, stream);
    }

    /// Packets captured up to 100 ms late lose nothing, from the first to the last.
    #[test]
    fn disorder_of_less_than_the_timeout_changes_nothing(
        exchanges in 1_u32..20,
        has_handshake: bool,
        gap in 1_u64..50,
        late in proptest::collection::vec(0..(100 * MS), 80),
    ) {
        let mut segments = if has_handshake { handshake() } else { Vec::new() };
        let (mut sent, mut answered) = (101, 501);
        for number in 0..exchanges {
            let time = (u64::from(number) * gap + 1) * MS;
            segments.push(request(time, sent, answered, b"get a\r\n"));
            sent += 7;
            segments.push(response(time + US, answered, sent, b"END\r\n"));
            answered += 5;
        }
        let end = u64::from(exchanges) * gap * MS + S;
        segments.push(request(end, sent, answered, b"").with("F"));
        segments.push(response(end + US, answered, sent + 1, b"").with("F"));
        segments.push(request(end + 2 * US, sent + 1, answered + 1, b""));
        let times = segments.iter().map(|segment| segment.time);
        let mut order: Vec<_> = times.zip(late.iter().cycle()).map(|(time, late)| time + late).enumerate().collect();
        order.sort_by_key(|(_, captured)| *captured);
        let shuffled: Vec<_> = order.into_iter().map(|(at, _)| segments[at].clone()).collect();
        let without_ends = |segments: &[Segment]| {
            let found = found_to_the_end(segments).into_iter();
            found.filter(|one| !matches!(one, Plain::Ended(_))).collect::<Vec<_>>()
        };
        prop_assert_eq!(without_ends(&shuffled), without_ends(&segments));
    }

    /// No change to an encapsulated packet makes it panic.
    #[test]
    fn spoiled_encapsulations_do_not_panic(
        layers in proptest::collection::vec(any::<prop::sample::Index>(), 1..6),
        spoiled in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = request(0, 101, 501, b"get a\r\n").frame();
        for layer in layers {
            let wrapped = crate::packet::testing::encapsulated(&bytes);
            bytes = layer.get(&wrapped).1.clone();
        }
        for (at, value) in spoiled {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let length = u32::try_from(bytes.len()).unwrap();
        bytes.truncate(cut.index(bytes.len()) + 1);
        let mut flows = Flows::following(Ports::Any, Limits::default());
        let packet = Packet { time: 0, link: Link::Ethernet, bytes: &bytes, length, way: None };
        flows.take(&packet, &mut |_| {});
        flows.finish(&mut |_| {});
    }

    /// No bytes make a packet that panics.
    #[test]
    fn arbitrary_bytes_do_not_panic(
        link in 0_u32..300,
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        length in any::<u32>(),
    ) {
        if let Some(link) = Link::from_number(link) {
            for ports in [Ports::Of(vec![0, 1, 2, 3, PORT]), Ports::Any] {
                let mut flows = Flows::following(ports, Limits::default());
                flows.take(&Packet { time: 0, link, bytes: &bytes, length, way: None }, &mut |_| {});
                flows.finish(&mut |_| {});
            }
        }
    }
}
