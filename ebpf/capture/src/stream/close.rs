//! A change of a TCP socket's state → the socket, if it is now closed, and the state it leaves.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::{abi::TCP_CLOSE, kernel::Structure};

/// Returns the socket that `inet_sock_set_state` moves to CLOSE, and the state it leaves. The socket has given its port
/// back already, so only what is stored with it tells that it was followed.
#[inline(always)]
pub fn closed(ctx: &BtfTracePointContext) -> Option<(Structure, u32)> {
    let sock = Structure::new(ctx.arg(0))?;
    if ctx.arg::<i32>(2) == TCP_CLOSE {
        Some((sock, ctx.arg::<i32>(1).cast_unsigned()))
    } else {
        None
    }
}
