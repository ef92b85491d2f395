//! A TCP socket that reaches CLOSE → its last record, and room for another.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::{counters::Counters, kernel::Sock};
use membench_common::program;

use crate::stream::{announce, close, table};

/// The program `walked_closed`. A closed socket has no port, so no later call brings it back.
#[inline(always)]
pub fn closed(ctx: &BtfTracePointContext) -> Option<()> {
    let address = close::closed(ctx)?.address();
    let counters = Counters::for_program(program::CLOSE)?;
    let state = table::find(address)?;
    if state.announced != 0 {
        announce::output_close(state, counters);
    }
    table::forget(address);
    Some(())
}
