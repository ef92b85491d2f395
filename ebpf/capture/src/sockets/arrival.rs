//! A receive → when the last of the bytes it takes had arrived.

use aya_ebpf::{helpers::generated::bpf_jiffies64, programs::BtfTracePointContext};
use membench_common::field;

use crate::{
    kernel::{self, Sock, Structure},
    maps,
    socket::{self, State},
};

/// The program `tcp_rcv_space_adjust`: notes when the socket last dealt with a packet. The kernel calls it for every
/// run of bytes that a receive takes; the first one counts, as the others come after it has refreshed that time.
#[inline(always)]
pub fn begun(ctx: &BtfTracePointContext) -> Option<()> {
    let sock = Structure::new(ctx.arg(0))?;
    if !socket::is_followed_tcp(sock) {
        return None;
    }
    let state = maps::state(sock)?;
    // SAFETY: a map's value; the kernel keeps it while the program runs.
    note(sock, unsafe { &mut *state })
}

/// Notes when the socket last dealt with a packet, the first time in a receive.
#[inline(always)]
pub fn note(sock: impl Sock, state: &mut State) -> Option<()> {
    if state.dealt == 0 {
        state.dealt = sock.tcp()?.read(field::TCP_CLOCK);
    }
    Some(())
}

/// When the data of a receive that returned at `now` arrived, CLOCK_MONOTONIC, ns; 0 if that is not known. `dealt` is
/// exact, but an acknowledgement that was sent later moves it on. The time of the last data is kept as well, in
/// jiffies, and nothing else moves it: where the two lie more than a jiffy apart, it is right.
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_input.c#L720-L728>
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp_output.c#L54-L63>
#[inline(always)]
pub fn of(sock: impl Sock, dealt: u64, now: u64) -> u64 {
    let (Some(tcp), true) = (sock.tcp(), dealt != 0) else {
        return 0;
    };
    // SAFETY: takes no arguments.
    let jiffies = unsafe { bpf_jiffies64() } as u32;
    let jiffy = u64::from(kernel::jiffy());
    let age = u64::from(jiffies.wrapping_sub(tcp.read(field::TCP_LAST_DATA))) * jiffy;
    let by_data = now.wrapping_sub(age);
    if dealt > by_data + jiffy {
        by_data
    } else {
        dealt
    }
}
