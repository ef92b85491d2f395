//! The kernel programs against real servers: what they count and keep equals what memcached and its clients say.
//!
//! Loading the programs takes root or `CAP_BPF` and `CAP_PERFMON`, so every test is ignored unless it is asked for:
//! `cargo test --test kernel -- --include-ignored`.
#![cfg(feature = "ebpf")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashMap,
    io::{self, Read, Seek, Write},
    net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    os::fd::OwnedFd,
    process::{self, Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use membench_capture::{Followed, Hooks, Kernel, KernelOptions, Record, counter};
use membench_decode::Responses;
use membench_event::{Direction, Piece};
use rustix::{
    net::{
        AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt::set_socket_reuseaddr,
    },
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// Long enough for an emulated machine on a busy host.
const DEADLINE: Duration = Duration::from_mins(15);
/// Records drained at once. The heartbeat is written between batches, so a batch must take less time than the programs
/// wait for it.
const BATCH: usize = 16;
const RING: u32 = 16 << 20;

/// Serializes the tests: loading programs holds kernel locks and keeps a CPU busy.
static TURN: Mutex<()> = Mutex::new(());

/// `kernel_syscalls.rs` runs the same tests with the `syscalls` hooks, which this kernel may not need.
fn hooks() -> Option<Hooks> {
    module_path!()
        .starts_with("kernel_syscalls")
        .then_some(Hooks::Syscalls)
}

fn attach(port: &Port, responses: Responses, ring_bytes: u32) -> Kernel {
    Kernel::attach(&KernelOptions {
        followed: Followed::ports(&[port.number]),
        responses,
        ring_bytes,
        hooks: hooks(),
        ..KernelOptions::default()
    })
    .unwrap()
}

/// A TCP port reserved for one test while this value lives.
///
/// The reservation is a bound socket that does not listen. Another reservation binds without `SO_REUSEADDR` and is
/// refused; servers bind with it and are not.
struct Port {
    number: u16,
    _reservation: OwnedFd,
}

impl Port {
    fn reserve() -> Self {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        loop {
            // Below the kernel's ephemeral ports.
            let asked = ASKED.fetch_add(1, Ordering::Relaxed);
            let number = 12_000 + u16::try_from((process::id() * 16 + asked) % 20_000).unwrap();
            let flags = SocketFlags::CLOEXEC;
            let reservation =
                socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
            if bind(
                &reservation,
                &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, number),
            )
            .is_ok()
            {
                // After `bind`: set before it, the option would let two reservations share the port.
                set_socket_reuseaddr(&reservation, true).unwrap();
                return Self {
                    number,
                    _reservation: reservation,
                };
            }
        }
    }
}

struct Memcached {
    process: Child,
    port: Port,
}

impl Memcached {
    fn start() -> Self {
        let port = Port::reserve();
        let port_text = port.number.to_string();
        let arguments = [
            "-p", &port_text, "-U", "0", "-u", "nobody", "-t", "4", "-m", "256", "-I", "2m",
        ];
        let process = Command::new("memcached")
            .args(arguments)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port };
        until(|| TcpStream::connect(("127.0.0.1", server.port.number)).is_ok());
        server
    }

    fn connect(&self) -> Client {
        Client::connect(self.port.number)
    }

    /// Moves every thread to one CPU.
    fn run_on(&self, cpu: usize) {
        let mut cpus = CpuSet::new();
        cpus.set(cpu);
        for task in std::fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap() {
            let task = task.unwrap().file_name().into_string().unwrap();
            let task = Pid::from_raw(task.parse().unwrap());
            sched_setaffinity(task, &cpus).unwrap();
        }
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client connection that keeps every byte it sent and received.
struct Client {
    stream: TcpStream,
    sent: Vec<u8>,
    received: Vec<u8>,
}

impl Client {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self {
            stream,
            sent: Vec::new(),
            received: Vec::new(),
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.sent.extend(bytes);
    }

    /// Reads until the bytes received since the call end with `end`, and returns them.
    fn receive_until(&mut self, end: &[u8]) -> &[u8] {
        let start = self.received.len();
        let mut chunk = vec![0; 65536];
        while !self.received[start..].ends_with(end) {
            let length = self.stream.read(&mut chunk).unwrap();
            assert_ne!(
                length,
                0,
                "closed after {:?}",
                String::from_utf8_lossy(&self.received[start..])
            );
            self.received.extend(&chunk[..length]);
        }
        &self.received[start..]
    }

    fn ask(&mut self, request: &[u8], end: &[u8]) -> &[u8] {
        self.send(request);
        self.receive_until(end)
    }

    fn statistic(&mut self, names: [&str; 3]) -> [u64; 3] {
        let reply = String::from_utf8(self.ask(b"stats\r\n", b"END\r\n").to_vec()).unwrap();
        let value = |name: &str| {
            let line = reply.lines().find_map(|line| {
                line.strip_prefix("STAT ")?
                    .strip_prefix(name)?
                    .strip_prefix(' ')
            });
            line.unwrap().parse().unwrap()
        };
        names.map(value)
    }

    fn port(&self) -> u16 {
        self.stream.local_addr().unwrap().port()
    }
}

fn until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited in vain");
        thread::yield_now();
    }
}

