//! A packet that passes an interface → its headers and payload in the ring, if it has a followed port.
//!
//! Packets can be super-packets of several hundred KiB in many fragments (GRO, TSO). They are copied by the kernel's
//! helper, never read in place, and only as far as they are recorded.

mod headers;
mod windows;

use aya_ebpf::programs::TcContext;
use membench_bpf_lib::{context, counters::Counters};
use membench_common::{counter, program, way};

use crate::follow;

use headers::{Place, Unfit};

/// The program `membench_in`.
#[inline(always)]
pub fn came_in(ctx: &TcContext) -> Option<()> {
    passed(ctx, way::IN, program::PACKET_IN)
}

/// The program `membench_out`.
#[inline(always)]
pub fn goes_out(ctx: &TcContext) -> Option<()> {
    passed(ctx, way::OUT, program::PACKET_OUT)
}

#[inline(always)]
fn passed(ctx: &TcContext, way: u16, program: u32) -> Option<()> {
    let place = match headers::find(ctx) {
        Ok(place) => place,
        Err(Unfit::Other) => return None,
        Err(Unfit::Unreadable) => return count(program, counter::PACKETS_UNREADABLE),
    };
    let Place {
        source,
        destination,
        ..
    } = place;
    if !follow::is_followed_port(destination) && !follow::is_followed_port(source) {
        return None;
    }
    let time = context::now();
    count(program, counter::PACKETS);
    match windows::emit(ctx, place, way, time) {
        Ok(()) => Some(()),
        Err(cause) => count(program, cause),
    }
}

#[inline(always)]
fn count(program: u32, counter: u32) -> Option<()> {
    Counters::for_program(program)?.add(counter, 1);
    Some(())
}
