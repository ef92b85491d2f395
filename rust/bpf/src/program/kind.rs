//! Types of programs: their names, their oldest kernels, and the capabilities that they take.

use std::fmt;

use aya_obj::ProgramSection;

use crate::Capability;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident = $name:literal, $sections:literal, $kernel:literal, $needs:ident;)*) => {
        /// The type of a program, which the name of its section in the object decides.
        ///
        /// The oldest kernels are those of
        /// [bcc's list of features](https://github.com/iovisor/bcc/blob/v0.31.0/docs/kernel-versions.md#program-types)
        /// and of aya's documentation of each program type. Distributions backport: attach to find out.
        ///
        /// Programs of the types `sk_msg`, `sk_skb`, `lirc_mode2` and `freplace` are listed, but not attached, by this
        /// crate.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[doc = $doc])*
            #[doc = ""]
            #[doc = concat!("Section ", $sections, "; Linux ", $kernel, " or newer.")]
            $kind,)*
        }

        impl Kind {
            /// Every type.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Returns the type's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// Returns the first version of Linux that has this type.
            pub const fn oldest_kernel(self) -> &'static str {
                match self {
                    $(Self::$kind => $kernel,)*
                }
            }

            /// Returns the capabilities that loading and attaching a program of this type takes, on Linux 5.8 and newer.
            ///
            /// Tracepoints and probes also take access to tracefs, which only root can read by default, or
            /// `CAP_SYS_ADMIN`.
            pub const fn capabilities(self) -> &'static [Capability] {
                match self {
                    $(Self::$kind => Self::$needs,)*
                }
            }
        }
    };
}

kinds! {
    /// Runs at a tracepoint with typed arguments, which the verifier checks against the kernel's types.
    BtfTracepoint = "tp_btf", "`tp_btf`", "5.5", TRACING;
    /// Runs at a tracepoint with its arguments as words.
    RawTracepoint = "raw_tp", "`raw_tp`, `raw_tracepoint`", "4.17", TRACING;
    /// Runs at a tracepoint with the fields that tracefs documents.
    Tracepoint = "tracepoint", "`tp`, `tracepoint`", "4.7", TRACING;
    /// Runs where a kernel function begins, with typed arguments.
    FunctionEntry = "fentry", "`fentry`, `fentry.s`", "5.5", TRACING;
    /// Runs where a kernel function returns, with typed arguments and the result.
    FunctionExit = "fexit", "`fexit`, `fexit.s`", "5.5", TRACING;
    /// Runs at an instruction of the kernel, with the registers.
    KernelProbe = "kprobe", "`kprobe`", "4.1", TRACING;
    /// Runs where a kernel function returns, with the registers.
    KernelReturnProbe = "kretprobe", "`kretprobe`", "4.1", TRACING;
    /// Runs at an instruction of a program or library, with the registers.
    UserProbe = "uprobe", "`uprobe`, `uprobe.s`", "4.3", TRACING;
    /// Runs where a function of a program or library returns, with the registers.
    UserReturnProbe = "uretprobe", "`uretprobe`, `uretprobe.s`", "4.3", TRACING;
    /// Runs at a clock's tick or a counter's overflow.
    PerfEvent = "perf_event", "`perf_event`", "4.9", TRACING;
    /// Decides at a hook of the security modules.
    Lsm = "lsm", "`lsm`, `lsm.s`", "5.7", TRACING;
    /// Decides at a hook of the security modules, for the tasks of a control group. Load it for the hook, then attach it
    /// to the group.
    LsmCgroup = "lsm_cgroup", "`lsm_cgroup`", "6.0", TRACING;
    /// Runs for each of the kernel's objects of a kind when its link is read.
    Iterator = "iter", "`iter`, `iter.s`", "5.8", TRACING;
    /// Sees the packets of an interface at the kernel's traffic control.
    Classifier = "classifier", "`classifier`", "4.1", NETWORK;
    /// Sees the packets of an interface before the kernel does.
    Xdp = "xdp", "`xdp`, `xdp.frags`", "4.8", NETWORK;
    /// Sees the packets of a control group's sockets.
    CgroupSkb = "cgroup_skb", "`cgroup/skb`, `cgroup_skb/ingress`, `cgroup_skb/egress`", "4.10", NETWORK;
    /// Runs when a control group's sockets are created, bound or released.
    CgroupSock = "cgroup/sock", "`cgroup/sock`, `cgroup/post_bind4`, `cgroup/sock_create` and the like", "4.10", NETWORK;
    /// Runs when a control group's sockets are given addresses.
    CgroupSockAddr = "cgroup/sock_addr", "`cgroup/bind4`, `cgroup/connect6`, `cgroup/sendmsg4` and the like", "4.17", NETWORK;
    /// Runs when a control group reads or sets socket options.
    CgroupSockopt = "cgroup/sockopt", "`cgroup/getsockopt`, `cgroup/setsockopt`", "5.3", NETWORK;
    /// Runs when a control group reads or writes `/proc/sys`.
    CgroupSysctl = "cgroup/sysctl", "`cgroup/sysctl`", "5.2", NETWORK;
    /// Decides which devices a control group may use.
    CgroupDevice = "cgroup/dev", "`cgroup/dev`", "4.15", NETWORK;
    /// Runs at events of a control group's TCP connections.
    SockOps = "sockops", "`sockops`", "4.13", NETWORK;
    /// Chooses the socket of an incoming packet in a network namespace.
    SkLookup = "sk_lookup", "`sk_lookup`", "5.9", NETWORK;
    /// Dissects packets of a network namespace.
    FlowDissector = "flow_dissector", "`flow_dissector`", "4.20", NETWORK;
    /// Filters what a socket receives.
    SocketFilter = "socket", "`socket`", "3.19", MAPS;
    /// Redirects messages between the sockets of a map.
    SkMsg = "sk_msg", "`sk_msg`", "4.17", NETWORK;
    /// Parses or redirects the streams of the sockets of a map.
    SkSkb = "sk_skb", "`sk_skb/stream_parser`, `sk_skb/stream_verdict`", "4.14", NETWORK;
    /// Chooses among sockets that share a port.
    SkReuseport = "sk_reuseport", "`sk_reuseport`, `sk_reuseport/migrate`", "4.19", NETWORK;
    /// Decodes infrared signals.
    LircMode2 = "lirc_mode2", "`lirc_mode2`", "4.18", NETWORK;
    /// Replaces a function of another program.
    Extension = "freplace", "`freplace`", "5.6", TRACING;
}

