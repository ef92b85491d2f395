//! A machine's memcacheds → events: from the kernel, from packets, or from memcached's own log.
//!
//! ```text
//! source ─▶ session ─▶ Segment ─▶ decode ─▶ Event ─▶ recorder ─▶ profile
//!                        ▲ selection            ▲ server (its own counters)
//! ```

#![cfg_attr(
    not(all(feature = "ebpf", feature = "pcap")),
    expect(
        dead_code,
        reason = "a session serves every source, and this build leaves some out"
    )
)]

mod clock;
mod doctor;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod privileges;
mod recorder;
mod selection;
mod server;
mod session;
mod source;
mod sys;

pub use clock::anchor;
pub use membench_common::{Close, Datagram, Header, Part, Socket, counter};

pub use doctor::{Check, Probe, probe, probe_interface, probe_packets};
#[cfg(feature = "ebpf")]
pub use error::KernelError;
pub use error::{Error, Result};
pub use privileges::{
    PrivilegesError, become_user, give_up_privileges, invoking_user, prepare_to_become,
};
pub use recorder::guards::Limits;
pub use recorder::options::RecordOptions;
pub use recorder::pace::Pace;
pub use recorder::priority::Yielding;
pub use recorder::recording::{Cost, Recording};
pub use recorder::rotation::Rotate;
pub use recorder::status::{State, Status};
pub use recorder::{Batch, Recorder};
pub use selection::memcacheds::describe as running_servers;
pub use selection::{Followed, Selection, Side};
pub use server::difference::Difference;
pub use server::status::ServerStatus;
pub use session::peer;
pub use session::record::{Pieces, Record};
pub use session::sockets;
pub use source::end::Ended;
pub use source::sockets::options::{Attachment, Facts, Hooks, KernelOptions, Misses};
#[cfg(feature = "ebpf")]
pub use source::sockets::{Kernel, hooks::port_lock};
pub use source::spec::SourceSpec;
