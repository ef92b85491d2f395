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
#[cfg(feature = "ebpf")]
mod globals;
mod guards;
mod journal;
pub mod ledger;
pub mod listeners;
#[cfg(feature = "ebpf")]
mod load;
mod namespaces;
mod options;
mod pace;
pub mod peer;
mod privileges;
mod probe;
mod recorder;
mod ring;
mod rotating;
mod running;
mod sampling;
mod selection;
mod session;
pub mod sockets;
pub mod statistics;
pub mod status;
#[cfg(feature = "ebpf")]
mod syscalls;
mod tally;
#[cfg(feature = "ebpf")]
mod tier;
mod unix;
pub mod watch;
mod watching;
mod yielding;

#[cfg(not(feature = "ebpf"))]
pub use absent::Kernel;
pub use guards::Limits;
#[cfg(feature = "ebpf")]
pub use load::Kernel;
pub use membench_common::{Close, Header, Part, Socket, counter};
pub use options::{Facts, KernelOptions, Tier};
pub use pace::Pace;
pub use privileges::{
    become_user, give_up_privileges, invoking_user, missing_capabilities, prepare_to_become,
};
pub use probe::{Check, Probe, probe};
pub use recorder::{Batch, Cost, Difference, RecordOptions, Recorder, Recording};
pub use ring::{Pieces, Record};
pub use rotating::Rotate;
pub use selection::{Followed, Selection};
pub use yielding::Yielding;
