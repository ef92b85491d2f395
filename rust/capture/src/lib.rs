//! A machine's memcacheds → events: from the kernel, from packets, or from memcached's own log.
//!
//! ```text
//! source ─▶ session ─▶ Segment ─▶ decode ─▶ Event ─▶ recorder ─▶ profile
//!                        ▲ selection            ▲ server (its own counters)
//! ```

#[cfg(feature = "ebpf")]
mod bpf;
mod clock;
mod doctor;
mod error;
mod recorder;
mod selection;
mod server;
mod session;
mod source;
mod sys;

pub use membench_common::{Close, Datagram, Header, Part, Socket, counter};

pub use bpf::privileges::{
    become_user, give_up_privileges, invoking_user, missing_capabilities, prepare_to_become,
};
pub use doctor::{Check, Probe, probe, probe_interface, probe_packets};
pub use error::{Error, KernelError, Result};
pub use recorder::guards::Limits;
pub use recorder::pace::Pace;
pub use recorder::rotation::Rotate;
pub use recorder::status::{ServerStatus, State, Status};
pub use recorder::yielding::Yielding;
pub use recorder::{Batch, Cost, Difference, RecordOptions, Recorder, Recording};
pub use selection::{Followed, Selection, Side};
pub use session::peer;
pub use session::sockets;
#[cfg(feature = "ebpf")]
pub use source::sockets::Kernel;
#[cfg(not(feature = "ebpf"))]
pub use source::sockets::absent::Kernel;
pub use source::sockets::options::{Attachment, Facts, Hooks, KernelOptions, Misses};
pub use source::sockets::record::{Pieces, Record};
