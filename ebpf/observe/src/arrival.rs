//! Bytes that can be read → when they came, and the clocks of the worker that is going to read them.
//!
//! They can come on another CPU than the one on which the worker reads. `pending` says which of the two arrivals is
//! written, and is set last.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::{
    context::now,
    kernel::{Sock, Structure},
};
use membench_common::{
    field,
    observe::{STATES, counter, state},
};

use crate::{
    counters, follow,
    socket::{self, Arrival, Socket},
    worker::Seat,
};

/// Most looks at a worker's clocks while its state changes, which takes a fraction of a microsecond.
const TRIES: u32 = 16;

/// The program `data_ready`.
#[inline(always)]
pub fn came(ctx: &BtfTracePointContext) -> Option<()> {
    let sock = Structure::new(ctx.arg(0))?;
    if !follow::is_followed(sock) {
        return None;
    }
    let Some(socket) = socket::state(sock) else {
        counters::add(counter::NO_STATE, 1);
        return None;
    };
    let worker = socket.worker;
    if socket.pending == 0 {
        note(&mut socket.first, worker);
        socket.pending = 1;
    } else {
        note(&mut socket.latest, worker);
    }
    Some(())
}

#[inline(always)]
fn note(arrival: &mut Arrival, worker: u32) {
    let mut time = now();
    arrival.worker = 0;
    if let Some(seat) = Seat::numbered(worker) {
        let mut tries = 0;
        while tries < TRIES {
            if seat.copy_clocks(time, &mut arrival.clocks) {
                arrival.worker = u64::from(worker);
                break;
            }
            time = now();
            tries += 1;
        }
    }
    arrival.time = time;
}

/// Takes the arrival of what was just read, and leaves that of what still waits. Returns the number of the worker whose
/// clocks were noted, 0 if none; `None` if the arrival was not seen. Called before the read's own time is noted.
#[inline(always)]
pub fn take(socket: &mut Socket, tcp: Structure) -> Option<u64> {
    let is_first_known = socket.pending != 0 && socket.first.time != 0;
    // Bytes that came after the last read had looked at what it left.
    let is_latest_known = socket.latest.time > socket.read;
    let known = if is_first_known {
        Some(&socket.first)
    } else if is_latest_known {
        Some(&socket.latest)
    } else {
        None
    };
    let worker = known.map(|arrival| {
        socket.start = arrival.time;
        copy(&arrival.clocks, &mut socket.clocks);
        arrival.worker
    });
    let received = Sock::read::<u32>(tcp, field::TCP_RECEIVED);
    if received == Sock::read::<u32>(tcp, field::TCP_COPIED) {
        // In this order: an arrival on another CPU that sees `pending` cleared writes the first one anew.
        // SAFETY: words of a map's value.
        unsafe {
            (&raw mut socket.first.time).write_volatile(0);
            (&raw mut socket.pending).write_volatile(0);
        }
    } else if is_latest_known {
        // Of bytes that several packets brought, only the newest packet's time is known.
        socket.first.time = socket.latest.time;
        socket.first.worker = socket.latest.worker;
        copy(&socket.latest.clocks, &mut socket.first.clocks);
        socket.pending = 1;
    }
    worker
}

/// Copies clocks, without the room that is never used.
#[inline(always)]
fn copy(from: &[u64; STATES], to: &mut [u64; STATES]) {
    let mut index = 0;
    while index < state::COUNT {
        to[index] = from[index];
        index += 1;
    }
}
