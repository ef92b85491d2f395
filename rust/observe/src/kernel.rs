//! The object → its programs attached, in the order in which none sees what another has not begun.

use membench_bpf::{
    Hook, KernelTypes, Link, Loaded, Object, RunStatistics, Runs, include_object, list,
    possible_cpus,
};
use membench_capture::{Followed, port_lock};
use membench_common::{
    FILTERS, PORTS, field, global,
    observe::{self, BLOCK, Calls, WORKERS, by, class},
};

use crate::{Error, Keep, Options, Result, connections::CONNECTIONS};

static OBJECT: &[u8] = include_object!("../../bpf/objects/observe.bpf.o");

/// Processes that are charged at a time.
const CULPRITS: u32 = 8192;
/// Most threads of a machine. A process inside a pid namespace cannot ask: since Linux 6.14 it has a `pid_max` of its own.
const THREADS: u32 = 4_194_304;

/// Programs that follow requests, and their tracepoints. Clocks begin before requests do.
const REQUESTS: [(&str, &str); 6] = [
    ("woken", "sched_wakeup"),
    ("switched", "sched_switch"),
    ("ended", "sched_process_exit"),
    ("sent", "sock_send_length"),
    ("received", "sock_recv_length"),
    ("data_ready", "sk_data_ready"),
];

/// Programs that count rare events of TCP, and their tracepoints.
const EVENTS: [(&str, &str); 3] = [
    ("retransmitted", "tcp_retransmit_skb"),
    ("reset_sent", "tcp_send_reset"),
    ("reset_received", "tcp_receive_reset"),
];

/// Members of kernel structures that the programs read, of those that all sets of programs know.
const FIELDS: [usize; 21] = [
    field::SOCK_LOCAL_PORT,
    field::SOCK_NAMESPACE,
    field::SOCK_PROTOCOL,
    field::SOCK_SHUTDOWN,
    field::SOCK_BACKLOG,
    field::SOCK_LOCKS,
    field::SOCK_BUCKET,
    field::BUCKET_REUSE,
    field::BUCKET_REUSE_PORT,
    field::SOCK_FAMILY,
    field::SOCK_REMOTE,
    field::SOCK_REMOTE6,
    field::SOCK_REMOTE_PORT,
    field::NAMESPACE_INODE,
    field::TCP_COPIED,
    field::TCP_RECEIVED,
    field::TCP_BYTES_RECEIVED,
    field::TCP_WRITTEN,
    field::TCP_CLOCK,
    field::REGISTER_CALL,
    field::REGISTER_SECOND,
];

/// The attached programs.
pub(crate) struct Kernel {
    pub(crate) object: Loaded,
    requests: Vec<Link>,
    events: Vec<Link>,
    misses: Vec<Runs>,
    names: Vec<&'static str>,
    statistics: Option<RunStatistics>,
}

impl Kernel {
    /// Attaches the programs. Slow requests come through a ring of `ring` bytes.
    pub(crate) fn attach(followed: &Followed, options: &Options, ring: u32) -> Result<Self> {
        if followed.ports.is_empty() {
            return Err(Error::NoPort);
        }
        let types = KernelTypes::read()?;
        let wanted = if options.requests { &REQUESTS[..] } else { &[] };
        let names = wanted.iter().chain(&EVENTS).map(|(name, _)| *name);
        let names: Vec<_> = names.collect();
        for (_, tracepoint) in wanted.iter().chain(&EVENTS) {
            let found = types.require_tracepoint(tracepoint);
            found.map_err(|source| Error::NoHook {
                tracepoint,
                source: Box::new(source),
            })?;
        }
        let statistics = RunStatistics::enable().ok();
        let mut object = Object::parse("observe", OBJECT)?;
        object.use_only(names.iter().copied())?;
        size(&mut object, options, ring)?;
        set(&mut object, followed, options, &types)?;
        let mut kernel = Self {
            object: object.load()?,
            requests: Vec::new(),
            events: Vec::new(),
            misses: Vec::new(),
            names,
            statistics,
        };
        for one in &EVENTS {
            let link = kernel.link(one)?;
            kernel.events.push(link);
        }
        for one in wanted {
            let link = kernel.link(one)?;
            kernel.requests.push(link);
        }
        Ok(kernel)
    }

    fn link(&mut self, (name, tracepoint): &(&str, &str)) -> Result<Link> {
        let mut program = self.object.program(name)?;
        let link = program.attach(&Hook::RawTracepoint((*tracepoint).into()))?;
        self.misses.push(program.runs()?);
        Ok(link)
    }

