//! Calls that the kernel programs see while their threads preempt each other: the standby programs see what the first
//! programs miss, and nobody sees a call twice.
//!
//! Threads play ping-pong on one CPU. Where the kernel preempts tracepoint programs (Linux 7.0), one of them is now and
//! then parked inside a program, which the kernel skips for the others meanwhile.
#![cfg(feature = "ebpf")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "the figures, for whoever runs it")]

use std::{
    collections::HashSet,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use membench_bpf::KernelTypes;
use membench_capture::{Followed, Hooks, Kernel, KernelOptions, Record, Side, counter};
use membench_decode::Responses;
use membench_event::{Direction, Piece};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Long enough for an emulated machine on a busy host.
const DEADLINE: Duration = Duration::from_mins(10);
const PAIRS: usize = 3;
const LENGTH: usize = 64;
const RING: u32 = 64 << 20;
/// Records drained at once.
const BATCH: usize = 256;
/// Calls that must have been missed before the two ways are compared.
const ENOUGH: u64 = 200;
/// Exchanges made at least.
const SOME: u64 = 8_000;
/// Calls of those that a program without standby must miss; the others may be of other sockets.
const LEAST_UNSEEN: u64 = 30;
/// How the kernel preempts tasks, and how it may.
const MODEL: &str = "/sys/kernel/debug/sched/preempt";

/// Serializes the tests: each takes a CPU.
static TURN: Mutex<()> = Mutex::new(());

/// The two ends of a connection.
type Ends = (Box<dyn End>, Box<dyn End>);

/// One end of a connection: it sends and receives whole messages.
trait End: Send {
    fn send(&mut self, message: &[u8; LENGTH]);
    fn receive(&mut self) -> [u8; LENGTH];
}

impl<T: Read + Write + Send> End for T {
    fn send(&mut self, message: &[u8; LENGTH]) {
        assert_eq!(self.write(message).unwrap(), LENGTH);
    }

    fn receive(&mut self) -> [u8; LENGTH] {
        let mut message = [0; LENGTH];
        assert_eq!(self.read(&mut message).unwrap(), LENGTH);
        message
    }
}

/// A datagram socket that is not connected, as a server's, and its peer.
struct Datagrams(UdpSocket, SocketAddr);

impl End for Datagrams {
    fn send(&mut self, message: &[u8; LENGTH]) {
        assert_eq!(self.0.send_to(message, self.1).unwrap(), LENGTH);
    }

    fn receive(&mut self) -> [u8; LENGTH] {
        let mut message = [0; LENGTH];
        assert_eq!(self.0.recv_from(&mut message).unwrap(), (LENGTH, self.1));
        message
    }
}

/// Connections, and which of their calls a capture follows.
struct Network {
    pairs: Vec<Ends>,
    followed: Followed,
    /// Calls that are followed of each exchange: a message there and a message back.
    per_exchange: u64,
}

impl Network {
    /// Connects over TCP. The servers' ends are followed.
    fn tcp() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pairs = (0..PAIRS).map(|_| {
            let (client, server) = connect(&listener);
            (Box::new(client) as Box<dyn End>, Box::new(server) as _)
        });
        Self {
            pairs: pairs.collect(),
            followed: Followed::ports(&[listener.local_addr().unwrap().port()]),
            per_exchange: 2,
        }
    }

    /// Connects over TCP. The clients' ends are followed.
    fn tcp_clients() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pairs = (0..PAIRS).map(|_| {
            let (client, server) = connect(&listener);
            (Box::new(client) as Box<dyn End>, Box::new(server) as _)
        });
        Self {
            pairs: pairs.collect(),
            followed: Followed {
                side: Side::Client,
                ..Followed::ports(&[listener.local_addr().unwrap().port()])
            },
            per_exchange: 2,
        }
    }

    /// Creates pairs of UDP sockets. Every end is followed.
    fn udp() -> Self {
        let mut ports = Vec::new();
        let pairs = (0..PAIRS).map(|_| {
            let ends = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
            let addresses = [0, 1].map(|end: usize| ends[end].local_addr().unwrap());
            ports.extend(addresses.map(|address| address.port()));
            let [client, server] = ends;
            let [client_address, server_address] = addresses;
            let client = Datagrams(client, server_address);
            let server = Datagrams(server, client_address);
            (Box::new(client) as Box<dyn End>, Box::new(server) as _)
        });
        let pairs = pairs.collect();
        Self {
            pairs,
            followed: Followed::ports(&ports),
            per_exchange: 4,
        }
    }

    /// Connects at a path. The servers' ends are followed.
    fn unix(path: &Path) -> Self {
        // A listener's path outlives it.
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        let pairs = (0..PAIRS).map(|_| {
            let client = UnixStream::connect(path).unwrap();
            let (server, _) = listener.accept().unwrap();
            (Box::new(client) as Box<dyn End>, Box::new(server) as _)
        });
        Self {
            pairs: pairs.collect(),
            followed: Followed {
                ports: Vec::new(),
                sockets: vec![path.into()],
                ..Followed::ports(&[])
            },
            per_exchange: 2,
        }
    }
}