/// One direction of one socket, as its records describe it.
#[derive(Default, Debug)]
struct Stream {
    /// Sum of the records' lengths.
    length: u64,
    /// Stream offset after the last record.
    end: u64,
    /// Kept runs of bytes, with their offsets.
    runs: Vec<(u64, Vec<u8>)>,
    /// Holes: jumps of the offset, with the causes that the record gives.
    holes: Vec<(u64, u32)>,
}

/// Both directions, in the order of a socket's records.
const DIRECTIONS: [Direction; 2] = [Direction::Request, Direction::Response];

#[derive(Default, Debug)]
struct Seen {
    /// Remote port of each socket, and if bytes had moved before its first call, by cookie.
    sockets: HashMap<u64, (u16, bool)>,
    /// Bytes that moved before the first call of a socket, or after its last.
    beside: u64,
    streams: HashMap<(u64, Direction), Stream>,
    ends: Vec<u64>,
    closes: HashMap<u64, [u64; 2]>,
}

impl Seen {
    fn take(&mut self, record: &Record<'_>) {
        match record {
            Record::Socket { header, socket } => {
                let before = [socket.request_before, socket.response_before].map(u64::from);
                for (direction, before) in DIRECTIONS.into_iter().zip(before) {
                    if before > 0 {
                        let stream = self.streams.entry((header.cookie, direction)).or_default();
                        stream.end = before;
                    }
                }
                self.beside += before.iter().sum::<u64>();
                let socket = (socket.remote_port, before != [0; 2]);
                assert!(
                    self.sockets.insert(header.cookie, socket).is_none(),
                    "announced twice"
                );
            }
            Record::Bytes {
                header,
                direction,
                pieces,
            } => {
                assert!(
                    self.sockets.contains_key(&header.cookie),
                    "bytes before their socket"
                );
                let stream = self.streams.entry((header.cookie, *direction)).or_default();
                if header.offset != stream.end || header.lost != 0 {
                    stream.holes.push((header.offset - stream.end, header.lost));
                }
                stream.length += u64::from(header.length);
                stream.end = header.offset;
                for piece in pieces.collect() {
                    if let Piece::Bytes(bytes) = piece {
                        stream.runs.push((stream.end, bytes.to_vec()));
                    }
                    stream.end += piece.length();
                }
            }
            Record::Datagram { .. } => panic!("a datagram of a stream"),
            Record::End { header } => self.ends.push(header.cookie),
            Record::Close { header, close } => {
                self.beside += u64::from(close.request_after) + u64::from(close.response_after);
                assert!(
                    self.closes
                        .insert(header.cookie, [close.request_offset, close.response_offset])
                        .is_none()
                );
            }
        }
    }

    fn drain(&mut self, kernel: &mut Kernel) {
        while kernel.drain(BATCH, &mut |record| self.take(&record)) > 0 {}
    }

    fn length(&self, direction: Direction) -> u64 {
        self.streams
            .iter()
            .filter(|((_, way), _)| *way == direction)
            .map(|(_, stream)| stream.length)
            .sum()
    }

    fn stream(&self, port: u16, direction: Direction) -> &Stream {
        let cookie = self
            .sockets
            .iter()
            .find(|(_, (remote, _))| *remote == port)
            .map(|(cookie, _)| *cookie);
        &self.streams[&(cookie.unwrap(), direction)]
    }

