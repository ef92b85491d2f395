//! Cost of a capture to memcached: `cargo bench --bench kernel`, as root.
//!
//! Budgets, relative to the CPU time that tcpdump adds: a quarter without responses, a third with their lengths, a half
//! with their bytes.
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

mod server;

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use membench_bpf::{Info, RunStatistics};
use membench_capture::{Followed, Kernel, KernelOptions, counter};
use membench_decode::Responses;

use server::{Server, end, requests};

const ROUNDS: usize = 7;
const RING_BYTES: u32 = 8 << 20;
/// Operations between two visits to the ring.
const DRAIN_EVERY: usize = 1024;

/// The program that runs beside the server.
#[derive(Clone, Copy, PartialEq)]
enum Watcher {
    Nothing,
    OtherPort,
    Capture(Responses),
    Tcpdump,
}

const WATCHERS: [(&str, Watcher); 6] = [
    ("nothing", Watcher::Nothing),
    ("another port", Watcher::OtherPort),
    ("none", Watcher::Capture(Responses::None)),
    ("lengths", Watcher::Capture(Responses::Lengths)),
    ("bytes", Watcher::Capture(Responses::Bytes)),
    ("tcpdump", Watcher::Tcpdump),
];
const NOTHING: usize = 0;
const OTHER_PORT: usize = 1;
const TCPDUMP: usize = 5;

/// A load with a number of operations in flight on each connection. Nine in ten are gets that hit, one is a set.
struct Load {
    name: &'static str,
    connections: usize,
    depth: usize,
    operations: usize,
}

const LOADS: [Load; 2] = [
    Load {
        name: "depth 1",
        connections: 4,
        depth: 1,
        operations: 20_000,
    },
    Load {
        name: "pipeline 32",
        connections: 1,
        depth: 32,
        operations: 81_920,
    },
];

/// Cost of one watcher in one round: the server's CPU time, ns an operation, and the programs' own statistics.
#[derive(Clone, Copy, Default)]
struct Cost {
    server: f64,
    receive: Runs,
    send: Runs,
}

/// Runs of a program: their number, their time, and how many were for sockets that the capture follows.
#[derive(Clone, Copy, Default)]
struct Runs {
    count: f64,
    nanoseconds: f64,
    followed: f64,
}

fn main() {
    if let Err(error) = RunStatistics::enable() {
        println!("skipped: cannot count the run time of kernel programs: {error}");
        return;
    }
    for load in &LOADS {
        let server = Server::start();
        let rounds: Vec<Vec<Cost>> = (0..ROUNDS)
            .map(|_| {
                let watched = WATCHERS
                    .iter()
                    .map(|(_, watcher)| cost(&server, load, *watcher));
                watched.collect()
            })
            .collect();
        report(load, &rounds);
    }
}

/// Measures one watcher. The server's CPU time is measured without run statistics, which would add to it.
fn cost(server: &Server, load: &Load, watcher: Watcher) -> Cost {
    let mut running = Running::start(server, watcher);
    let mut clients: Vec<_> = (0..load.connections).map(|_| server.connect()).collect();
    work(&mut clients, load, DRAIN_EVERY, &mut running);
    let before = server.cpu();
    work(&mut clients, load, load.operations, &mut running);
    let server = (server.cpu() - before) / as_float(load.operations);
    let [receive, send] =
        running.runs(|running| work(&mut clients, load, load.operations / 4, running));
    Cost {
        server,
        receive,
        send,
    }
}

fn work(clients: &mut [TcpStream], load: &Load, operations: usize, running: &mut Running) {
    let turn = load.depth * clients.len();
    let mut reply = vec![0; 1 << 16];
    for first in (0..operations).step_by(turn) {
        let (requests, length) = requests(first / turn, load.depth);
        for client in clients.iter_mut() {
            client.write_all(&requests).expect("memcached reads");
        }
        for client in clients.iter_mut() {
            client
                .read_exact(&mut reply[..length])
                .expect("memcached answers");
        }
        if first % DRAIN_EVERY < turn {
            running.drain();
        }
    }
}

/// A running watcher.
struct Running {
    kernel: Option<Kernel>,
    tcpdump: Option<Child>,
}

impl Running {
    fn start(server: &Server, watcher: Watcher) -> Self {
        let attach = |port, responses| {
            let options = KernelOptions {
                followed: Followed::ports(&[port]),
                responses,
                ring_bytes: RING_BYTES,
                ..KernelOptions::default()
            };
            Kernel::attach(&options).unwrap_or_else(|error| panic!("{error}"))
        };
        let kernel = match watcher {
            Watcher::Nothing | Watcher::Tcpdump => None,
            Watcher::OtherPort => Some(attach(1, Responses::Bytes)),
            Watcher::Capture(responses) => Some(attach(server.port, responses)),
        };
        Self {
            kernel,
            tcpdump: (watcher == Watcher::Tcpdump).then(|| tcpdump(server.port)),
        }
    }

