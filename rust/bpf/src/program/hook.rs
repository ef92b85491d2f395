//! Hooks: the places that programs are attached to.

use std::{fmt, path::PathBuf};

/// A place in the kernel, in a program or at an interface that a program is attached to.
///
/// Each says which types of programs take it; [`Kind`](crate::Kind) has the oldest kernel of each type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hook {
    /// A tracepoint of the kernel by its name alone, such as `sched_switch`: types `tp_btf` and `raw_tp`.
    RawTracepoint(String),
    /// A tracepoint that tracefs lists, such as `sched` and `sched_switch`: type `tracepoint`.
    Tracepoint {
        /// The folder in `/sys/kernel/tracing/events`.
        category: String,
        /// The folder in that.
        name: String,
    },
    /// A kernel function: types `fentry`, `fexit`, `kprobe` and `kretprobe`.
    KernelFunction {
        /// The function.
        name: String,
        /// Offset of the instruction in the function, for `kprobe`.
        offset: u64,
    },
    /// A function of a program or library: types `uprobe` and `uretprobe`.
    UserFunction {
        /// The file, or the name of a library that the process has loaded.
        file: PathBuf,
        /// The function or instruction.
        place: UserPlace,
        /// The process; every one if `None`.
        process: Option<u32>,
        /// Offset in the file of a counter that is raised while the program is attached (Linux 4.20), bytes; 0 for none.
        semaphore: u64,
    },
    /// A probe that the author of a program or library placed in it, at all of its places: type `uprobe`.
    Usdt {
        /// The file.
        file: PathBuf,
        /// The provider.
        provider: String,
        /// The probe's name.
        name: String,
        /// The process; every one if `None`.
        process: Option<u32>,
    },
    /// Kernel functions whose names match a pattern, by one link (Linux 5.18): types `kprobe` and `kretprobe`.
    KernelFunctions(String),
    /// Functions of a program or library whose names match a pattern, by one link (Linux 6.6): types `uprobe` and
    /// `uretprobe`.
    UserFunctions {
        /// The file.
        file: PathBuf,
        /// The pattern.
        pattern: String,
        /// The process; every one if `None`.
        process: Option<u32>,
    },
    /// A clock's ticks or a counter's overflows, on each CPU that is online: type `perf_event`.
    PerfEvent {
        /// The clock or counter.
        event: PerfEvent,
        /// Rate at which the program runs.
        every: Sampling,
        /// The CPU; every one if `None`.
        cpu: Option<u32>,
        /// The process; every one if `None`.
        process: Option<u32>,
    },
    /// A hook of the security modules by name, such as `file_open`: type `lsm`.
    Lsm(String),
    /// The kernel's objects of a kind, such as `task` or `tcp`: type `iter`.
    Iterator(String),
    /// The packets of an interface, by a link in front of all other programs (TCX, Linux 6.6): type `classifier`.
    /// Kernels before have [`Filters`](crate::Filters).
    Tcx {
        /// The interface.
        interface: String,
        /// Packets that come in or go out.
        direction: Direction,
    },
    /// The packets that an interface receives: type `xdp`.
    Xdp {
        /// The interface.
        interface: String,
        /// Part of the system that runs the program.
        mode: XdpMode,
    },
    /// A control group: types `cgroup_skb`, `cgroup/…`, `sockops` and `lsm_cgroup`.
    Cgroup {
        /// The group's folder in a cgroup2 file system.
        path: PathBuf,
        /// Packets that come in or go out, for programs in the section `cgroup/skb`. Sections of other names say it.
        direction: Direction,
    },
    /// A network namespace: types `sk_lookup` and `flow_dissector`.
    NetworkNamespace(PathBuf),
}

/// A place in a program or library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserPlace {
    /// A symbol of the file.
    Symbol(String),
    /// Offset of an instruction in the file, bytes.
    Offset(u64),
}

/// A clock or counter of [`Hook::PerfEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PerfEvent {
    /// The time of each CPU.
    CpuClock,
    /// The time that the task runs.
    TaskClock,
    /// Page faults.
    PageFaults,
    /// Context switches.
    ContextSwitches,
    /// Moves of a task to another CPU.
    CpuMigrations,
    /// Cycles, which virtual machines often cannot count.
    Cycles,
    /// Instructions, which virtual machines often cannot count.
    Instructions,
    /// Misses of the last cache, which virtual machines often cannot count.
    CacheMisses,
}

/// Rate at which a [`Hook::PerfEvent`] runs its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Runs a second.
    Hertz(u64),
    /// Events between two runs; ns for clocks.
    Events(u64),
}

/// The way that packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Packets that come in.
    Ingress,
    /// Packets that go out.
    Egress,
}

/// The part of the system that runs the programs of a [`Hook::Xdp`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// The driver if it can, else the kernel.
    #[default]
    Any,
    /// The kernel, after it has made a buffer of the packet.
    Generic,
    /// The driver.
    Native,
}

impl fmt::Display for Hook {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RawTracepoint(name) => write!(to, "the tracepoint {name}"),
            Self::Tracepoint { category, name } => write!(to, "the tracepoint {category}:{name}"),
            Self::KernelFunction { name, .. } => write!(to, "the kernel function {name}"),
            Self::UserFunction { file, place, .. } => match place {
                UserPlace::Symbol(symbol) => write!(to, "{symbol} of {}", file.display()),
                UserPlace::Offset(offset) => write!(to, "{}+{offset:#x}", file.display()),
            },
            Self::KernelFunctions(pattern) => write!(to, "the kernel functions {pattern}"),
            Self::UserFunctions { file, pattern, .. } => {
                write!(to, "the functions {pattern} of {}", file.display())
            }
            Self::Usdt {
                file,
                provider,
                name,
                ..
            } => write!(to, "the probe {provider}:{name} of {}", file.display()),
            Self::PerfEvent { event, .. } => write!(to, "the perf event {event:?}"),
            Self::Lsm(name) => write!(to, "the security hook {name}"),
            Self::Iterator(objects) => write!(to, "the iterator {objects}"),
            Self::Tcx { interface, .. } => write!(to, "the interface {interface} (tcx)"),
            Self::Xdp { interface, .. } => write!(to, "the interface {interface} (xdp)"),
            Self::Cgroup { path, .. } => write!(to, "the control group {}", path.display()),
            Self::NetworkNamespace(path) => {
                write!(to, "the network namespace {}", path.display())
            }
        }
    }
}