fn connect(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    for end in [&client, &server] {
        end.set_nodelay(true).unwrap();
    }
    (client, server)
}

/// Sends a message there and back.
fn exchange(client: &mut dyn End, server: &mut dyn End, number: u64) {
    let mut message = [0; LENGTH];
    message[..8].copy_from_slice(&number.to_le_bytes());
    client.send(&message);
    assert_eq!(server.receive(), message);
    server.send(&message);
    assert_eq!(client.receive(), message);
}

/// Plays ping-pong on every connection, each end in a thread of its own on one CPU, until `look` returns false, which it is
/// asked again and again with the number of exchanges. Then each connection makes one exchange more, while nothing else
/// runs, so that a call missed before leaves a gap. Returns the number of exchanges.
fn play(network: &mut Network, mut look: impl FnMut(u64) -> bool) -> u64 {
    let (is_over, made) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for (client, server) in &mut network.pairs {
            let (is_over, made) = (&is_over, &made);
            scope.spawn(move || {
                stay_on_last_cpu();
                for number in 1.. {
                    let mut message = [0; LENGTH];
                    let last = is_over.load(Ordering::Relaxed);
                    let number: u64 = if last { u64::MAX } else { number };
                    message[..8].copy_from_slice(&number.to_le_bytes());
                    client.send(&message);
                    assert_eq!(client.receive(), message);
                    made.fetch_add(1, Ordering::Relaxed);
                    if last {
                        return;
                    }
                }
            });
            scope.spawn(move || {
                stay_on_last_cpu();
                loop {
                    let message = server.receive();
                    server.send(&message);
                    if message.starts_with(&u64::MAX.to_le_bytes()) {
                        return;
                    }
                }
            });
        }
        let start = Instant::now();
        while look(made.load(Ordering::Relaxed)) {
            assert!(start.elapsed() < DEADLINE, "too few exchanges");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    for (client, server) in &mut network.pairs {
        exchange(&mut **client, &mut **server, u64::MAX - 1);
    }
    made.load(Ordering::Relaxed) + PAIRS as u64
}

fn stay_on_last_cpu() {
    let allowed = sched_getaffinity(None).unwrap();
    let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu));
    let mut cpus = CpuSet::new();
    cpus.set(last.unwrap());
    sched_setaffinity(None, &cpus).unwrap();
}

/// The calls of a load, by their fate.
#[derive(Clone, Copy, Debug)]
struct Account {
    made: u64,
    seen: u64,
    /// Calls that left a gap.
    gaps: u64,
    recovered: u64,
    skipped: u64,
}

impl Account {
    fn unseen(self) -> u64 {
        self.made - self.seen
    }
}

