//! A system call that returns → what it moved over a followed socket.

use aya_ebpf::programs::BtfTracePointContext;
use membench_common::program;

use super::{messages, places::Returned, receive, send, walk};
use crate::{
    datagram,
    kernel::Structure,
    maps::{self, Counters},
    socket,
};

/// The program `sys_exit`. Every system call of every task comes here: most leave by their number or result, and those
/// about other files at the first pointer that leads nowhere.
#[inline(always)]
pub fn returned(ctx: &BtfTracePointContext) -> Option<()> {
    let result = ctx.arg::<i64>(1);
    if result < 0 {
        return None;
    }
    let call = Returned::of(Structure::new(ctx.arg(0))?)?;
    if result == 0 && call.is_send() {
        return None;
    }
    let sock = walk::socket(call.descriptor())?;
    if !socket::is_followed(sock) {
        return unconnected(call, sock, result);
    }
    if call.is_aside() {
        return None;
    }
    if call.has_messages() || datagram::is_datagram(sock) {
        return messages::hand_over(ctx, sock);
    }
    let counters = Counters::of(program::RECEIVE)?;
    let length = result as u32;
    if call.is_send() {
        send::sent(ctx, call, sock, counters, length)
    } else if length == 0 {
        receive::ended(call, sock, counters)
    } else {
        receive::received(ctx, call, sock, counters, length)
    }
}

/// Of a client's sockets for datagrams: only sends say where to.
#[inline(always)]
fn unconnected(call: Returned, sock: walk::Walked, result: i64) -> Option<()> {
    if !call.is_send() || call.has_messages() {
        return None;
    }
    datagram::count_unconnected(
        sock,
        result as i32,
        program::RECEIVE,
        maps::receive_scratch,
        || call.arguments(),
    )
}
