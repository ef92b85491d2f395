//! The kernel's hooks → tried on connections of our own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use membench_common::counter;
use membench_decode::Responses;
use membench_event::Direction;

use crate::doctor::{Check, note, preemption};
use crate::source::interface::Interface;
use crate::{Error, Followed, Kernel, KernelOptions, Record, Result};

/// The interface that is tried.
const LOOPBACK: &str = "lo";
/// The name of its hook.
const PACKET_HOOK: &str = "traffic control";
/// Bytes sent over a connection of our own to make the hooks fire.
const PING: &[u8] = b"version\r\n";

/// How long a hook may take to fire after its call.
const PATIENCE: Duration = Duration::from_secs(10);

/// Loads and attaches the socket hooks, makes them fire, and detaches.
pub(super) fn try_sockets(checks: &mut Vec<Check>) -> Result<&'static str> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(no_trial)?;
    let port = listener.local_addr().map_err(no_trial)?.port();
    let attached = Kernel::attach(&KernelOptions {
        followed: Followed::ports(&[port]),
        responses: Responses::Bytes,
        ring_bytes: 0,
        ..KernelOptions::default()
    });
    let hooks = attached.as_ref().map(|kernel| kernel.facts().to_string());
    note(checks, "load and attach", hooks);
    let mut kernel = attached?;
    checks.push(preemption::examine(kernel.facts())?);
    // On a starved machine attaching alone can take so long that the programs would keep quiet.
    kernel.beat();
    exchange(&listener).map_err(no_trial)?;
    let seen = Seen::within(&mut kernel, PATIENCE);
    seen.note(checks);
    let counted = seen_bytes(&kernel);
    if counted != [PING.len() as u64; 2] {
        return Err(Error::HooksSilent {
            seen: counted,
            sent: PING.len() as u64,
        });
    }
    kernel.detach();
    exchange(&listener).map_err(no_trial)?;
    let after = seen_bytes(&kernel);
    checks.push(Check {
        name: "detach".to_owned(),
        works: after == counted,
        detail: format!("{} bytes more were seen", after[0] - counted[0]),
    });
    Ok(kernel.facts().hooks)
}

/// Attaches to the loopback interface, passes packets, and detaches.
pub(super) fn try_interface(checks: &mut Vec<Check>) -> Result<&'static str> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(no_trial)?;
    let port = listener.local_addr().map_err(no_trial)?.port();
    let opened = Interface::open(LOOPBACK, &Followed::ports(&[port]), 0, None);
    let facts = opened
        .as_ref()
        .map(|interface| interface.facts().to_string());
    note(checks, &format!("load and attach to {LOOPBACK}"), facts);
    let mut interface = opened?;
    exchange(&listener).map_err(no_trial)?;
    let packets = fired(&mut interface, checks);
    if packets == 0 {
        return Err(Error::HooksSilent {
            seen: [0; 2],
            sent: PING.len() as u64,
        });
    }
    let left = interface.detach();
    let passed = interface.passed();
    exchange(&listener).map_err(no_trial)?;
    let after = interface.passed() - passed;
    checks.push(Check {
        name: format!("detach from {LOOPBACK}"),
        works: left.is_none() && after == 0,
        detail: format!("{after} packets more were seen"),
    });
    Ok(interface.facts().hooks)
}

/// Counts the packets in the ring: those of a connection that has ended.
fn fired(interface: &mut Interface, checks: &mut Vec<Check>) -> u64 {
    let mut packets = 0;
    while interface.next_packet().is_some() {
        packets += 1;
    }
    checks.push(Check {
        name: PACKET_HOOK.to_owned(),
        works: packets > 0,
        detail: format!("{packets} packets of our own connection passed"),
    });
    packets
}

fn no_trial(source: std::io::Error) -> Error {
    Error::NoTrial { source }
}

/// The hooks that left something in the ring.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one a hook")]
struct Seen {
    receive: bool,
    send: bool,
    close: bool,
    arrival: bool,
}

impl Seen {
    /// Drains until the connection's close has been seen, or `patience` is over.
    fn within(kernel: &mut Kernel, patience: Duration) -> Self {
        let (mut seen, end) = (Self::default(), Instant::now() + patience);
        while !seen.close && Instant::now() < end {
            if kernel.drain(16, &mut |record| seen.take(&record)) == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        seen
    }

    fn take(&mut self, record: &Record<'_>) {
        match record {
            Record::Bytes {
                header, direction, ..
            } => {
                self.receive |= *direction == Direction::Request;
                self.send |= *direction == Direction::Response;
                self.arrival |= header.arrival != 0;
            }
            Record::Close { .. } => self.close = true,
            Record::Socket { .. } | Record::End { .. } | Record::Datagram { .. } => {}
        }
    }

    fn note(self, checks: &mut Vec<Check>) {
        let Self {
            receive,
            send,
            close,
            arrival,
        } = self;
        for (name, works, what) in [
            ("sock_recv_length", receive, "what a server reads"),
            ("sock_send_length", send, "what it answers"),
            ("inet_sock_set_state", close, "where connections end"),
            (
                "tcp_rcv_space_adjust",
                arrival,
                "when requests arrived (`queue_time`)",
            ),
        ] {
            let fired = if works { "fired" } else { "did not fire" };
            let detail = format!("{fired}: {what}");
            checks.push(Check {
                name: name.to_owned(),
                works,
                detail,
            });
        }
    }
}

/// Moves the same bytes both ways over a connection whose server side is ours.
fn exchange(listener: &TcpListener) -> std::io::Result<()> {
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    let mut bytes = vec![0; PING.len()];
    client.write_all(PING)?;
    server.read_exact(&mut bytes)?;
    server.write_all(&bytes)?;
    client.read_exact(&mut bytes)
}

fn seen_bytes(kernel: &Kernel) -> [u64; 2] {
    let counters = kernel.counters();
    [counter::REQUEST_BYTES, counter::RESPONSE_BYTES].map(|of| counters[of as usize])
}
