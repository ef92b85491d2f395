//! Requests of memcached → the parts of their time, aggregated in the kernel.
//!
//! Each worker's thread has clocks, one for each state that it can be in: it runs, waits for a CPU, sleeps for a reason. At
//! each moment exactly one of them goes. A request's time from its arrival to its answer is then the difference of the
//! clocks at both ends, so its parts are never negative, and sum to the whole.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod account;
mod answer;
mod arrival;
mod connection;
mod counters;
mod culprit;
mod event;
mod follow;
mod place;
mod runs;
mod scheduler;
mod slow;
mod socket;
mod sums;
mod worker;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use membench_common::observe::counter;

/// Hook: a socket has bytes that can be read. Chosen over packets because it comes when no earlier packet is missing: a
/// request that waits for a lost one has not arrived.
///
/// Oldest kernel: 6.3. <https://github.com/torvalds/linux/blob/v6.12/net/core/sock.c#L3445-L3465>
#[btf_tracepoint(function = "sk_data_ready")]
pub fn data_ready(ctx: BtfTracePointContext) -> i32 {
    match arrival::came(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: the end of every receive on any socket, with its result.
///
/// Oldest kernel: 6.3. <https://github.com/torvalds/linux/blob/v6.12/net/socket.c#L1026-L1039>
#[btf_tracepoint(function = "sock_recv_length")]
pub fn received(ctx: BtfTracePointContext) -> i32 {
    match account::received(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: the end of every send on any socket, with its result.
///
/// Oldest kernel: 6.3. <https://github.com/torvalds/linux/blob/v6.12/net/socket.c#L703-L717>
#[btf_tracepoint(function = "sock_send_length")]
pub fn sent(ctx: BtfTracePointContext) -> i32 {
    match account::sent(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: a CPU goes from one task to another.
///
/// Oldest kernel: 5.18, which passes the state. <https://github.com/torvalds/linux/blob/v6.12/kernel/sched/core.c#L6691>
#[btf_tracepoint(function = "sched_switch")]
pub fn switched(ctx: BtfTracePointContext) -> i32 {
    match scheduler::switched(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: a task that slept can run.
///
/// Oldest kernel: 5.5. <https://github.com/torvalds/linux/blob/v6.12/kernel/sched/core.c#L3669-L3680>
#[btf_tracepoint(function = "sched_wakeup")]
pub fn woken(ctx: BtfTracePointContext) -> i32 {
    match scheduler::woken(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: a thread ends. Its number can then be another's.
///
/// Oldest kernel: 5.5. <https://github.com/torvalds/linux/blob/v6.12/kernel/exit.c#L937>
#[btf_tracepoint(function = "sched_process_exit")]
pub fn ended(ctx: BtfTracePointContext) -> i32 {
    match scheduler::ended(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: TCP sends a segment again.
///
/// Oldest kernel: 5.5. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_output.c#L3411>
#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub fn retransmitted(ctx: BtfTracePointContext) -> i32 {
    match event::count(&ctx, counter::RETRANSMITTED) {
        Some(()) | None => 0,
    }
}

/// Hook: TCP resets a connection.
///
/// Oldest kernel: 5.5. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_ipv4.c#L864>
#[btf_tracepoint(function = "tcp_send_reset")]
pub fn reset_sent(ctx: BtfTracePointContext) -> i32 {
    match event::count(&ctx, counter::RESET_SENT) {
        Some(()) | None => 0,
    }
}

/// Hook: a peer has reset a connection.
///
/// Oldest kernel: 5.5. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c#L4502>
#[btf_tracepoint(function = "tcp_receive_reset")]
pub fn reset_received(ctx: BtfTracePointContext) -> i32 {
    match event::count(&ctx, counter::RESET_RECEIVED) {
        Some(()) | None => 0,
    }
}

/// Loops forever. The verifier rejects that, so no program with a reachable panic loads.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// License of the object. The kernel allows most helpers only to programs that are also under the GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
