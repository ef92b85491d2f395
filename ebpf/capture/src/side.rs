//! Which end of a connection is followed → what receives and sends are there.
//!
//! A server receives requests, a client sends them. The side is a load-time global: the verifier removes the other.

use membench_common::{counter, side};

use crate::{
    kernel::global,
    socket::{State, Stream},
};

#[unsafe(no_mangle)]
static SIDE: u32 = side::SERVER;

/// Whether the clients' ends are followed.
#[inline(always)]
pub fn is_client() -> bool {
    global(&SIDE) == side::CLIENT
}

/// The stream that receives take from.
#[inline(always)]
pub fn received(state: &mut State) -> &mut Stream {
    if is_client() {
        &mut state.response
    } else {
        &mut state.request
    }
}

/// The stream that sends add to.
#[inline(always)]
pub fn sent(state: &mut State) -> &mut Stream {
    if is_client() {
        &mut state.request
    } else {
        &mut state.response
    }
}

const REQUESTS: [u32; 2] = [counter::REQUEST_CALLS, counter::REQUEST_BYTES];
const RESPONSES: [u32; 2] = [counter::RESPONSE_CALLS, counter::RESPONSE_BYTES];

/// Counters of receives and of their bytes.
#[inline(always)]
pub fn received_counters() -> [u32; 2] {
    if is_client() { RESPONSES } else { REQUESTS }
}

/// Counters of sends and of their bytes.
#[inline(always)]
pub fn sent_counters() -> [u32; 2] {
    if is_client() { REQUESTS } else { RESPONSES }
}
