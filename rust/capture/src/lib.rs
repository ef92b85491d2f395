//! A machine's memcacheds → events: from the kernel, from packets, or from memcached's own log.
//!
//! ```text
//! source ─▶ session ─▶ Segment ─▶ decode ─▶ Event ─▶ recorder ─▶ profile
//!                        ▲ selection            ▲ server (its own counters)
//! ```

mod clock;
mod doctor;
mod error;
mod privileges;
mod recorder;
mod selection;
mod server;
mod session;
mod source;
mod sys;

pub use membench_common::{Close, Datagram, Header, Part, Socket, counter};

pub use doctor::{Check, Probe, probe, probe_interface, probe_packets};
#[cfg(feature = "ebpf")]
pub use error::KernelError;
pub use error::{Error, Result};
pub use privileges::{
    PrivilegesError, become_user, give_up_privileges, invoking_user, prepare_to_become,
};
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
