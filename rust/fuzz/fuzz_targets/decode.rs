//! Arbitrary calls of a server, with bytes lost or not kept → every byte is in one term of the ledger.
#![no_main]

use libfuzzer_sys::fuzz_target;
use membench_decode::privacy::KeyHasher;
use membench_decode::{Decoder, Responses};
use membench_event::{Direction, Piece, Segment};
use membench_fuzz::close;

const STREAM: u32 = 0;
const DATAGRAMS: u32 = 1;

/// Options of the decoder, and calls, each with its kind, the number of bytes lost or not kept, and the kept bytes.
type Input<'a> = (u8, Vec<(u8, u16, &'a [u8])>);

fn decoder(how: u8) -> Option<Decoder> {
    let responses = [Responses::Bytes, Responses::Lengths, Responses::None][usize::from(how % 3)];
    let mut decoder = Decoder::new(KeyHasher::random().ok()?, responses, 1 << 60);
    decoder = decoder.client_side(how & 4 != 0);
    match how & 8 {
        0 => decoder.open(STREAM, how & 16 != 0),
        _ => decoder.open_without_reads(STREAM, how & 16 != 0),
    }
    decoder.open_datagrams(DATAGRAMS, 0);
    if how & 32 != 0 {
        decoder.learn_version(0, "1.6.18");
    }
    Some(decoder)
}

fuzz_target!(|input: Input<'_>| {
    let (how, calls) = input;
    let Some(mut decoder) = decoder(how) else {
        return;
    };
    let mut ends = [0_u64; 2];
    for (call, (kind, lost, bytes)) in calls.iter().enumerate() {
        let (direction, end) = match kind & 1 {
            0 => (Direction::Request, &mut ends[0]),
            _ => (Direction::Response, &mut ends[1]),
        };
        let (kept, rest) = bytes.split_at(bytes.len() / 2);
        let hole = Piece::Hole(u32::from(*lost));
        let pieces: &[Piece<'_>] = match kind >> 1 & 3 {
            0 | 1 => &[Piece::Bytes(bytes)],
            2 => &[Piece::Bytes(kept), hole, Piece::Bytes(rest)],
            _ => {
                *end += u64::from(*lost);
                &[Piece::Bytes(bytes)]
            }
        };
        let mut segment = Segment {
            connection: STREAM,
            direction,
            offset: *end,
            time: call as u64 * 1000,
            arrival: None,
            filled: kind & 8 != 0,
            call: call as u32,
            pieces,
        };
        if kind & 16 == 0 {
            *end += segment.length();
            decoder.push(&segment, kind & 32 != 0);
        } else {
            segment.connection = DATAGRAMS;
            decoder.push_datagram(&segment);
        }
        if kind & 64 != 0 {
            decoder.expect_barrier(STREAM);
        }
        decoder.clear_events();
    }
    decoder.lose_tail(STREAM, Direction::Request, ends[0] + u64::from(how));
    close(&mut decoder, STREAM);
    close(&mut decoder, DATAGRAMS);
});
