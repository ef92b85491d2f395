//! Segments of synthetic traffic → events decoded per second of CPU time: `cargo bench --bench decode`.
//!
//! Budgets for one core: 5 M events/s, and 4 GB/s over values.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(
    clippy::cast_precision_loss,
    reason = "figures for people; counts are far below 2^52"
)]

use std::fmt::Write;
use std::time::Duration;

use membench_decode::privacy::KeyHasher;
use membench_decode::{Decoder, Responses};
use membench_event::{Direction, Piece, Segment};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(500);

/// One read of the server and the responses to it, repeated.
struct Workload {
    name: &'static str,
    request: Vec<u8>,
    responses: Vec<Vec<Piece<'static>>>,
    events: u64,
    value_bytes: u64,
}

fn main() {
    println!(
        "{:<34} {:>14} {:>10} {:>8}   median of {ROUNDS} rounds, min–max",
        "decode", "events/s", "ns/event", "GB/s"
    );
    for workload in [
        depth_one(),
        pipelined(),
        multi_get(),
        meta(),
        large_set(),
        large_get(),
    ] {
        let mut rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| round(&workload)).collect();
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (rate, bytes) = rounds[ROUNDS / 2];
        println!(
            "{:<34} {:>14.0} {:>10.1} {:>8.2}   {:.0}–{:.0}",
            workload.name,
            rate,
            1e9 / rate,
            bytes / 1e9,
            rounds[0].0,
            rounds[ROUNDS - 1].0
        );
    }
}

fn round(workload: &Workload) -> (f64, f64) {
    let mut decoder = Decoder::new(
        KeyHasher::random().expect("random bytes"),
        Responses::Bytes,
        0,
    );
    decoder.open(0, false);
    let (mut offsets, mut call, mut turns) = ([0, 0], 0, 0u64);
    let started = cpu_time();
    while cpu_time().saturating_sub(started) < ROUND {
        for _ in 0..100 {
            call += 1;
            push(
                &mut decoder,
                &mut offsets,
                Direction::Request,
                call,
                &[Piece::Bytes(&workload.request)],
            );
            for pieces in &workload.responses {
                push(
                    &mut decoder,
                    &mut offsets,
                    Direction::Response,
                    call,
                    pieces,
                );
            }
            turns += 1;
            assert_eq!(decoder.events().len() as u64, workload.events);
            decoder.clear_events();
        }
    }
    let seconds = cpu_time().saturating_sub(started).as_secs_f64();
    let totals = decoder.totals(0).expect("an open connection");
    assert_eq!(totals.unpaired + totals.unmatched, 0);
    (
        (turns * workload.events) as f64 / seconds,
        (turns * workload.value_bytes) as f64 / seconds,
    )
}

/// CPU time of this thread, which other work on the machine barely affects.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

fn push(
    decoder: &mut Decoder,
    offsets: &mut [u64; 2],
    direction: Direction,
    call: u32,
    pieces: &[Piece<'_>],
) {
    let offset = offsets[direction as usize];
    let segment = Segment {
        connection: 0,
        direction,
        offset,
        time: u64::from(call),
        arrival: None,
        filled: false,
        call,
        pieces,
    };
    offsets[direction as usize] += segment.length();
    decoder.push(&segment, false);
}

fn key(number: usize) -> String {
    format!("user:profile:session:{number:09}")
}

fn hit(number: usize) -> Vec<Piece<'static>> {
    let line = format!("VALUE {} 0 100\r\n", key(number))
        .into_bytes()
        .leak();
    vec![
        Piece::Bytes(line),
        Piece::Hole(102),
        Piece::Bytes(b"END\r\n"),
    ]
}

fn depth_one() -> Workload {
    let request = format!("get {}\r\n", key(1)).into_bytes();
    Workload {
        name: "get hits, depth 1",
        request,
        responses: vec![hit(1)],
        events: 1,
        value_bytes: 0,
    }
}

fn pipelined() -> Workload {
    let mut request = String::new();
    for number in 0..32 {
        write!(request, "get {}\r\n", key(number)).expect("a String takes any text");
    }
    let request = request.into_bytes();
    let responses = (0..32).map(hit).collect();
    Workload {
        name: "get hits, pipeline 32",
        request,
        responses,
        events: 32,
        value_bytes: 0,
    }
}

fn multi_get() -> Workload {
    let keys: Vec<String> = (0..100).map(key).collect();
    let request = format!("get {}\r\n", keys.join(" ")).into_bytes();
    let mut pieces: Vec<Piece<'static>> = (0..100)
        .flat_map(|number| hit(number).into_iter().take(2))
        .collect();
    pieces.push(Piece::Bytes(b"END\r\n"));
    Workload {
        name: "multi-gets of 100 hits",
        request,
        responses: vec![pieces],
        events: 100,
        value_bytes: 0,
    }
}

fn meta() -> Workload {
    let mut request = String::new();
    for number in 0..32 {
        write!(request, "mg {} s v q k O{number}\r\n", key(number))
            .expect("a String takes any text");
    }
    request.push_str("mn\r\n");
    let mut responses: Vec<Vec<Piece<'static>>> = (0..32)
        .map(|number| {
            let line = format!("VA 100 s100 k{} O{number}\r\n", key(number))
                .into_bytes()
                .leak();
            vec![Piece::Bytes(line), Piece::Hole(102)]
        })
        .collect();
    responses.push(vec![Piece::Bytes(b"MN\r\n")]);
    Workload {
        name: "meta gets, quiet, pipeline 32",
        request: request.into_bytes(),
        responses,
        events: 33,
        value_bytes: 0,
    }
}

fn large_set() -> Workload {
    let mut request = format!("set {} 0 0 10000\r\n", key(1)).into_bytes();
    request.resize(request.len() + 10_000, b'x');
    request.extend_from_slice(b"\r\n");
    Workload {
        name: "sets of 10 kB, whole",
        request,
        responses: vec![vec![Piece::Bytes(b"STORED\r\n")]],
        events: 1,
        value_bytes: 10_000,
    }
}

fn large_get() -> Workload {
    let line = format!("VALUE {} 0 10000\r\n", key(1)).into_bytes();
    let mut response = line;
    response.resize(response.len() + 10_000, b'x');
    response.extend_from_slice(b"\r\nEND\r\n");
    Workload {
        name: "gets of 10 kB, whole",
        request: format!("get {}\r\n", key(1)).into_bytes(),
        responses: vec![vec![Piece::Bytes(response.leak())]],
        events: 1,
        value_bytes: 10_000,
    }
}
