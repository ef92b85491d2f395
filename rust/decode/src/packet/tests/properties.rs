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

    /// No bytes make a packet that panics.
    #[test]
    fn arbitrary_bytes_do_not_panic(
        link in 0_u32..300,
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        length in any::<u32>(),
    ) {
        if let Some(link) = Link::from_number(link) {
            let mut flows = Flows::new(&[0, 1, 2, 3, PORT], Limits::default());
            flows.take(&Packet { time: 0, link, bytes: &bytes, length, way: None }, &mut |_| {});
        }
    }
}
