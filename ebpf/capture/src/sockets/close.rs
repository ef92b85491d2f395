//! A TCP socket that reaches CLOSE → its last record.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::counters::Counters;
use membench_common::program;

use crate::stream::{announce, close, storage};

/// The program `inet_sock_set_state`. It can interrupt the others, so its record is composed on the stack.
#[inline(always)]
pub fn state_changed(ctx: &BtfTracePointContext) -> Option<()> {
    let (sock, from) = close::closed(ctx)?;
    let state = storage::known_state(sock)?;
    let counters = Counters::for_program(program::CLOSE)?;
    if state.announced != 0 {
        let after = state.after(sock, from);
        announce::output_close(state, counters, after);
    }
    Some(())
}
