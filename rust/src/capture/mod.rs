//! Kernel hooks → segments: load, attach, drain, account.

#[cfg(not(feature = "ebpf"))]
mod absent;
#[cfg(feature = "ebpf")]
mod btf;
#[cfg(feature = "ebpf")]
mod counters;
#[cfg(feature = "ebpf")]
mod failure;
pub mod ledger;
#[cfg(feature = "ebpf")]
mod load;
mod options;
mod privileges;
mod ring;

#[cfg(not(feature = "ebpf"))]
pub use absent::Kernel;
#[cfg(feature = "ebpf")]
pub use load::Kernel;
pub use membench_common::{Close, Header, Part, Socket, counter};
pub use options::{Facts, KernelOptions, Responses};
pub use privileges::{give_up_privileges, missing_capabilities};
pub use ring::{Pieces, Record};
