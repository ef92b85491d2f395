//! Kernel hooks → segments: load, attach, drain, account.

#[cfg(not(feature = "ebpf"))]
mod absent;
#[cfg(feature = "ebpf")]
mod btf;
#[cfg(feature = "ebpf")]
mod counters;
#[cfg(feature = "ebpf")]
mod failure;
mod asking;
mod clock;
pub mod ledger;
pub mod listeners;
mod recorder;
mod running;
mod session;
pub mod sockets;
pub mod statistics;
pub mod status;
mod tally;
#[cfg(feature = "ebpf")]
mod load;
mod options;
mod privileges;
mod probe;
mod ring;

#[cfg(not(feature = "ebpf"))]
pub use absent::Kernel;
#[cfg(feature = "ebpf")]
pub use load::Kernel;
pub use membench_common::{Close, Header, Part, Socket, counter};
pub use options::{Facts, KernelOptions};
pub use privileges::{give_up_privileges, missing_capabilities};
pub use probe::{Check, Probe, probe};
pub use recorder::{Batch, Cost, Difference, RecordOptions, Recorder, Recording};
pub use ring::{Pieces, Record};