/// Captures a load until `enough`, and checks that no call was seen twice.
fn account(
    mut network: Network,
    standby: bool,
    responses: Responses,
    mut enough: impl FnMut(u64, &mut Kernel) -> bool,
) -> Account {
    let mut kernel = Kernel::attach(&KernelOptions {
        followed: network.followed.clone(),
        responses,
        ring_bytes: RING,
        hooks: Some(Hooks::Sockets),
        standby: Some(standby),
        ..KernelOptions::default()
    })
    .unwrap();
    let mut messages = Messages::default();
    // A gap shows only behind a call that was seen.
    for (client, server) in &mut network.pairs {
        exchange(&mut **client, &mut **server, 0);
    }
    let exchanges = PAIRS as u64
        + play(&mut network, |made| {
            messages.look(&mut kernel);
            !enough(made, &mut kernel)
        });
    messages.drain(&mut kernel);
    kernel.detach();
    messages.drain(&mut kernel);
    let counted = kernel.counters();
    let [requests, answers, missed, recovered] = [
        counter::REQUEST_CALLS,
        counter::RESPONSE_CALLS,
        counter::MISSED,
        counter::RECOVERED,
    ]
    .map(|index| counted[index as usize]);
    // On a starved machine the programs may have to wait for this thread, and then only count calls.
    for (index, lost) in (0..).zip(&counted[..counter::RECOVERED as usize]) {
        let may_be =
            index < counter::RING_FULL || [counter::MISSED, counter::UNATTENDED].contains(&index);
        assert!(may_be || *lost == 0, "counter {index}: {lost}");
    }
    assert_eq!(messages.twice, Vec::new());
    Account {
        made: network.per_exchange * exchanges,
        seen: requests + answers,
        gaps: missed / LENGTH as u64,
        recovered,
        skipped: kernel.misses().unwrap().calls,
    }
}

/// Messages in the records.
#[derive(Default)]
struct Messages {
    seen: HashSet<(u64, Direction, u64)>,
    twice: Vec<(u64, Direction, u64)>,
}

impl Messages {
    /// Takes what is in the rings, while the load goes on: it may write faster than an unoptimized test reads.
    fn look(&mut self, kernel: &mut Kernel) {
        kernel.drain(BATCH, &mut |record| self.take(&record));
    }

    /// Takes all records of a load that has ended.
    fn drain(&mut self, kernel: &mut Kernel) {
        while kernel.drain(BATCH, &mut |record| self.take(&record)) > 0 {}
    }

    fn take(&mut self, record: &Record<'_>) {
        let (header, direction, pieces) = match record {
            Record::Bytes {
                header,
                direction,
                pieces,
            }
            | Record::Datagram {
                header,
                direction,
                pieces,
                ..
            } => (header, *direction, pieces.collect()),
            _ => return,
        };
        for piece in pieces {
            // Without their bytes, calls can only be counted.
            if let Piece::Bytes([a, b, c, d, e, f, g, h, ..]) = piece {
                let number = u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                let message = (header.cookie, direction, number);
                if !self.seen.insert(message) {
                    self.twice.push(message);
                }
            }
        }
    }
}

/// A path for a socket, removed at the end.
struct SocketPath(PathBuf);

