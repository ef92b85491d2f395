//! The read of a request and the send that answers it → the parts of its time.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::{
    abi::{MSG_ERRQUEUE, MSG_OOB, MSG_PEEK},
    context::{now, thread},
    kernel::{Sock, Structure, global},
};
use membench_common::{
    field,
    observe::{by, counter, part, state},
};

use crate::{
    answer, arrival, connection, counters, follow, slow,
    socket::{self, ANSWERED, NONE, READ, Socket},
    sums,
    worker::{self, Seat},
};

/// How requests are grouped: bits of [`by`].
#[unsafe(no_mangle)]
static BY: u32 = 0;

/// Most by which the parts may exceed the whole, ns: the clocks of two CPUs disagree, and a clock goes on while it is
/// copied. A larger excess is a chain that was not seen whole.
const SKEW: u64 = 10_000;
/// Flags of receives that take nothing from the stream.
const ASIDE: i32 = MSG_PEEK | MSG_OOB | MSG_ERRQUEUE;

/// The program `received`.
#[inline(always)]
pub fn received(ctx: &BtfTracePointContext) -> Option<()> {
    let length = ctx.arg::<i32>(1);
    if length <= 0 || ctx.arg::<i32>(2) & ASIDE != 0 {
        return None;
    }
    let sock = Structure::new(ctx.arg(0))?;
    if !follow::admits(sock) {
        return None;
    }
    let tcp = sock.tcp()?;
    let now = now();
    let Some(socket) = socket::state(sock) else {
        counters::add(counter::NO_STATE, 1);
        return None;
    };
    let thread = thread();
    let number = match worker::number(thread) {
        0 => match worker::enlist(thread, now) {
            Some(number) => number,
            None => {
                counters::add(counter::UNLISTED, 1);
                socket.phase = NONE;
                return None;
            }
        },
        number => number,
    };
    let worker = Seat::numbered(number)?;
    worker.count_read();
    let is_broken = note_read(socket, tcp, length as u32);
    begin(
        socket,
        (tcp, length as u32),
        now,
        (number, worker),
        is_broken,
    );
    Some(())
}

/// Notes the sequence numbers at a read. Returns true if bytes had moved without a call that was seen.
#[inline(always)]
fn note_read(socket: &mut Socket, tcp: Structure, length: u32) -> bool {
    let copied = Sock::read::<u32>(tcp, field::TCP_COPIED);
    let written = Sock::read::<u32>(tcp, field::TCP_WRITTEN);
    let gap = copied.wrapping_sub(length).wrapping_sub(socket.copied);
    // A FIN that is read takes a number.
    let is_whole = gap == 0 || (gap == 1 && tcp.is_finished());
    let is_broken = socket.worker != 0 && (!is_whole || written != socket.written);
    socket.copied = copied;
    socket.written = written;
    is_broken
}

/// True if a connection had read before a read of `length` bytes. The kernel does not keep a socket's first sequence
/// number, but counts what was received since, a FIN included. A FIN that is read with the bytes before it takes a
/// number, and is not in `length`.
#[inline(always)]
fn has_read_before(tcp: Structure, length: u32) -> bool {
    let received = Sock::read::<u32>(tcp, field::TCP_RECEIVED);
    let first = received.wrapping_sub(Sock::read::<u64>(tcp, field::TCP_BYTES_RECEIVED) as u32);
    let copied = Sock::read::<u32>(tcp, field::TCP_COPIED);
    let read = copied.wrapping_sub(length).wrapping_sub(first);
    let fin = u32::from(tcp.is_finished() && copied == received);
    read != fin
}

/// Begins a request.
#[inline(always)]
fn begin(
    socket: &mut Socket,
    (tcp, length): (Structure, u32),
    now: u64,
    (number, worker): (u32, Seat),
    is_broken: bool,
) {
    if socket.phase != READ {
        socket.begun = socket.copied.wrapping_sub(length);
    } else if !is_broken {
        counters::add(counter::UNANSWERED, 1);
    }
    let mut noted = arrival::take(socket, tcp);
    let is_first = socket.worker == 0;
    if is_first && has_read_before(tcp, length) {
        noted = None;
    }
    let running = worker.running(now);
    let done = worker.replace_done(running);
    socket.read = now;
    socket.worker = number;
    socket.phase = READ;
    if is_broken {
        counters::add(counter::BROKEN, 1);
        socket.phase = NONE;
        return;
    }
    let Some(noted) = noted else {
        counters::add(counter::UNSEEN, 1);
        socket.phase = NONE;
        return;
    };
    socket.ahead = 0;
    socket.before = 0;
    socket.is_first = u64::from(is_first);
    if noted == u64::from(number) {
        let since = socket.clocks[state::RUNNING];
        socket.ahead = done
            .saturating_sub(since)
            .min(running.saturating_sub(since));
    } else {
        socket.before = now.saturating_sub(socket.start);
        worker.copy_clocks(now, &mut socket.clocks);
    }
    socket.read_running = running;
    socket.read_idle = worker.clock(state::IDLE);
    socket.done_running = running;
    socket.done_idle = socket.read_idle;
}

