//! Cost and precision of replay against a real memcached: `cargo bench --bench replay [cost|lag|freeze]`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for people, run by hand"
)]

mod floor;

use std::net::SocketAddr;
use std::process::{Child, Command as Process};
use std::thread;
use std::time::{Duration, Instant};

use membench_event::{Command, Event, OptionsTable, Outcome};
use membench_replay::bench::{self, Block, Kind, Marks, Operation};
use membench_replay::{Options, Pacing, Progress, Report, in_memory, run_recording};
use rustix::process::{Pid, Signal, kill_process};

const ROUNDS: usize = 7;
const KEYS: u64 = 10_000;
const KEY_SIZE: u8 = 20;
const VALUE_SIZE: u32 = 100;
const BLOCK: usize = 1024;
const SECOND: u64 = 1_000_000_000;

/// Closed-loop load, which both the floor and a shard of replay run.
pub struct Load {
    connections: usize,
    /// Requests sent together on a connection, once the answers to all earlier ones are there.
    depth: usize,
    /// Requests on all connections together.
    requests: usize,
}

struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(port: u16) -> Self {
        let port_text = port.to_string();
        let process = Process::new("taskset")
            .args([
                "-c",
                "0",
                "memcached",
                "-u",
                "root",
                "-U",
                "0",
                "-t",
                "1",
                "-m",
                "256",
            ])
            .args(["-l", "127.0.0.1", "-p", &port_text])
            .spawn()
            .expect("taskset and memcached are installed");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "memcached did not start");
            thread::yield_now();
        }
        Self { process, address }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    let server = Server::start(21_390);
    if runs("cost") {
        cost(&server);
    }
    if runs("lag") {
        lag(&server);
    }
    if runs("freeze") {
        freeze(&server);
    }
}

/// Prints the generator's CPU time per request beside that of the floor, from alternating rounds.
fn cost(server: &Server) {
    println!(
        "generator CPU per request, ns: median of {ROUNDS} alternating rounds; ratio to the floor of the same round"
    );
    let loads = [
        Load {
            connections: 10,
            depth: 1,
            requests: 60_000,
        },
        Load {
            connections: 10,
            depth: 32,
            requests: 320_000,
        },
    ];
    let lines = lines();
    thread::scope(|scope| {
        scope.spawn(|| {
            bench::for_shards(1)
                .into_iter()
                .flatten()
                .for_each(bench::pin);
            shard(
                server.address,
                &Load {
                    connections: 10,
                    depth: 32,
                    requests: 20_000,
                },
                false,
            );
            for load in &loads {
                let mut rounds = Vec::new();
                for _ in 0..ROUNDS {
                    let floor = floor::run(server.address, load, &lines).unwrap();
                    let bare = shard(server.address, load, false);
                    let stamped = shard(server.address, load, true);
                    rounds.push([floor, bare, stamped]);
                }
                print_cost(load, &rounds);
            }
        });
    });
}

fn print_cost(load: &Load, rounds: &[[f64; 3]]) {
    let column = |pick: fn(&[f64; 3]) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        (
            values[values.len() / 2],
            values[0],
            values[values.len() - 1],
        )
    };
    let (floor, ..) = column(|round| round[0]);
    let (bare, ..) = column(|round| round[1]);
    let (stamped, ..) = column(|round| round[2]);
    let (ratio, low, high) = column(|round| round[1] / round[0]);
    let (stamps, stamps_low, stamps_high) = column(|round| round[2] / round[0]);
    println!("{} connections, depth {}", load.connections, load.depth);
    println!("  floor                      {floor:7.0}");
    println!(
        "  replay                     {bare:7.0}   {ratio:.3} [{low:.3}-{high:.3}]   budget 1.05"
    );
    println!(
        "  replay with receive stamps {stamped:7.0}   {stamps:.3} [{stamps_low:.3}-{stamps_high:.3}]"
    );
}

/// Runs the load through a shard of replay; returns the CPU time of the thread per request, ns.
fn shard(target: SocketAddr, load: &Load, stamped: bool) -> f64 {
    let cost = bench::closed_loop(target, blocks(load), load.depth, stamped).unwrap();
    assert_eq!(cost.answered, load.requests as u64);
    ratio(cost.cpu, cost.answered)
}

/// True for one request in eleven, which is a set; the others are gets.
fn is_set(index: usize) -> bool {
    index.is_multiple_of(11)
}

