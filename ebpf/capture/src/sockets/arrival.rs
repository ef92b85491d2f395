//! A receive that begins → when the last packet came, noted in the socket's state.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::kernel::Structure;

use crate::{follow, stream::storage};

/// The program `tcp_rcv_space_adjust`. The kernel calls it for every run of bytes that a receive takes. The first
/// call counts: before the others the receive has refreshed the socket's clock.
#[inline(always)]
pub fn begun(ctx: &BtfTracePointContext) -> Option<()> {
    let sock = Structure::new(ctx.arg(0))?;
    if !follow::is_followed_tcp(sock) {
        return None;
    }
    storage::state(sock)?.note_packet(sock)
}
