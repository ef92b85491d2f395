//! Segments of synthetic traffic → events decoded per second of CPU time: `cargo bench --bench decode`.
//!
//! Budgets for one core: 5 M events/s, and 4 GB/s over values.
//!
//! With `-- instructions`, prints the instructions that an event takes, counted by valgrind. That figure does not depend
//! on what else the machine does.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(
    clippy::cast_precision_loss,
    reason = "figures for people; counts are far below 2^52"
)]

use std::env;
use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use membench_decode::privacy::KeyHasher;
use membench_decode::{Decoder, Responses};
use membench_event::{Direction, Piece, Segment};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(500);
/// Turns of the shorter of two counted runs. The longer one has twice as many, so the difference holds no start.
const COUNTED_TURNS: u64 = 500;

/// One read of the server and the responses to it, repeated.
struct Workload {
    name: &'static str,
    request: Vec<u8>,
    responses: Vec<Vec<Piece<'static>>>,
    events: u64,
    value_bytes: u64,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["turns", workload, turns] => {
            let workload: usize = workload.parse().expect("the number of a workload");
            let turns = turns.parse().expect("a number of turns");
            Run::new().turns(&workloads()[workload], turns);
        }
        ["instructions", ..] => print_instructions(),
        _ => print_rates(),
    }
}

fn workloads() -> [Workload; 6] {
    [
        depth_one(),
        pipelined(),
        multi_get(),
        meta(),
        large_set(),
        large_get(),
    ]
}

fn print_rates() {
    println!(
        "{:<34} {:>14} {:>10} {:>8}   median of {ROUNDS} rounds, min–max",
        "decode", "events/s", "ns/event", "GB/s"
    );
    for workload in workloads() {
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

fn print_instructions() {
    println!("{:<34} {:>19}", "decode", "instructions/event");
    for (number, workload) in workloads().iter().enumerate() {
        let turns = COUNTED_TURNS;
        let counted = instructions(number, 2 * turns) - instructions(number, turns);
        let events = turns * workload.events;
        println!(
            "{:<34} {:>19.1}",
            workload.name,
            counted as f64 / events as f64
        );
    }
}

/// Runs turns of a workload in a process of their own and returns the number of its instructions.
fn instructions(workload: usize, turns: u64) -> u64 {
    let run = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no"])
        .arg("--cachegrind-out-file=/dev/null")
        .arg(env::current_exe().expect("the path of this program"))
        .args(["turns", &workload.to_string(), &turns.to_string()])
        .output()
        .expect("valgrind is installed");
    let report = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{report}");
    let (_, count) = report.split_once("refs:").expect("a count");
    let digits = count.lines().next().unwrap_or_default().replace(',', "");
    digits.trim().parse().expect("a number")
}

fn round(workload: &Workload) -> (f64, f64) {
    let mut run = Run::new();
    let mut turns = 0;
    let started = cpu_time();
    while cpu_time().saturating_sub(started) < ROUND {
        run.turns(workload, 100);
        turns += 100;
    }
    let seconds = cpu_time().saturating_sub(started).as_secs_f64();
    (
        (turns * workload.events) as f64 / seconds,
        (turns * workload.value_bytes) as f64 / seconds,
    )
}

/// A decoder with one connection, and how far that has come.
struct Run {
    decoder: Decoder,
    /// Ends of both directions, bytes.
    offsets: [u64; 2],
    call: u32,
}

impl Run {
    fn new() -> Self {
        let hasher = KeyHasher::random().expect("random bytes");
        let mut decoder = Decoder::new(hasher, Responses::Bytes, 0);
        decoder.open(0, false);
        Self {
            decoder,
            offsets: [0, 0],
            call: 0,
        }
    }

    /// Decodes a workload's read and the responses to it, `turns` times.
    fn turns(&mut self, workload: &Workload, turns: u64) {
        for _ in 0..turns {
            self.call += 1;
            self.push(Direction::Request, &[Piece::Bytes(&workload.request)]);
            for pieces in &workload.responses {
                self.push(Direction::Response, pieces);
            }
            assert_eq!(self.decoder.events().len() as u64, workload.events);
            self.decoder.clear_events();
        }
        let totals = self.decoder.totals(0).expect("an open connection");
        assert_eq!(totals.unpaired + totals.unmatched, 0);
    }

    fn push(&mut self, direction: Direction, pieces: &[Piece<'_>]) {
        let offset = self.offsets[direction as usize];
        let segment = Segment {
            connection: 0,
            direction,
            offset,
            time: u64::from(self.call),
            arrival: None,
            filled: false,
            call: self.call,
            pieces,
        };
        self.offsets[direction as usize] += segment.length();
        self.decoder.push(&segment, false);
    }
}

/// CPU time of this thread, which other work on the machine barely affects.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
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
