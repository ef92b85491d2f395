//! A packet that passes an interface → the packet in the ring, if it has a followed port, or may hold a packet that has.
//!
//! Packets can be super-packets of several hundred KiB in many fragments (GRO, TSO). They are copied by the kernel's
//! helper, never read in place.

mod headers;
mod parts;

use aya_ebpf::programs::TcContext;
use membench_bpf_lib::{context, counters::Counters};
use membench_common::{counter, program, way};

use headers::Sight;

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
    let sight = headers::find(ctx)?;
    let time = context::now();
    let scratch = parts::scratch()?;
    if let Sight::Tunnel(begin) = sight
        && !parts::holds_port(ctx, scratch, begin)
    {
        return None;
    }
    let counters = Counters::for_program(program)?;
    counters.add(counter::PACKETS, 1);
    if let Err(cause) = parts::emit(ctx, scratch, way, time) {
        counters.add(cause, 1);
    }
    Some(())
}
