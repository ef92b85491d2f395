//! Streams cut anywhere, and any bytes at all.

use proptest::prelude::*;

use super::*;

const REQUESTS: &[u8] = b"get a bb\r\nset a 7 0 3\r\nx\ny\r\nmg bb v k q O9\r\nmn\r\ngets a\r\n\
    cas a 0 0 1 55\r\nq\r\nset n 0 0 2 noreply\r\n10\r\nincr n 5\r\nstats\r\nbad\r\ndelete bb\r\n";
const RESPONSES: &[u8] = b"VALUE bb 0 2\r\nhi\r\nEND\r\nSTORED\r\nVA 2 kbb O9\r\nhi\r\nMN\r\n\
    VALUE a 7 3 55\r\nx\ny\r\nEND\r\nSTORED\r\n15\r\nSTAT a 1\r\nSTAT b 2\r\nEND\r\nERROR\r\nDELETED\r\n";

proptest! {
    #[test]
    fn any_split_of_the_streams_gives_the_same_outcomes(
        mut request_cuts in prop::collection::vec(0..=REQUESTS.len(), 0..6),
        mut response_cuts in prop::collection::vec(0..=RESPONSES.len(), 0..6),
    ) {
        let whole = outcomes(&exchange().reads(REQUESTS).sends(RESPONSES).end().0);
        prop_assert_eq!(whole.len(), 12);
        prop_assert!(whole.iter().all(|(_, outcome)| outcome.is_some()));
        request_cuts.extend([0, REQUESTS.len()]);
        response_cuts.extend([0, RESPONSES.len()]);
        request_cuts.sort_unstable();
        response_cuts.sort_unstable();
        let mut split = exchange();
        split.call += 1;
        for cut in request_cuts.windows(2) {
            split.push_in_call(Request, &[Piece::Bytes(&REQUESTS[cut[0]..cut[1]])]);
        }
        for cut in response_cuts.windows(2) {
            split.push(Response, &[Piece::Bytes(&RESPONSES[cut[0]..cut[1]])]);
        }
        let (events, totals) = split.end();
        prop_assert_eq!(outcomes(&events), whole);
        prop_assert_eq!(totals.unpaired + totals.unmatched, 0);
    }

    #[test]
    fn no_bytes_panic_and_every_byte_is_accounted_for(
        steps in prop::collection::vec(
            (any::<bool>(), 0u32..3, prop::collection::vec(any::<u8>(), 0..40), 0usize..8), 0..20),
        mid_stream in any::<bool>(),
    ) {
        let mut exchange = Exchange::new(Responses::Bytes, mid_stream);
        for (request, kind, noise, known) in &steps {
            let direction = if *request { Request } else { Response };
            let stream = if *request { REQUESTS } else { RESPONSES };
            let bytes = [&stream[known * 4..known * 8], noise].concat();
            match kind {
                0 => exchange.push(direction, &[Piece::Bytes(&bytes)]),
                1 => exchange.push(direction, &[Piece::Bytes(&bytes), Piece::Hole(u32::try_from(noise.len()).unwrap())]),
                _ => exchange.loses(direction, noise.len() as u64),
            };
        }
        exchange.end();
    }
}