    fn drain(&mut self) {
        if let Some(kernel) = &mut self.kernel {
            while kernel.drain(usize::MAX, &mut |_| ()) > 0 {}
        }
    }

    /// Returns the runs of the receiving and of the sending program during `work`.
    fn runs(&mut self, work: impl FnOnce(&mut Self)) -> [Runs; 2] {
        let enabled = RunStatistics::enable().expect("as at the start");
        let before = self.totals();
        work(self);
        let after = self.totals();
        drop(enabled);
        [0, 1].map(|index| Runs {
            count: after[index].count - before[index].count,
            nanoseconds: after[index].nanoseconds - before[index].nanoseconds,
            followed: after[index].followed - before[index].followed,
        })
    }

    fn totals(&self) -> [Runs; 2] {
        let Some(kernel) = &self.kernel else {
            return [Runs::default(); 2];
        };
        let (ids, counters) = (own_programs(), kernel.counters());
        let followed = [counter::REQUEST_CALLS, counter::RESPONSE_CALLS];
        let mut totals = followed.map(|index| Runs {
            followed: as_float(counters[index as usize]),
            ..Runs::default()
        });
        for program in Info::all().filter_map(Result::ok) {
            let index = match program.name.as_str() {
                "sock_recv_length" | "sock_recv_lengt" => 0,
                "sock_send_length" | "sock_send_lengt" => 1,
                _ => continue,
            };
            if ids.contains(&program.id) {
                totals[index].count = as_float(program.runs);
                totals[index].nanoseconds = program.run_time.as_secs_f64() * 1e9;
            }
        }
        totals
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(process) = &mut self.tcpdump {
            end(process);
        }
    }
}

fn tcpdump(port: u16) -> Child {
    let file = std::env::temp_dir().join(format!("membench-{port}.pcap"));
    let mut process = Command::new("tcpdump")
        .args(["-i", "lo", "-Z", "root", "-w"])
        .arg(&file)
        .args(["port", &port.to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .expect("tcpdump is installed");
    let said = process.stderr.take().expect("piped");
    let mut lines = BufReader::new(said).lines().map_while(Result::ok);
    lines.find(|line| line.contains("listening on"));
    fs::remove_file(&file).expect("tcpdump has made it");
    process
}

/// Returns the ids of the programs that this process has loaded.
fn own_programs() -> HashSet<u32> {
    let files = fs::read_dir("/proc/self/fdinfo").expect("Linux shows it");
    let texts = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
    let id = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
        line?.trim().parse().ok()
    };
    texts.filter_map(id).collect()
}

fn report(load: &Load, rounds: &[Vec<Cost>]) {
    println!("{}: medians of {ROUNDS} rounds, min–max", load.name);
    println!(
        "{:<13} {:>24} {:>17} {:>17} {:>16}",
        "", "server, ns/operation", "receive, ns/call", "send, ns/call", "added/tcpdump's"
    );
    let added = |index: usize| {
        median(&column(rounds, |round| {
            round[index].server - round[NOTHING].server
        }))
    };
    for (index, (name, _)) in WATCHERS.iter().enumerate() {
        println!(
            "{name:<13} {:>24} {:>17} {:>17} {:>16.2}",
            spread(&column(rounds, |round| round[index].server)),
            spread(&column(rounds, |round| a_call(
                round[index].receive,
                round[OTHER_PORT].receive
            ))),
            spread(&column(rounds, |round| a_call(
                round[index].send,
                round[OTHER_PORT].send
            ))),
            added(index) / added(TCPDUMP),
        );
    }
}

fn column(rounds: &[Vec<Cost>], value: impl Fn(&[Cost]) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = rounds.iter().map(|round| value(round)).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Returns the time of a run for a followed socket, ns, if runs for other sockets take as long as with another port.
fn a_call(runs: Runs, others: Runs) -> f64 {
    let other = others.nanoseconds / others.count;
    (runs.nanoseconds - (runs.count - runs.followed) * other) / runs.followed
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn spread(sorted: &[f64]) -> String {
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    match median(sorted) {
        median if median.is_finite() => format!("{median:.0} ({least:.0}–{most:.0})"),
        _ => "–".into(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn as_float(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}