impl Kind {
    /// Needed for maps, and for programs that trace nothing and see no packets of others.
    pub(crate) const MAPS: &'static [Capability] = &[Capability::Bpf];
    const TRACING: &'static [Capability] = &[Capability::Bpf, Capability::Perfmon];
    const NETWORK: &'static [Capability] = &[Capability::Bpf, Capability::NetAdmin];
}

impl fmt::Display for Kind {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

impl From<&ProgramSection> for Kind {
    fn from(section: &ProgramSection) -> Self {
        match section {
            ProgramSection::BtfTracePoint => Self::BtfTracepoint,
            ProgramSection::RawTracePoint => Self::RawTracepoint,
            ProgramSection::TracePoint => Self::Tracepoint,
            ProgramSection::FEntry { .. } => Self::FunctionEntry,
            ProgramSection::FExit { .. } => Self::FunctionExit,
            ProgramSection::KProbe => Self::KernelProbe,
            ProgramSection::KRetProbe => Self::KernelReturnProbe,
            ProgramSection::UProbe { .. } => Self::UserProbe,
            ProgramSection::URetProbe { .. } => Self::UserReturnProbe,
            ProgramSection::PerfEvent => Self::PerfEvent,
            ProgramSection::Lsm { .. } => Self::Lsm,
            ProgramSection::LsmCgroup => Self::LsmCgroup,
            ProgramSection::Iter { .. } => Self::Iterator,
            ProgramSection::SchedClassifier => Self::Classifier,
            ProgramSection::Xdp { .. } => Self::Xdp,
            ProgramSection::CgroupSkb { .. } => Self::CgroupSkb,
            ProgramSection::CgroupSock { .. } => Self::CgroupSock,
            ProgramSection::CgroupSockAddr { .. } => Self::CgroupSockAddr,
            ProgramSection::CgroupSockopt { .. } => Self::CgroupSockopt,
            ProgramSection::CgroupSysctl => Self::CgroupSysctl,
            ProgramSection::CgroupDevice => Self::CgroupDevice,
            ProgramSection::SockOps => Self::SockOps,
            ProgramSection::SkLookup => Self::SkLookup,
            ProgramSection::FlowDissector => Self::FlowDissector,
            ProgramSection::SocketFilter => Self::SocketFilter,
            ProgramSection::SkMsg => Self::SkMsg,
            ProgramSection::SkSkbStream { .. } => Self::SkSkb,
            ProgramSection::SkReuseport { .. } => Self::SkReuseport,
            ProgramSection::LircMode2 => Self::LircMode2,
            ProgramSection::Extension => Self::Extension,
        }
    }
}

impl From<&aya::programs::Program> for Kind {
    fn from(program: &aya::programs::Program) -> Self {
        use aya::programs::{ProbeKind, Program};
        match program {
            Program::BtfTracePoint(_) => Self::BtfTracepoint,
            Program::RawTracePoint(_) => Self::RawTracepoint,
            Program::TracePoint(_) => Self::Tracepoint,
            Program::FEntry(_) => Self::FunctionEntry,
            Program::FExit(_) => Self::FunctionExit,
            Program::KProbe(program) => match program.kind() {
                ProbeKind::Entry => Self::KernelProbe,
                ProbeKind::Return => Self::KernelReturnProbe,
            },
            Program::UProbe(program) => match program.kind() {
                ProbeKind::Entry => Self::UserProbe,
                ProbeKind::Return => Self::UserReturnProbe,
            },
            Program::PerfEvent(_) => Self::PerfEvent,
            Program::Lsm(_) => Self::Lsm,
            Program::LsmCgroup(_) => Self::LsmCgroup,
            Program::Iter(_) => Self::Iterator,
            Program::SchedClassifier(_) => Self::Classifier,
            Program::Xdp(_) => Self::Xdp,
            Program::CgroupSkb(_) => Self::CgroupSkb,
            Program::CgroupSock(_) => Self::CgroupSock,
            Program::CgroupSockAddr(_) => Self::CgroupSockAddr,
            Program::CgroupSockopt(_) => Self::CgroupSockopt,
            Program::CgroupSysctl(_) => Self::CgroupSysctl,
            Program::CgroupDevice(_) => Self::CgroupDevice,
            Program::SockOps(_) => Self::SockOps,
            Program::SkLookup(_) => Self::SkLookup,
            Program::FlowDissector(_) => Self::FlowDissector,
            Program::SocketFilter(_) | Program::ReusePortSocketFilter(_) => Self::SocketFilter,
            Program::SkMsg(_) => Self::SkMsg,
            Program::SkSkb(_) => Self::SkSkb,
            Program::SkReuseport(_) => Self::SkReuseport,
            Program::LircMode2(_) => Self::LircMode2,
            Program::Extension(_) => Self::Extension,
        }
    }
}
