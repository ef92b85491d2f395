//! A TCP socket that reaches CLOSE → its last record.

use core::mem::size_of;

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, programs::BtfTracePointContext};
use membench_common::{Close, Header, counter, kind, program};

use crate::{
    kernel::Structure,
    maps::{self, Counters},
    socket::{self, State},
};

const TCP_CLOSE: i32 = 7;

/// The program `inet_sock_set_state`. It can interrupt the others, so its record is made on the stack.
#[inline(always)]
pub fn state_changed(ctx: &BtfTracePointContext) -> Option<()> {
    let state = maps::known_state(reached(ctx)?)?;
    let counters = Counters::of(program::CLOSE)?;
    // SAFETY: a map's value; the kernel keeps it while the program runs.
    record(unsafe { &*state }, counters);
    Some(())
}

/// The socket that reaches CLOSE. It has given its port back already: having a state is what tells that it is followed.
#[inline(always)]
pub fn reached(ctx: &BtfTracePointContext) -> Option<Structure> {
    let sock = Structure::new(ctx.arg(0))?;
    if ctx.arg::<i32>(2) == TCP_CLOSE {
        Some(sock)
    } else {
        None
    }
}

/// Puts the last record of a socket into the ring, if its first one is there.
#[inline(always)]
pub fn record(state: &State, counters: Counters) {
    if state.is_announced() {
        counters.add(
            if output(state) {
                counter::RECORDS
            } else {
                counter::RECORDS_RING_FULL
            },
            1,
        );
    }
}

#[inline(always)]
fn output(state: &State) -> bool {
    // SAFETY: takes no arguments.
    let time = unsafe { bpf_ktime_get_ns() };
    let close = Close {
        request_offset: state.request.offset,
        response_offset: state.response.offset,
        request_lost: state.request.lost,
        response_lost: state.response.lost,
    };
    let record = (
        Header {
            kind: kind::CLOSE,
            ..socket::empty(state.cookie, time)
        },
        close,
    );
    maps::output(
        (&raw const record).cast(),
        size_of::<(Header, Close)>() as u64,
    )
}