    /// Compares everything kept of a connection with what its client sent and received; returns the number of bytes kept.
    fn compare(&self, client: &Client) -> [usize; 2] {
        [
            (Direction::Request, &client.sent),
            (Direction::Response, &client.received),
        ]
        .map(|(direction, bytes)| {
            let stream = self.stream(client.port(), direction);
            assert_eq!(
                (stream.end, &stream.holes[..]),
                (bytes.len() as u64, &[][..]),
                "{direction:?}"
            );
            for (offset, run) in &stream.runs {
                let offset = usize::try_from(*offset).unwrap();
                assert!(
                    bytes[offset..].starts_with(run),
                    "{direction:?} differs at {offset}"
                );
            }
            stream.runs.iter().map(|(_, run)| run.len()).sum()
        })
    }
}

/// Sends requests of every size and shape; the last one has no response and is sent together with the FIN.
fn work(client: &mut Client, name: usize) {
    for size in [
        1, 100, 2_000, 16_300, 16_384, 40_000, 100_000, 600_000, 1_000_000,
    ] {
        let value: String = ('a'..='z').cycle().take(size).collect();
        client.ask(
            format!("set k{name}-{size} 7 0 {size}\r\n{value}\r\n").as_bytes(),
            b"STORED\r\n",
        );
        client.ask(format!("get k{name}-{size}\r\n").as_bytes(), b"END\r\n");
        client.ask(
            format!("gets k{name}-{size} none\r\n").as_bytes(),
            b"END\r\n",
        );
    }
    let pipelined = format!("get k{name}-100\r\n").repeat(300);
    client.ask(format!("{pipelined}mn\r\n").as_bytes(), b"MN\r\n");
    let many = format!(" k{name}-2000").repeat(100);
    client.ask(format!("get{many}\r\nmn\r\n").as_bytes(), b"MN\r\n");
    client.ask(
        format!("mg none v\r\nmg k{name}-100 v\r\nma k{name}-1 N0 v\r\nmn\r\n").as_bytes(),
        b"MN\r\n",
    );
    client.send(format!("get k{name}-1").as_bytes());
    client.ask(b"\r\n", b"END\r\n");
    client.send(b"set gone 0 0 1 noreply\r\nx\r\n");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
}

/// Runs eight clients at once.
fn crowd(server: &Memcached, mut meanwhile: impl FnMut()) -> Vec<Client> {
    thread::scope(|scope| {
        let start = |name| {
            let mut client = server.connect();
            scope.spawn(move || {
                work(&mut client, name);
                client
            })
        };
        let workers: Vec<_> = (0..8).map(start).collect();
        until(|| {
            meanwhile();
            workers.iter().all(thread::ScopedJoinHandle::is_finished)
        });
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    })
}

#[test]
#[ignore = "root"]
fn counters_equal_memcacheds_own_and_records_hold_what_clients_said() {
    let _turn = TURN.lock();
    let server = Memcached::start();
    let mut control = server.connect();
    let mut kernel = attach(&server.port, Responses::Bytes, RING);

    let names = ["bytes_read", "bytes_written", "curr_connections"];
    let before = control.statistic(names);
    let mut seen = Seen::default();
    let clients = crowd(&server, || seen.drain(&mut kernel));
    let (mut after, mut last_reply) = ([0; 3], 0);
    until(|| {
        let start = control.received.len();
        after = control.statistic(names);
        last_reply = control.received.len() - start;
        after[2] == before[2]
    });

    // A `stats` response counts its own request in `bytes_read`, but not itself in `bytes_written`.
    let read = after[0] - before[0] + b"stats\r\n".len() as u64;
    let written = after[1] - before[1] + last_reply as u64;
    until(|| {
        let counted = kernel.counters();
        counted[counter::RESPONSE_BYTES as usize] + counted[counter::MISSED as usize] >= written
    });
    seen.drain(&mut kernel);
    let counted = kernel.counters();
    let missed = counted[counter::MISSED as usize];
    if kernel.facts().standby && missed > 0 {
        // The kernel has skipped a program and its standby.
        let bytes =
            counted[counter::REQUEST_BYTES as usize] + counted[counter::RESPONSE_BYTES as usize];
        assert_eq!(bytes + missed + seen.beside, read + written);
        return;
    }
    assert_eq!(counted[counter::REQUEST_BYTES as usize], read);
    assert_eq!(counted[counter::RESPONSE_BYTES as usize], written);
    let lost = &counted[counter::RECORDS_RING_FULL as usize..counter::RECOVERED as usize];
    assert!(lost.iter().all(|count| *count == 0), "{lost:?}");
    assert_eq!(
        (
            seen.length(Direction::Request),
            seen.length(Direction::Response)
        ),
        (read, written)
    );
    assert_eq!(kernel.malformed(), 0);
    // A kernel that preempts programs skips some, and their standbys see the calls.
    assert!(kernel.facts().standby || kernel.misses().unwrap().calls == 0);
    for client in clients.iter().chain([&control]) {
        seen.compare(client);
    }
    assert_eq!(seen.ends.len(), clients.len());
    assert_eq!(seen.closes.len(), clients.len());
    assert!(seen.sockets.values().all(|(_, mid_stream)| !mid_stream));
}

