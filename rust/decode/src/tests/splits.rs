//! Properties: streams split anywhere, and arbitrary bytes.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const REQUESTS: &[u8] = b"get a bb\r\nset a 7 0 3\r\nx\ny\r\nmg bb v k q O9\r\nmn\r\ngets a\r\n\
    cas a 0 0 1 55\r\nq\r\nset n 0 0 2 noreply\r\n10\r\nincr n 5\r\nstats\r\nbad\r\ndelete bb\r\n";
const RESPONSES: &[u8] = b"VALUE bb 0 2\r\nhi\r\nEND\r\nSTORED\r\nVA 2 kbb O9\r\nhi\r\nMN\r\n\
    VALUE a 7 3 55\r\nx\ny\r\nEND\r\nSTORED\r\n15\r\nSTAT a 1\r\nSTAT b 2\r\nEND\r\nERROR\r\nDELETED\r\n";

/// Requests, responses and the number of their events, for lines and for the binary protocol.
fn streams() -> [(Vec<u8>, Vec<u8>, usize); 2] {
    let (requests, responses) = binary::pipeline();
    [
        (REQUESTS.into(), RESPONSES.into(), 12),
        (requests, responses, 8),
    ]
}

/// Splits a stream at the given places.
fn cut<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect()
}

proptest! {
    #[test]
    fn any_split_of_the_streams_gives_the_same_outcomes(
        request_cuts in prop::collection::vec(any::<Index>(), 0..6),
        response_cuts in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        for (requests, responses, count) in streams() {
            let whole = outcomes(&exchange().reads(&requests).sends(&responses).end().0);
            prop_assert_eq!(whole.len(), count);
            prop_assert!(whole.iter().all(|(_, outcome)| outcome.is_some()));
            let mut split = exchange();
            split.call += 1;
            for piece in cut(&requests, &request_cuts) {
                split.push_in_call(Request, &[Piece::Bytes(piece)]);
            }
            for piece in cut(&responses, &response_cuts) {
                split.push(Response, &[Piece::Bytes(piece)]);
            }
            let (events, totals) = split.end();
            prop_assert_eq!(outcomes(&events), whole);
            prop_assert_eq!(totals.unpaired + totals.unmatched, 0);
        }
    }

    #[test]
    fn no_bytes_panic_and_every_byte_is_accounted_for(
        steps in prop::collection::vec(
            (any::<bool>(), 0u32..3, prop::collection::vec(any::<u8>(), 0..40), any::<Index>(), any::<Index>()), 0..20),
        mid_stream in any::<bool>(),
    ) {
        for (requests, responses, _) in streams() {
            let mut exchange = Exchange::new(Responses::Bytes, mid_stream);
            for (request, kind, noise, from, to) in &steps {
                let direction = if *request { Request } else { Response };
                let stream = if *request { &requests } else { &responses };
                let (from, to) = (from.index(stream.len()), to.index(stream.len()));
                let bytes = [&stream[from.min(to)..from.max(to)], noise].concat();
                let hole = u32::try_from(noise.len()).unwrap();
                match kind {
                    0 => exchange.push(direction, &[Piece::Bytes(&bytes)]),
                    1 => exchange.push(direction, &[Piece::Bytes(&bytes), Piece::Hole(hole)]),
                    _ => exchange.loses(direction, noise.len() as u64),
                };
            }
            exchange.end();
        }
    }
}