fn operation(index: usize, connection: usize) -> Operation {
    let mut marks = Marks::default();
    marks.set(Marks::VALUE, is_set(index));
    Operation {
        key: index as u64 % KEYS,
        key_size: KEY_SIZE,
        value_size: VALUE_SIZE,
        command: if is_set(index) {
            Command::Set
        } else {
            Command::Get
        },
        marks,
        ..Operation::new(Kind::Request, u32::try_from(connection).unwrap(), 0)
    }
}

fn blocks(load: &Load) -> Vec<Block> {
    let batches = load.requests / load.depth;
    let mut blocks = vec![Block::new()];
    for batch in 0..batches {
        if blocks.last().is_some_and(|block| block.len() >= BLOCK) {
            blocks.push(Block::with_capacity(BLOCK + load.depth));
        }
        let block = blocks.last_mut().unwrap();
        for place in 0..load.depth {
            let mut operation = operation(batch * load.depth + place, batch % load.connections);
            operation
                .marks
                .set(Marks::BATCH_CONTINUES, place + 1 < load.depth);
            block.push(operation);
        }
    }
    blocks
}

/// Returns the requests of a load as bytes, for the floor.
fn lines() -> Vec<Vec<u8>> {
    let count = usize::try_from(KEYS).unwrap() * 11;
    bench::encode((0..count).map(|index| operation(index, 0)))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn ratio(amount: u64, count: u64) -> f64 {
    amount as f64 / count.max(1) as f64
}

/// Makes a recording of 10,000 gets a second at equal distances, over ten connections.
fn constant(seconds: u64) -> Vec<Event> {
    let period = SECOND / 10_000;
    (0..10_000 * seconds)
        .map(|index| {
            let request = u32::try_from(index / 10).unwrap();
            Event {
                time: index * period,
                connection: u32::try_from(index % 10).unwrap(),
                batch: request,
                request,
                key: Some(index % KEYS),
                key_size: Some(KEY_SIZE),
                outcome: Some(Outcome::Hit),
                ..Event::new(Command::Get)
            }
        })
        .collect()
}

fn replay(server: &Server, seconds: u64, pacing: Pacing) -> Report {
    let recording = in_memory(constant(seconds), OptionsTable::default(), Vec::new());
    let options = Options {
        pacing,
        allow_nonempty: true,
        ..Options::default()
    };
    run_recording(
        &recording,
        &server.address.to_string(),
        &options,
        &mut |_: &Progress| true,
    )
    .unwrap()
}

/// Prints lag and response times at 10,000 requests a second.
fn lag(server: &Server) {
    let report = replay(server, 5, Pacing::Recorded);
    let lag = report.lag_ns.overall;
    println!("10,000/s over 10 connections, 5 s");
    println!(
        "  lag p50 {} ns, p99 {} ns, max {} ns   budget 1,000 and 50,000   guard {} ns, {:.2} CPUs",
        lag.p50, lag.p99, lag.max, report.generator.guard_ns, report.generator.cpu_share
    );
    let (wire, client) = (report.wire_ns.overall, report.client_ns.overall);
    println!(
        "  response p50 {} ns, service {}: wire {}, client {}",
        report.response_ns.overall.p50, report.service_ns.overall.p50, wire.p50, client.p50
    );
}

/// Prints response times against a server that is stopped for 100 ms of each second. An open loop then has its 95th
/// percentile at 50 ms and its 99th at 90 ms, in every open-loop pacing.
fn freeze(server: &Server) {
    println!("10,000/s for 10 s, with the server stopped for 100 ms of each second");
    for pacing in [
        "recorded",
        "speed=1.25",
        "rate=10000/s",
        "poisson=10000/s",
        "ramp=5000..15000/10s",
    ] {
        freeze_in(server, pacing);
    }
}

fn freeze_in(server: &Server, pacing: &str) {
    let report = thread::scope(|scope| {
        let replay = scope.spawn(|| replay(server, 10, Pacing::parse(pacing).unwrap()));
        let start = Instant::now();
        for second in 0..10 {
            let stop = start + Duration::from_millis(second * 1000 + 500);
            thread::sleep(stop.saturating_duration_since(Instant::now()));
            server.signal(Signal::STOP);
            thread::sleep(
                (stop + Duration::from_millis(100)).saturating_duration_since(Instant::now()),
            );
            server.signal(Signal::CONT);
        }
        replay.join().unwrap()
    });
    let response = report.response_ns.overall;
    println!(
        "  {pacing:<20} sent {} of {}, p95 {:.1} ms (50), p99 {:.1} ms (90), lag p99 {} ns",
        report.sent,
        report.planned,
        ratio(response.p95, 1_000_000),
        ratio(response.p99, 1_000_000),
        report.lag_ns.overall.p99
    );
}
