//! A system call that returns → what it moved over a followed socket.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::{
    counters::Counters,
    descriptor,
    kernel::{Probed, Sock, Structure},
};
use membench_common::program;

use super::{messages, receive, send};
use crate::{
    call::registers::Syscall,
    follow,
    keep::{datagram::count_unconnected, rules::Moved},
    scratch,
};

/// The program `sys_exit`. Every system call of every task comes here. Most leave by their number or result, and those
/// on other files at the first pointer that leads nowhere.
#[inline(always)]
pub fn returned(ctx: &BtfTracePointContext) -> Option<()> {
    let result = ctx.arg::<i64>(1);
    if result < 0 {
        return None;
    }
    let call = Syscall::from_registers(Structure::new(ctx.arg(0))?)?;
    if result == 0 && call.is_send() {
        return None;
    }
    let sock = descriptor::socket(call.descriptor())?;
    // The table drops a socket's state when TCP ends the connection, so none outlives its port.
    if !follow::is_followed(sock, |_| false) {
        return unconnected(call, sock, result);
    }
    if call.is_aside() {
        return None;
    }
    if call.has_messages() || sock.is_udp() {
        return messages::hand_over(ctx, sock);
    }
    let counters = Counters::for_program(program::RECEIVE)?;
    let length = result as u32;
    if length == 0 {
        return receive::ended(call, sock, counters);
    }
    let moved = Moved::new(sock, counters, length);
    if call.is_send() {
        send::sent(ctx, call, moved)
    } else {
        receive::received(ctx, call, moved)
    }
}

/// Counts a datagram of a client's socket that is not connected. Only sends say where they go.
#[inline(always)]
fn unconnected(call: Syscall, sock: Probed, result: i64) -> Option<()> {
    if !call.is_send() || call.has_messages() {
        return None;
    }
    count_unconnected(
        sock,
        result as i32,
        program::RECEIVE,
        scratch::for_receives::<false>,
        || call.arguments(),
    )
}
