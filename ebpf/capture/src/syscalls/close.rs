//! A TCP socket that reaches CLOSE → its last record, and room for another.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::{counters::Counters, kernel::Sock};
use membench_common::program;

use crate::stream::{announce, close, table};

/// The program `walked_closed`. A closed socket has no port, so no later call brings it back.
#[inline(always)]
pub fn closed(ctx: &BtfTracePointContext) -> Option<()> {
    let (sock, from) = close::closed(ctx)?;
    let address = sock.address();
    let counters = Counters::for_program(program::CLOSE)?;
    let state = table::find(address)?;
    if state.announced != 0 {
        let after = state.after(sock, from);
        announce::output_close(state, counters, after);
    }
    table::forget(address);
    Some(())
}