/// The program `sent`.
#[inline(always)]
pub fn sent(ctx: &BtfTracePointContext) -> Option<()> {
    let length = ctx.arg::<i32>(1);
    if length <= 0 {
        return None;
    }
    let sock = Structure::new(ctx.arg(0))?;
    if !follow::admits(sock) {
        return None;
    }
    let socket = socket::known_state(sock)?;
    let tcp = sock.tcp()?;
    let written = Sock::read::<u32>(tcp, field::TCP_WRITTEN);
    let is_whole = written.wrapping_sub(length as u32) == socket.written
        && Sock::read::<u32>(tcp, field::TCP_COPIED).wrapping_sub(socket.copied) <= 1;
    socket.written = written;
    if socket.phase == NONE {
        return None;
    }
    let number = worker::number(thread());
    if number != socket.worker || !is_whole {
        let why = if is_whole {
            counter::MOVED
        } else {
            counter::BROKEN
        };
        counters::add(why, 1);
        socket.phase = NONE;
        return None;
    }
    let worker = Seat::numbered(number)?;
    let now = now();
    let running = worker.running(now);
    let idle = worker.clock(state::IDLE);
    if socket.phase == ANSWERED && idle != socket.done_idle {
        counters::add(counter::CONTINUED, 1);
    } else {
        close(socket, tcp, worker, (now, running), length as u32);
    }
    worker.replace_done(running);
    socket.phase = ANSWERED;
    socket.done_running = running;
    socket.done_idle = idle;
    Some(())
}

/// Closes a request's account, which a send of `length` bytes answers.
#[inline(always)]
fn close(socket: &Socket, tcp: Structure, worker: Seat, (now, running): (u64, u64), length: u32) {
    let whole = now.saturating_sub(socket.start);
    let passed = |state: usize| worker.clock(state).saturating_sub(socket.clocks[state]);
    let read_from = socket.clocks[state::RUNNING];
    let reading = socket.read_running.saturating_sub(read_from);
    let read = reading.saturating_sub(socket.ahead);
    let wake_up = socket.read_idle.saturating_sub(socket.clocks[state::IDLE]);
    let parked = worker.clock(state::IDLE).saturating_sub(socket.read_idle);
    // Answers to other commands of the same read.
    let answers = socket.done_running.saturating_sub(socket.read_running);
    let ahead = socket.ahead + answers;
    let own = running.saturating_sub(socket.done_running);
    // When TCP last began to send a packet, or got one.
    let transmitted = Sock::read::<u64>(tcp, field::TCP_CLOCK);
    let sending = now.saturating_sub(transmitted);
    let send = if transmitted > socket.read {
        sending.min(own)
    } else {
        0
    };
    let mut parts = [0_u64; part::COUNT];
    parts[part::WAKE_UP] = wake_up;
    parts[part::ACCEPT] = socket.before;
    parts[part::WOKEN] = passed(state::WOKEN);
    parts[part::PREEMPTED] = passed(state::PREEMPTED);
    parts[part::AHEAD] = ahead;
    parts[part::READ] = read;
    parts[part::MEMCACHED] = own - send;
    parts[part::SEND] = send;
    parts[part::PARKED] = parked;
    parts[part::LOCK] = passed(state::LOCK);
    parts[part::FAULT] = passed(state::FAULT);
    parts[part::DISK] = passed(state::DISK);
    parts[part::STOPPED] = passed(state::STOPPED);
    parts[part::BLOCKED] = passed(state::BLOCKED);
    parts[part::ASLEEP] = passed(state::ASLEEP);
    let mut known = 0;
    let mut index = 0;
    while index < part::UNEXPLAINED {
        known += parts[index];
        index += 1;
    }
    if known > whole + SKEW {
        counters::add(counter::BROKEN, 1);
        return;
    }
    parts[part::WHOLE] = whole.max(known);
    parts[part::UNEXPLAINED] = parts[part::WHOLE] - known;
    if socket.is_first == 0 {
        parts[part::UNEXPLAINED] += core::mem::take(&mut parts[part::ACCEPT]);
    }
    let by = global(&BY);
    let is_slow = slow::is_slow(parts[part::WHOLE]);
    let mut answer = 0;
    if is_slow || by & by::COMMAND != 0 {
        answer = answer::begin();
    }
    let class = if by & by::COMMAND == 0 {
        None
    } else {
        sums::of_class(answer::class_of(answer))
    };
    if by & by::CONNECTION != 0 {
        connection::add(socket, tcp, length, &parts);
    }
    if is_slow {
        slow::keep(socket, tcp, (now, length, answer), &parts);
    }
    // Last: once the verifier knows that no part is read again, it need not tell apart which are 0.
    // SAFETY: the thread's own sums, and those of this program on this CPU.
    unsafe { sums::add(worker.account(), class, &parts) };
}
