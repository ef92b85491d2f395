//! A packet that passes an interface → its headers and payload in the ring, if it is of a followed port.
//!
//! Packets can be super-packets of several hundred KiB in many pieces (GRO, TSO): they are read through the kernel only,
//! never in place, and only as far as they are followed.

mod headers;
mod windows;

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, programs::TcContext};
use membench_common::{counter, program, way};

use crate::{kernel::is_followed, maps::Counters};

use headers::{Place, Unfit};

/// Takes a packet that comes in.
#[inline(always)]
pub fn came_in(ctx: &TcContext) -> Option<()> {
    passed(ctx, way::IN, program::PACKET_IN)
}

/// Takes a packet that goes out.
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
    if !is_followed(destination) && !is_followed(source) {
        return None;
    }
    // SAFETY: takes no arguments.
    let time = unsafe { bpf_ktime_get_ns() };
    count(program, counter::PACKETS);
    match windows::emit(ctx, place, way, time) {
        Ok(()) => Some(()),
        Err(cause) => count(program, cause),
    }
}

#[inline(always)]
fn count(program: u32, counter: u32) -> Option<()> {
    Counters::of(program)?.add(counter, 1);
    Some(())
}
