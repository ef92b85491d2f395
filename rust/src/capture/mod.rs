//! Kernel hooks or packets → segments: open, drain, account.

#[cfg(not(feature = "ebpf"))]
mod absent;
mod asking;
#[cfg(feature = "ebpf")]
mod btf;
mod clock;
#[cfg(feature = "ebpf")]
mod counters;
mod datagrams;
mod doubts;
mod empty;
mod ending;
#[cfg(feature = "ebpf")]
mod failure;
mod found;
#[cfg(feature = "ebpf")]
mod frames;
#[cfg(feature = "ebpf")]
mod globals;
mod guards;
mod heading;
#[cfg(feature = "ebpf")]
mod hooks;
#[cfg(feature = "ebpf")]
mod interface;
#[cfg(not(feature = "ebpf"))]
#[path = "interface_absent.rs"]
mod interface;
mod journal;
pub mod ledger;
pub mod listeners;
#[cfg(feature = "pcap")]
mod live;
#[cfg(not(feature = "pcap"))]
#[path = "live_absent.rs"]
mod live;
#[cfg(feature = "ebpf")]
mod load;
#[cfg(feature = "ebpf")]
mod merge;
mod namespaces;
mod options;
mod pace;
mod packets;
pub mod peer;
mod privileges;
mod probe;
mod recorder;
mod recording;
mod ring;
#[cfg(feature = "ebpf")]
mod rings;
mod rotating;
mod running;
mod sampling;
mod selection;
mod session;
pub mod sockets;
mod source;
pub mod statistics;
pub mod status;
#[cfg(feature = "ebpf")]
mod syscalls;
mod tally;
#[cfg(feature = "ebpf")]
mod traffic;
mod unix;
pub mod watch;
mod watching;
mod yielding;

#[cfg(not(feature = "ebpf"))]
pub use absent::Kernel;
pub use guards::Limits;
#[cfg(feature = "ebpf")]
pub use load::Kernel;
pub use membench_common::{Close, Datagram, Header, Part, Socket, counter};
pub use options::{Attachment, Facts, Hooks, KernelOptions, Misses};
pub use pace::Pace;
pub use privileges::{
    become_user, give_up_privileges, invoking_user, missing_capabilities, prepare_to_become,
};
pub use probe::{Check, Probe, probe, probe_interface, probe_packets};
pub use recorder::{Batch, Cost, Difference, RecordOptions, Recorder, Recording};
pub use ring::{Pieces, Record};
pub use rotating::Rotate;
pub use selection::{Followed, Selection, Side};
pub use yielding::Yielding;
