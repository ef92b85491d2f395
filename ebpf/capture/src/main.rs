//! Calls that memcached makes on its sockets, or packets that pass an interface → records in a ring buffer.
//!
//! Programs run after a call is done: its length is known, its buffer holds the bytes, and nothing about it can be
//! changed. One program runs before a receive copies its bytes, and notes when they came. Each program returns at once
//! for sockets of other ports. One of two sets is loaded: the `sockets` hooks, or the `syscalls` hooks on kernels
//! without those.
#![no_std]
#![no_main]

mod call;
mod follow;
mod keep;
mod packets;
mod scratch;
mod sockets;
mod stream;
mod syscalls;

use aya_ebpf::{
    bindings::TC_ACT_UNSPEC,
    macros::{btf_tracepoint, classifier},
    programs::{BtfTracePointContext, TcContext},
};

/// Hook: the end of every receive on any socket, with its result. Chosen over system calls because it costs other tasks
/// nothing, needs no descriptor table, and passes the socket as a pointer that the verifier trusts.
///
/// Oldest kernel: 6.3. <https://github.com/torvalds/linux/blob/v6.12/net/socket.c#L1026-L1039>
#[btf_tracepoint(function = "sock_recv_length")]
#[inline(always)]
pub fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    match sockets::receive::received::<false>(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: the end of every send on any socket, with its result.
///
/// Oldest kernel: 6.3. <https://github.com/torvalds/linux/blob/v6.12/net/socket.c#L703-L717>
#[btf_tracepoint(function = "sock_send_length")]
#[inline(always)]
pub fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    match sockets::send::sent::<false>(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: the end of every receive, behind `sock_recv_length`. Attached where the kernel preempts tracepoint programs, and
/// so skips them for other tasks: it deals with the calls for which `sock_recv_length` was skipped.
///
/// Oldest kernel: 7.0. <https://github.com/torvalds/linux/blob/v7.0/include/linux/tracepoint.h>
#[btf_tracepoint(function = "sock_recv_length")]
#[inline(always)]
pub fn standby_receive(ctx: BtfTracePointContext) -> i32 {
    match sockets::receive::received::<true>(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: the end of every send, behind `sock_send_length`, as `standby_receive`.
///
/// Oldest kernel: 7.0. <https://github.com/torvalds/linux/blob/v7.0/include/linux/tracepoint.h>
#[btf_tracepoint(function = "sock_send_length")]
#[inline(always)]
pub fn standby_send(ctx: BtfTracePointContext) -> i32 {
    match sockets::send::sent::<true>(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: every change of a TCP socket's state. The change to CLOSE is the socket's end, whoever caused it.
///
/// Oldest kernel: 4.16. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/af_inet.c#L1329-L1333>
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    match sockets::close::state_changed(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: a TCP receive that is about to copy bytes to the caller. The socket's clock, which the receive refreshes next,
/// still says when the last packet came.
///
/// Oldest kernel: 4.18. <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c#L720-L728>
#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub fn tcp_rcv_space_adjust(ctx: BtfTracePointContext) -> i32 {
    match sockets::arrival::begun(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: the return of every system call, with its result, on kernels without the hooks above. Chosen over each call's
/// own tracepoint because one program then serves all, and over the entry because a receive has no bytes yet there.
///
/// Oldest kernel: 5.5. <https://github.com/torvalds/linux/blob/v5.10/include/trace/events/syscalls.h#L45-L68>
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    match syscalls::exit::returned(&ctx) {
        Some(()) | None => 0,
    }
}

/// Never attached: `sys_exit` tail-calls it with a receive into many iovecs.
#[btf_tracepoint(function = "sys_exit")]
pub fn more_received(ctx: BtfTracePointContext) -> i32 {
    match syscalls::continuation::more_received(&ctx) {
        Some(()) | None => 0,
    }
}

/// Never attached: `sys_exit` tail-calls it with a send of many iovecs.
#[btf_tracepoint(function = "sys_exit")]
pub fn more_sent(ctx: BtfTracePointContext) -> i32 {
    match syscalls::continuation::more_sent(&ctx) {
        Some(()) | None => 0,
    }
}

/// Never attached: `sys_exit` tail-calls it with datagrams, and with calls of several messages.
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn messages(ctx: BtfTracePointContext) -> i32 {
    match syscalls::messages::returned(&ctx) {
        Some(()) | None => 0,
    }
}

/// Never attached: `messages` tail-calls it with messages that were received.
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn messages_received(ctx: BtfTracePointContext) -> i32 {
    match syscalls::messages::received(&ctx) {
        Some(()) | None => 0,
    }
}

/// Never attached: `messages` tail-calls it with messages that were sent.
#[btf_tracepoint(function = "sys_exit")]
#[inline(always)]
pub fn messages_sent(ctx: BtfTracePointContext) -> i32 {
    match syscalls::messages::sent(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: every change of a TCP socket's state, beside `sys_exit`.
///
/// Oldest kernel: 4.16. <https://github.com/torvalds/linux/blob/v5.10/net/ipv4/tcp.c#L2280-L2346>
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn walked_closed(ctx: BtfTracePointContext) -> i32 {
    match syscalls::close::closed(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: a TCP receive that is about to copy bytes to the caller, beside `sys_exit`.
///
/// Oldest kernel: 4.18. <https://github.com/torvalds/linux/blob/v5.10/net/ipv4/tcp_input.c#L590-L595>
#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub fn walked_arrival(ctx: BtfTracePointContext) -> i32 {
    match syscalls::arrival::begun(&ctx) {
        Some(()) | None => 0,
    }
}

/// Hook: a packet comes in through an interface, after the driver and GRO and before anything else sees it. The result
/// leaves the packet to the next program attached.
///
/// Oldest kernel: 4.5 (`clsact`), 6.6 (`tcx`). <https://github.com/torvalds/linux/blob/v6.12/net/core/dev.c#L4104-L4146>
#[classifier]
pub fn membench_in(ctx: TcContext) -> i32 {
    match packets::came_in(&ctx) {
        Some(()) | None => TC_ACT_UNSPEC,
    }
}

/// Hook: a packet goes out through an interface, before it is queued or segmented (TSO).
///
/// Oldest kernel: 4.5 (`clsact`), 6.6 (`tcx`). <https://github.com/torvalds/linux/blob/v6.12/net/core/dev.c#L4148-L4188>
#[classifier]
pub fn membench_out(ctx: TcContext) -> i32 {
    match packets::goes_out(&ctx) {
        Some(()) | None => TC_ACT_UNSPEC,
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
