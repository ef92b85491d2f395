//! A receive that begins on a followed socket → when the last packet came, noted in the socket's state.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::kernel::{Probed, Sock, Structure};

use crate::{follow, stream::table};

/// The program `walked_arrival`. The running system call will find the socket at the same address.
#[inline(always)]
pub fn begun(ctx: &BtfTracePointContext) -> Option<()> {
    let sock = Structure::new(ctx.arg(0))?;
    if !follow::is_followed_tcp(sock) {
        return None;
    }
    let sock = Probed::new(sock.address());
    table::find_or_insert(sock.address)?.note_packet(sock)
}