    /// Detaches the programs that follow requests, those that see arrivals first, so that no request loses its answer.
    /// The sums can still be read.
    pub(crate) fn detach_requests(&mut self) {
        while self.requests.pop().is_some() {}
    }

    /// Detaches all programs.
    pub(crate) fn detach(&mut self) {
        self.detach_requests();
        self.events.clear();
    }

    /// Returns how often the kernel did not run a program, because it was running on that CPU already.
    pub(crate) fn misses(&mut self) -> Result<u64> {
        let mut all = 0;
        for program in &mut self.misses {
            all += program.misses()?;
        }
        Ok(all)
    }

    /// True if the kernel tells this process what the programs cost.
    pub(crate) fn knows_cost(&self) -> bool {
        self.statistics.is_some()
    }

    /// Returns the time that the programs took so far, ns; `None` if this process may not ask the kernel for it.
    pub(crate) fn run_time(&mut self) -> Result<Option<u64>> {
        if self.statistics.is_none() {
            return Ok(None);
        }
        let mut all = 0;
        for name in &self.names {
            let time = self.object.program(name)?.info()?.run_time;
            all += u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        }
        Ok(Some(all))
    }
}

/// Sizes the maps by this machine's CPUs, the most threads that a machine can have, and what is asked for. A map that is not
/// needed has one entry.
fn size(object: &mut Object, options: &Options, ring: u32) -> Result<()> {
    let cpus = possible_cpus()?;
    let blocks = THREADS / u32::try_from(BLOCK).unwrap_or(1) + 1;
    let classes = cpus * u32::try_from(class::STRIDE).unwrap_or(1);
    let if_asked = |is_asked: bool, entries: u32| if is_asked { entries } else { 1 };
    object
        .set_max_entries("workers", if_asked(options.requests, WORKERS))?
        .set_max_entries("threads", if_asked(options.requests, blocks))?
        .set_max_entries("cpus", cpus)?
        .set_max_entries("amounts", cpus)?
        .set_max_entries("culprits", if_asked(options.requests, CULPRITS))?
        .set_max_entries("commands", if_asked(options.by_command, classes))?
        .set_max_entries("connections", if_asked(options.by_connection, CONNECTIONS))?
        .set_max_entries("slow", ring)?;
    Ok(())
}

/// Sets the filters, what is asked for, and where members of the kernel's structures are.
fn set(
    object: &mut Object,
    followed: &Followed,
    options: &Options,
    types: &KernelTypes,
) -> Result<()> {
    let mut fields = [0; field::COUNT];
    for index in FIELDS {
        if let (Some(to), Some((structure, member))) =
            (fields.get_mut(index), field::PATHS.get(index))
        {
            *to = types.offset(structure, member)?;
        }
    }
    if options.requests {
        object
            .set_global(
                observe::PLACES,
                &types.offsets(observe::PATHS, observe::COUNT)?,
            )?
            .set_global(
                observe::DISK_BIT,
                &types.bit_offset("task_struct", "in_iowait")?,
            )?
            .set_global(observe::CALLS, &calls())?;
    }
    let by = [
        (options.by_command, by::COMMAND),
        (options.by_connection, by::CONNECTION),
    ];
    let asked = by.into_iter().filter(|(is_asked, _)| *is_asked);
    object
        .set_global(global::FIELDS, &fields)?
        .set_global(observe::BY, &asked.map(|(_, bit)| bit).sum::<u32>())?
        .set_global(
            observe::SLOWER,
            &options.keep.map_or(u64::MAX, Keep::slower_ns),
        )?
        .set_global(global::PORT_LOCK, &port_lock(types)?)?
        .set_global(global::PORTS, &list::<_, PORTS>(&followed.ports))?
        .set_global(global::PIDS, &list::<_, FILTERS>(&followed.pids))?
        .set_global(global::PID_NAMESPACE, &followed.pid_namespace)?
        .set_global(global::CGROUPS, &list::<_, FILTERS>(&followed.cgroups))?
        .set_global(
            global::NAMESPACES,
            &list::<_, FILTERS>(&followed.network_namespaces),
        )?;
    Ok(())
}

/// Returns this machine's numbers of the calls in which a thread waits.
fn calls() -> Calls {
    let number = |call: libc::c_long| u64::try_from(call).unwrap_or(u64::MAX);
    Calls {
        events: [
            number(libc::SYS_epoll_wait),
            number(libc::SYS_epoll_pwait),
            number(libc::SYS_epoll_pwait2),
            number(libc::SYS_poll),
        ],
        lock: number(libc::SYS_futex),
        message: number(libc::SYS_sendmsg),
        buffers: [number(libc::SYS_write), number(libc::SYS_sendto)],
    }
}
