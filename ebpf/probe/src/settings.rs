//! The settings of a probe, which user space fills in before the programs are loaded.

use membench_common::{
    PORTS,
    probe::{COMMS, Settings},
};

/// Read with [`global`](membench_bpf_lib::kernel::global), member by member.
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings {
    comms: [[0; 2]; COMMS],
    least: 0,
    step: 0,
    steps: 0,
    addend: 0,
    ports: [0; PORTS],
    operand: 0,
    place: 0,
    size: 0,
    signed: 0,
    socket: 0,
    socket_place: 0,
    remote_place: 0,
    paired: 0,
    latency: 0,
    by: 0,
    stacks: 0,
    timed: 0,
};