#[test]
#[ignore = "root"]
fn values_are_kept_short_and_everything_else_whole() {
    let _turn = TURN.lock();
    let server = Memcached::start();
    let mut kernel = attach(&server.port, Responses::Bytes, RING);
    let mut client = server.connect();
    let value = "v".repeat(5_000);
    client.ask(
        format!("set k 0 0 5000\r\n{value}\r\n").as_bytes(),
        b"STORED\r\n",
    );
    client.ask(b"get k\r\n", b"END\r\n");
    client.ask(b"mg k v\r\nmn\r\n", b"MN\r\n");
    client.ask(b"stats settings\r\n", b"END\r\n");
    let mut seen = Seen::default();
    until(|| {
        seen.drain(&mut kernel);
        seen.length(Direction::Response) == client.received.len() as u64
    });
    seen.compare(&client);
    let kept: Vec<_> = seen
        .stream(client.port(), Direction::Response)
        .runs
        .iter()
        .map(|(_, run)| run)
        .collect();
    let text = |run: &Vec<u8>| String::from_utf8_lossy(run).into_owned();
    let (replies, list) = kept.split_at(kept.len() - 2);
    // The `sockets` hooks keep only the length of the END after a single value, which is known without reading it.
    let replies = replies.iter().copied().map(text);
    let replies: Vec<_> = replies.filter(|reply| reply != "END\r\n").collect();
    assert_eq!(
        replies,
        ["STORED\r\n", "VALUE k 0 5000\r\n", "VA 5000\r\n", "MN\r\n"]
    );
    assert!(list[0].starts_with(b"STAT ") && list[1].ends_with(b"END\r\n"));
}

#[test]
#[ignore = "root"]
fn lengths_alone_leave_the_bytes_where_they_are() {
    let _turn = TURN.lock();
    let server = Memcached::start();
    let mut kernel = attach(&server.port, Responses::Lengths, RING);
    let mut seen = Seen::default();
    let clients = crowd(&server, || seen.drain(&mut kernel));
    until(|| {
        seen.drain(&mut kernel);
        seen.closes.len() == clients.len()
    });
    for client in &clients {
        let [requests, responses] = seen.compare(client);
        assert!(requests > 0 && responses == 0);
    }
}

#[test]
#[ignore = "root"]
fn without_responses_they_are_counted_all_the_same() {
    let _turn = TURN.lock();
    let server = Memcached::start();
    let mut kernel = attach(&server.port, Responses::None, RING);
    let mut client = server.connect();
    client.ask(b"get none\r\nmn\r\n", b"MN\r\n");
    let mut seen = Seen::default();
    let length = client.received.len() as u64;
    until(|| kernel.counters()[counter::RESPONSE_BYTES as usize] == length);
    seen.drain(&mut kernel);
    assert_eq!(
        (
            seen.length(Direction::Request),
            seen.length(Direction::Response)
        ),
        (client.sent.len() as u64, 0)
    );
}

