//! Floor of the cost: a one-thread epoll client that only parses every answer, and stamps and histograms every request.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use hdrhistogram::Histogram;
use membench_replay::bench::{Poller, monotonic, thread_cpu};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::Load;

struct Client {
    socket: std::net::TcpStream,
    /// Times at which the requests without an answer were sent, monotonic ns.
    sent: VecDeque<u64>,
    outgoing: Vec<u8>,
    /// Requests left to send.
    left: usize,
    /// Index of the next request to send.
    next: usize,
}

/// Runs the load; returns the CPU time of the thread per request, ns.
pub(crate) fn run(target: SocketAddr, load: &Load, requests: &[Vec<u8>]) -> io::Result<f64> {
    let mut poller = Poller::new()?;
    let mut clients = Vec::new();
    for index in 0..load.connections {
        let socket = std::net::TcpStream::connect(target)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        poller.add(&socket, index as u64)?;
        clients.push(Client {
            socket,
            sent: VecDeque::new(),
            outgoing: Vec::new(),
            left: load.requests / load.connections,
            next: index,
        });
    }
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3).expect("bounds");
    let mut incoming = vec![0; 64 * 1024];
    let cpu = thread_cpu();
    for client in &mut clients {
        client.refill(load, requests)?;
    }
    let mut open = clients.len();
    while open > 0 {
        for ready in poller.wait(50_000_000)? {
            let client = &mut clients[usize::try_from(ready.token).unwrap_or(0)];
            if !ready.readable {
                continue;
            }
            client.read(&mut incoming, &mut histogram)?;
            if client.sent.is_empty() {
                client.refill(load, requests)?;
                open -= usize::from(client.sent.is_empty());
            }
        }
    }
    let cpu = thread_cpu() - cpu;
    Ok(super::ratio(cpu, histogram.len()))
}

impl Client {
    /// Sends the next batch, if any requests are left.
    fn refill(&mut self, load: &Load, requests: &[Vec<u8>]) -> io::Result<()> {
        let count = load.depth.min(self.left);
        if count == 0 {
            return Ok(());
        }
        self.left -= count;
        self.outgoing.clear();
        let now = monotonic();
        for _ in 0..count {
            self.outgoing
                .extend_from_slice(&requests[self.next % requests.len()]);
            self.next += load.connections;
            self.sent.push_back(now);
        }
        let sent = send(&self.socket, &self.outgoing, SendFlags::NOSIGNAL)?;
        assert_eq!(sent, self.outgoing.len(), "a batch fits the socket");
        Ok(())
    }

    /// Reads and parses the answers that have arrived.
    fn read(&mut self, incoming: &mut [u8], histogram: &mut Histogram<u64>) -> io::Result<()> {
        let mut bytes: &[u8] = match recv(self.socket.as_fd(), &mut *incoming, RecvFlags::empty()) {
            Ok((length, _)) => &incoming[..length],
            Err(Errno::AGAIN) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        let now = monotonic();
        while !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes).expect("answers come whole on loopback") + 1;
            let (line, rest) = bytes.split_at(end);
            bytes = rest;
            if line.starts_with(b"VALUE ") {
                bytes = &bytes[size(line) + 2..];
                continue;
            }
            assert!(line == b"END\r\n" || line == b"STORED\r\n");
            let sent = self.sent.pop_front().expect("an answer has its request");
            histogram.saturating_record(now - sent);
        }
        Ok(())
    }
}

/// Returns the size in `VALUE key flags size`.
fn size(line: &[u8]) -> usize {
    let digits = line
        .trim_ascii_end()
        .rsplit(|byte| *byte == b' ')
        .next()
        .unwrap_or_default();
    digits
        .iter()
        .fold(0, |size, digit| size * 10 + usize::from(digit - b'0'))
}
