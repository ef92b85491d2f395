//! A TCP socket that reaches CLOSE → its last record, and room for another.

use aya_ebpf::programs::BtfTracePointContext;
use membench_common::program;

use super::table;
use crate::{close, kernel::Sock, maps::Counters};

/// The program `walked_closed`. A closed socket has no port, so that no later call brings it back.
#[inline(always)]
pub fn closed(ctx: &BtfTracePointContext) -> Option<()> {
    let sock = close::reached(ctx)?;
    let address = sock.address();
    let counters = Counters::of(program::CLOSE)?;
    close::record(table::at(address)?, counters);
    table::forget(address);
    Some(())
}