#[test]
#[ignore = "root"]
fn what_a_full_ring_does_not_take_is_a_hole_of_that_size() {
    let _turn = TURN.lock();
    let server = Memcached::start();
    let mut kernel = attach(&server.port, Responses::Bytes, 0);
    let mut client = server.connect();
    let value = "v".repeat(10_000);
    for name in 0..80 {
        kernel.beat();
        client.ask(
            format!("set k{name} 0 0 10000\r\n{value}\r\n").as_bytes(),
            b"STORED\r\n",
        );
    }
    let mut seen = Seen::default();
    seen.drain(&mut kernel);
    client.ask(b"get none\r\n", b"END\r\n");
    let totals = |kernel: &Kernel| {
        let counted = kernel.counters();
        counted[counter::REQUEST_BYTES as usize] + counted[counter::RESPONSE_BYTES as usize]
    };
    until(|| totals(&kernel) == (client.sent.len() + client.received.len()) as u64);
    seen.drain(&mut kernel);

    let lost = kernel.counters()[counter::RING_FULL as usize];
    let streams =
        [Direction::Request, Direction::Response].map(|way| seen.stream(client.port(), way));
    let holes: Vec<_> = streams.iter().flat_map(|stream| &stream.holes).collect();
    assert!(lost > 200_000, "{lost}");
    assert_eq!(holes.iter().map(|(length, _)| length).sum::<u64>(), lost);
    assert!(
        holes
            .iter()
            .all(|(_, cause)| *cause == 1 << counter::RING_FULL),
        "{holes:?}"
    );
    assert_eq!(
        streams.map(|stream| stream.end),
        [client.sent.len() as u64, client.received.len() as u64]
    );
    assert!(kernel.counters()[counter::RECORDS_RING_FULL as usize] > 0);
}

/// Connects a pair of sockets, the server's first, and renews the heartbeat: on an emulated machine that may take longer
/// than the programs wait for one.
fn pair_beside(kernel: &Kernel, port: &Port) -> (TcpStream, Client) {
    let pair = pair(port);
    kernel.beat();
    pair
}

/// Connects a pair of sockets, the server's first.
fn pair(port: &Port) -> (TcpStream, Client) {
    let listener = TcpListener::bind(("127.0.0.1", port.number)).unwrap();
    let client = Client::connect(port.number);
    (listener.accept().unwrap().0, client)
}

#[test]
#[ignore = "root"]
fn bytes_read_without_a_call_are_missed_and_peeked_ones_are_not_counted_twice() {
    let _turn = TURN.lock();
    let port = Port::reserve();
    let mut kernel = attach(&port, Responses::Bytes, RING);
    let (mut server, mut client) = pair_beside(&kernel, &port);
    let mut buffer = [0; 10];
    client.send(b"0123456789");
    server.peek(&mut buffer).unwrap();
    server.read_exact(&mut buffer).unwrap();
    client.send(&[b'x'; 1_000]);
    let (_reader, mut pipe) = io::pipe().unwrap();
    // The standard library splices from a socket into a pipe, which no hook sees.
    io::copy(&mut (&mut server).take(1_000), &mut pipe).unwrap();
    client.send(b"abcdefghij");
    server.read_exact(&mut buffer).unwrap();

    let mut seen = Seen::default();
    seen.drain(&mut kernel);
    let stream = seen.stream(client.port(), Direction::Request);
    assert_eq!(stream.holes, [(1_000, 1 << counter::MISSED)]);
    assert_eq!((stream.length, stream.end), (20, 1_020));
    let counted = kernel.counters();
    assert_eq!(
        (
            counted[counter::REQUEST_BYTES as usize],
            counted[counter::MISSED as usize]
        ),
        (20, 1_000)
    );
}

#[test]
#[ignore = "root"]
fn calls_with_several_buffers_are_kept_in_order() {
    let _turn = TURN.lock();
    let port = Port::reserve();
    let mut kernel = attach(&port, Responses::Bytes, RING);
    let (mut server, mut client) = pair_beside(&kernel, &port);
    let request: Vec<u8> = (0..40_000_u32)
        .flat_map(|number| format!("{number} ").into_bytes())
        .take(40_000)
        .collect();
    client.send(&request);
    until(|| server.peek(&mut vec![0; 40_000]).unwrap() == 40_000);
    let (mut first, mut second, mut third) = (vec![0; 5], vec![0; 20_000], vec![0; 30_000]);
    let buffers = &mut [&mut first[..], &mut second[..], &mut third[..]].map(io::IoSliceMut::new);
    assert_eq!(server.read_vectored(buffers).unwrap(), 40_000);
    let reply = [&b"VALUE k 0 3\r\n"[..], b"", b"abc\r\n", b"END\r\n"].map(io::IoSlice::new);
    assert_eq!(server.write_vectored(&reply).unwrap(), 23);
    client.receive_until(b"END\r\n");

    let mut seen = Seen::default();
    seen.drain(&mut kernel);
    let [requests, responses] = seen.compare(&client);
    assert_eq!((requests, responses), (40_000, 18));
}

