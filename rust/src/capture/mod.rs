//! Kernel hooks → segments: load, attach, drain, account.

#[cfg(not(feature = "ebpf"))]
mod absent;
mod asking;
#[cfg(feature = "ebpf")]
mod btf;
mod clock;
#[cfg(feature = "ebpf")]
mod counters;
mod ending;
#[cfg(feature = "ebpf")]
mod failure;
pub mod ledger;
pub mod listeners;
#[cfg(feature = "ebpf")]
mod load;
mod options;
mod privileges;
mod probe;
mod recorder;
mod ring;
mod running;
mod session;
pub mod sockets;
pub mod statistics;
pub mod status;
#[cfg(feature = "ebpf")]
mod syscalls;
mod tally;
#[cfg(feature = "ebpf")]
mod tier;

#[cfg(not(feature = "ebpf"))]
pub use absent::Kernel;
#[cfg(feature = "ebpf")]
pub use load::Kernel;
pub use membench_common::{Close, Header, Part, Socket, counter};
pub use options::{Facts, KernelOptions, Tier};
pub use privileges::{
    become_user, give_up_privileges, invoking_user, missing_capabilities, prepare_to_become,
};
pub use probe::{Check, Probe, probe};
pub use recorder::{Batch, Cost, Difference, RecordOptions, Recorder, Recording};
pub use ring::{Pieces, Record};
