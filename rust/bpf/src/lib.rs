//! eBPF objects → programs in the kernel, their maps, rings, counters and links.
//!
//! ```text
//! bytes ─▶ Object ─▶ set globals, sizes ─▶ Loaded ─▶ Program ─▶ attach to a Hook ─▶ Link
//!                                             ├────▶ Map ─▶ elements, Counters, Heartbeat
//!                                             └────▶ Ring | Rings ─▶ records, in order
//! ```
//!
//! This crate loads any object: it knows no memcached, and no names of programs, maps or globals. Once everything is
//! attached, rings and counters are read through memory, so that a process can give up its privileges and continue.
//!
//! # Example
//!
//! Counts the task switches of one process, whose programs also write each to a ring:
//!
//! ```no_run
//! use membench_bpf::{Counters, Hook, KernelTypes, Object, Ring, Stripes, possible_cpus};
//!
//! let mut object = Object::open("switches.bpf.o".as_ref())?;
//! let offset = KernelTypes::read()?.offset("task_struct", "tgid")?;
//! object
//!     .set_global("TGID_OFFSET", &offset)?
//!     .set_global("TGID", &std::process::id())?
//!     .set_max_entries("events", 1 << 20)?
//!     .set_max_entries("counters", possible_cpus()?)?;
//!
//! let mut object = object.load()?;
//! let mut ring = Ring::open(&object.map("events")?)?;
//! let stripes = Stripes { cpus: possible_cpus()?, per_cpu: 1, stride: 8 };
//! let counters = Counters::open(&object.map("counters")?, stripes)?;
//! let hook = Hook::RawTracepoint("sched_switch".into());
//! let link = object.program("on_switch")?.attach(&hook)?;
//!
//! std::thread::sleep(std::time::Duration::from_secs(1));
//! let records = ring.drain(usize::MAX, &mut |record| println!("{} bytes", record.len()));
//! println!("{records} records of {} switches", counters.sum(0));
//! link.detach();
//! # Ok::<(), membench_bpf::Error>(())
//! ```

mod btf;
mod capability;
mod cause;
mod clock;
mod counters;
mod cpu;
mod error;
mod failure;
mod file;
mod functions;
mod global;
mod listing;
mod map;
mod merge;
mod multi;
mod object;
mod perf;
mod pinned;
mod program;
mod ring;
mod signature;
mod sys;
mod task;
mod usdt;
mod verifier;

pub use btf::{KernelTypes, kernel_release};
pub use capability::Capability;
pub use cause::Cause;
pub use clock::monotonic_ns;
pub use counters::{Counters, Heartbeat, Stripes};
pub use cpu::{online_cpus, possible_cpus};
pub use error::{Error, Result};
pub use file::read_file;
pub use functions::{kernel_functions, matches, user_functions};
pub use global::{Global, list};
pub use listing::{LinkFacts, MapFacts, ProgramFacts};
pub use map::{Map, Memory, Update};
pub use multi::keeps_to_process;
pub use object::{Loaded, MapSpec, Object};
pub use perf::PerfRings;
pub use pinned::{Pinned, PinnedProgram};
pub use program::classifier::Filters;
pub use program::{
    Direction, Hook, Info, Kind, Link, PerfEvent, Program, RunStatistics, Runs, Sampling,
    UserPlace, XdpMode,
};
pub use ring::{Ring, RingSize, Rings};
pub use signature::{Parameter, Signature, Value};
pub use task::{cgroup, cgroup_mount, pid_namespace};
pub use usdt::{Argument, Place, Site, usdt_sites};
pub use verifier::VerifierLog;

pub(crate) use program::classifier::CLSACT;

/// Embeds an object file, aligned as its parser needs it. The path is relative to the file that contains the call.
///
/// ```ignore
/// static OBJECT: &[u8] = membench_bpf::include_object!("switches.bpf.o");
/// ```
pub use aya::include_bytes_aligned as include_object;