#[test]
#[ignore = "root"]
fn a_connection_from_before_the_capture_says_so() {
    let _turn = TURN.lock();
    let port = Port::reserve();
    let (mut server, mut client) = pair(&port);
    client.send(b"before");
    server.read_exact(&mut [0; 6]).unwrap();
    let (mut quiet, mut quiet_client) = pair(&port);
    let mut kernel = attach(&port, Responses::Bytes, RING);
    for (server, client) in [(&mut server, &mut client), (&mut quiet, &mut quiet_client)] {
        kernel.beat();
        client.send(b"after");
        server.read_exact(&mut [0; 5]).unwrap();
    }
    let mut seen = Seen::default();
    seen.drain(&mut kernel);
    let marks: HashMap<u16, bool> = seen.sockets.into_values().collect();
    assert_eq!(
        marks,
        HashMap::from([(client.port(), true), (quiet_client.port(), false)])
    );
}

#[test]
#[ignore = "root"]
fn one_rings_loss_costs_the_others_nothing() {
    let _turn = TURN.lock();
    let usable = sched_getaffinity(None).unwrap();
    let cpus: Vec<_> = (0..CpuSet::MAX_CPU)
        .filter(|cpu| usable.is_set(*cpu))
        .collect();
    let (first, last) = (cpus[0], cpus[cpus.len() - 1]);
    let server = Memcached::start();
    let mut kernel = attach(&server.port, Responses::Bytes, 0);
    if first == last {
        assert_eq!(kernel.ring_full_by_ring().len(), 1, "there are no others");
        return;
    }
    let mut client = server.connect();
    server.run_on(first);
    for name in 0..80 {
        kernel.beat();
        let value = "v".repeat(10_000);
        client.ask(
            format!("set k{name} 0 0 10000\r\n{value}\r\n").as_bytes(),
            b"STORED\r\n",
        );
    }
    let (sent, received) = (client.sent.len() as u64, client.received.len() as u64);
    // The client has an answer before the program has counted it. The server's thread leaves its CPU only behind the program.
    until(|| kernel.counters()[counter::RESPONSE_BYTES as usize] >= received);
    server.run_on(last);
    let full = kernel.ring_full_by_ring();
    for _ in 0..10 {
        kernel.beat();
        client.ask(b"get none\r\n", b"END\r\n");
    }
    let mut seen = Seen::default();
    until(|| {
        seen.drain(&mut kernel);
        let ends = |way| seen.stream(client.port(), way).end;
        (ends(Direction::Request), ends(Direction::Response))
            == (client.sent.len() as u64, client.received.len() as u64)
    });

    assert_eq!(full.iter().filter(|lost| **lost > 0).count(), 1, "{full:?}");
    assert_eq!(kernel.ring_full_by_ring(), full);
    let counted = kernel.counters();
    assert_eq!(
        full.iter().sum::<u64>(),
        counted[counter::RING_FULL as usize]
    );
    let later = |way, before| {
        let runs = seen.stream(client.port(), way).runs.iter();
        runs.filter(|(offset, _)| *offset >= before).count()
    };
    assert_eq!(later(Direction::Request, sent), 10);
    assert_eq!(later(Direction::Response, received), 10);
}

#[test]
#[ignore = "root"]
fn a_detached_capture_can_still_be_drained() {
    let _turn = TURN.lock();
    let port = Port::reserve();
    let mut kernel = attach(&port, Responses::Bytes, RING);
    let (mut server, mut client) = pair_beside(&kernel, &port);
    client.send(b"seen");
    server.read_exact(&mut [0; 4]).unwrap();
    kernel.detach();
    client.send(b"unseen");
    server.read_exact(&mut [0; 6]).unwrap();
    let mut seen = Seen::default();
    seen.drain(&mut kernel);
    assert_eq!(
        seen.stream(client.port(), Direction::Request).runs,
        [(0, b"seen".to_vec())]
    );
    assert_eq!(kernel.counters()[counter::REQUEST_BYTES as usize], 4);
}

