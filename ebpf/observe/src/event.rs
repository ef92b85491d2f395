//! Rare events of TCP at followed ports → counters.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::{filter, kernel::Structure};

use crate::{counters, follow};

/// Counts an event of the socket that a tracepoint's first argument is. It is null for a packet that belongs to none.
///
/// The current task is any, so a socket's process is not known.
#[inline(always)]
pub fn count(ctx: &BtfTracePointContext, counter: usize) -> Option<()> {
    let sock = Structure::new(ctx.arg(0))?;
    if follow::is_followed(sock) && filter::admits_namespace(sock) {
        counters::add(counter, 1);
    }
    Some(())
}