impl SocketPath {
    fn new() -> Self {
        let name = format!("membench-test-{}.sock", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn has_socket_hooks() -> bool {
    let types = KernelTypes::read().unwrap();
    types.require_tracepoint("sock_recv_length").is_ok()
}

/// Runs a test in each preemption model that the kernel can be switched to.
fn in_each_model(test: impl Fn()) {
    let before = fs::read_to_string(MODEL).unwrap();
    let active = before.split(['(', ')']).nth(1).unwrap().to_owned();
    for model in ["full", "lazy"] {
        assert!(before.contains(model), "{before}");
        fs::write(MODEL, model).unwrap();
        eprintln!("preempt={model}");
        test();
    }
    fs::write(MODEL, active).unwrap();
}

/// Makes a capture without standby programs, which must miss calls, and one with them, of as many calls: of those for
/// which the first programs were skipped it must miss less than one in `factor`. How many are skipped differs from run
/// to run, so that is no comparison.
fn compare(network: impl Fn() -> Network, responses: Responses, factor: u64) -> [Account; 2] {
    let mut exchanges = 0;
    let alone = account(network(), false, responses, |made, kernel| {
        exchanges = made;
        made > SOME && kernel.misses().unwrap().calls >= ENOUGH
    });
    let both = account(network(), true, responses, |made, _| made >= exchanges);
    eprintln!("  alone {alone:?}\n  with standby {both:?}");
    assert!(alone.unseen() >= LEAST_UNSEEN);
    assert!(both.recovered > 0);
    assert!(both.unseen() * factor <= both.unseen() + both.recovered);
    [alone, both]
}

#[test]
#[ignore = "root"]
fn standby_programs_see_the_calls_for_which_the_first_were_skipped() {
    let _turn = TURN.lock();
    if !KernelTypes::read().unwrap().preempts_tracepoints() {
        return;
    }
    in_each_model(|| {
        for account in compare(Network::tcp, Responses::Bytes, 10) {
            // Every call is seen, or leaves a gap.
            assert_eq!(account.seen + account.gaps, account.made);
            // Other skipped runs were of the clients' ends.
            let explained = account.recovered + account.gaps;
            assert!(explained <= account.skipped);
        }
    });
}

#[test]
#[ignore = "root"]
fn standby_programs_see_calls_that_move_no_sequence_number() {
    let _turn = TURN.lock();
    if !KernelTypes::read().unwrap().preempts_tracepoints() {
        return;
    }
    in_each_model(|| {
        compare(Network::udp, Responses::Bytes, 5);
        compare(Network::tcp, Responses::None, 5);
        compare(Network::tcp_clients, Responses::Bytes, 5);
        let path = SocketPath::new();
        compare(|| Network::unix(&path.0), Responses::Bytes, 5);
    });
}

#[test]
#[ignore = "root"]
fn standby_programs_change_nothing_where_the_first_are_never_skipped() {
    let _turn = TURN.lock();
    let is_preemptible = KernelTypes::read().unwrap().preempts_tracepoints();
    if is_preemptible || !has_socket_hooks() {
        return;
    }
    let path = SocketPath::new();
    for (network, responses) in [
        (Network::tcp(), Responses::Bytes),
        (Network::tcp(), Responses::None),
        (Network::tcp_clients(), Responses::Bytes),
        (Network::tcp_clients(), Responses::None),
        (Network::udp(), Responses::Bytes),
        (Network::unix(&path.0), Responses::Bytes),
        (Network::unix(&path.0), Responses::Lengths),
    ] {
        let account = account(network, true, responses, |made, _| made > SOME);
        assert_eq!(
            (account.seen, account.gaps, account.recovered),
            (account.made, 0, 0),
            "{account:?}"
        );
    }
}

#[test]
#[ignore = "root"]
fn a_socket_that_several_threads_use_is_seen_once_a_call() {
    let _turn = TURN.lock();
    if !has_socket_hooks() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (client, mut server) = connect(&listener);
    let (threads, each) = (4_u64, SOME);
    let mut kernel = Kernel::attach(&KernelOptions {
        followed: Followed {
            side: Side::Client,
            ..Followed::ports(&[listener.local_addr().unwrap().port()])
        },
        ring_bytes: RING,
        hooks: Some(Hooks::Sockets),
        standby: Some(true),
        ..KernelOptions::default()
    })
    .unwrap();
    let mut messages = Messages::default();
    thread::scope(|scope| {
        for thread in 0..threads {
            let mut client = &client;
            scope.spawn(move || {
                for number in 0..each {
                    let mut message = [0; LENGTH];
                    message[..8].copy_from_slice(&(thread * each + number).to_le_bytes());
                    client.write_all(&message).unwrap();
                }
            });
        }
        let mut left = threads * each * LENGTH as u64;
        let mut buffer = vec![0; 65_536];
        while left > 0 {
            left -= server.read(&mut buffer).unwrap() as u64;
            messages.look(&mut kernel);
        }
    });
    messages.drain(&mut kernel);
    let counted = kernel.counters();
    let seen = counted[counter::REQUEST_CALLS as usize];
    assert_eq!(messages.twice, Vec::new());
    assert!(seen <= threads * each, "{seen}");
    if !KernelTypes::read().unwrap().preempts_tracepoints() {
        assert_eq!(
            (seen, counted[counter::RECOVERED as usize]),
            (threads * each, 0)
        );
    }
}

#[test]
#[ignore = "root"]
fn programs_can_be_preempted_from_linux_7_on() {
    let release = membench_bpf::kernel_release();
    let major: u32 = release.split('.').next().unwrap().parse().unwrap();
    let types = KernelTypes::read().unwrap();
    assert_eq!(types.preempts_tracepoints(), major >= 7, "{release}");
}