#[test]
#[ignore = "root"]
fn datagrams_are_kept_with_their_peer_and_thread() {
    let _turn = TURN.lock();
    let port = Port::reserve();
    let mut kernel = attach(&port, Responses::Bytes, RING);
    let server = UdpSocket::bind(("127.0.0.1", port.number)).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client
        .send_to(b"0123456789", ("127.0.0.1", port.number))
        .unwrap();
    server.recv_from(&mut [0; 10]).unwrap();
    server
        .send_to(b"abc", client.local_addr().unwrap())
        .unwrap();
    let mut datagrams = Vec::new();
    kernel.drain(16, &mut |record| {
        if let Record::Datagram {
            direction,
            datagram,
            pieces,
            ..
        } = record
        {
            let bytes: Vec<u8> = pieces
                .collect()
                .iter()
                .flat_map(|piece| match piece {
                    Piece::Bytes(bytes) => bytes.to_vec(),
                    Piece::Hole(_) => Vec::new(),
                })
                .collect();
            let port = u16::from_be_bytes([datagram.name[2], datagram.name[3]]);
            datagrams.push((direction, bytes, datagram.thread, port));
        }
    });
    let [request, response] = &datagrams[..] else {
        panic!("{datagrams:?}");
    };
    assert_eq!(
        (request.0, &request.1[..]),
        (Direction::Request, &b"0123456789"[..])
    );
    assert_eq!(
        (response.0, &response.1[..]),
        (Direction::Response, &b"abc"[..])
    );
    assert_eq!(request.2, response.2);
    let peer = client.local_addr().unwrap().port();
    assert_eq!(response.3, peer);
    if kernel.facts().hooks == Hooks::Syscalls.name() {
        assert_eq!(
            request.3, peer,
            "a call that has returned says whose it was"
        );
    }
    assert_eq!(kernel.counters()[counter::UDP as usize], 0);
}

#[test]
#[ignore = "root"]
fn bytes_of_a_call_that_is_not_known_are_a_hole_of_that_size() {
    let _turn = TURN.lock();
    let port = Port::reserve();
    let mut kernel = attach(&port, Responses::Bytes, RING);
    let (mut server, mut client) = pair_beside(&kernel, &port);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b'f'; 3_000]).unwrap();
    file.rewind().unwrap();
    assert_eq!(
        rustix::fs::sendfile(&server, &file, None, 3_000).unwrap(),
        3_000
    );
    server.write_all(b"END\r\n").unwrap();
    client.receive_until(b"END\r\n");

    let mut seen = Seen::default();
    seen.drain(&mut kernel);
    let stream = seen.stream(client.port(), Direction::Response);
    assert_eq!(stream.holes, [(3_000, 1 << counter::OTHER_SYSCALL)]);
    assert_eq!(stream.runs, [(3_000, b"END\r\n".to_vec())]);
    assert_eq!(kernel.counters()[counter::OTHER_SYSCALL as usize], 3_000);
}

/// Reads 16 bytes over the array of buffers itself: afterwards their address is lost.
const READ_OVER_THE_ARRAY: &str = r#"
import ctypes, socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    connection = listener.accept()[0]
array = (ctypes.c_uint64 * 2)()
array[:] = [ctypes.addressof(array), 16]
assert ctypes.CDLL(None).readv(connection.fileno(), array, 1) == 16
"#;

#[test]
#[ignore = "root"]
fn bytes_that_are_no_longer_in_memory_are_counted_and_not_kept() {
    let _turn = TURN.lock();
    let port = Port::reserve();
    let mut kernel = attach(&port, Responses::Bytes, RING);
    let mut server = Command::new("python3")
        .args(["-c", READ_OVER_THE_ARRAY, &port.number.to_string()])
        .spawn()
        .unwrap();
    let mut stream = None;
    until(|| {
        kernel.beat();
        stream = TcpStream::connect(("127.0.0.1", port.number)).ok();
        stream.is_some()
    });
    stream.unwrap().write_all(&[b'x'; 16]).unwrap();
    assert!(server.wait().unwrap().success());

    let mut seen = Seen::default();
    seen.drain(&mut kernel);
    assert_eq!(kernel.counters()[counter::FAULT as usize], 16);
    let streams: Vec<_> = seen.streams.values().collect();
    assert_eq!(streams.len(), 1);
    assert_eq!(streams[0].holes, [(0, 1 << counter::FAULT)]);
    assert_eq!((streams[0].end, streams[0].runs.len()), (16, 0));
}
