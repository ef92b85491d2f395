//! The object → its programs attached, in the order in which none sees what another has not begun.

use membench_bpf::{
    Hook, KernelTypes, Link, Loaded, Object, RunStatistics, Runs, include_object, list,
    possible_cpus,
};
use membench_capture::{Followed, port_lock};
use membench_common::{
    FILTERS, PORTS, field, global,
    observe::{self, BLOCK, Calls, WORKERS},
};

use crate::{Error, Result};

static OBJECT: &[u8] = include_object!("../../bpf/objects/observe.bpf.o");

/// Processes that are charged at a time.
const CULPRITS: u32 = 8192;
/// Most threads of a machine. A process inside a pid namespace cannot ask: since Linux 6.14 it has a `pid_max` of its own.
const THREADS: u32 = 4_194_304;

/// Programs and their tracepoints. Clocks begin before requests do.
const PROGRAMS: [(&str, &str); 6] = [
    ("woken", "sched_wakeup"),
    ("switched", "sched_switch"),
    ("ended", "sched_process_exit"),
    ("sent", "sock_send_length"),
    ("received", "sock_recv_length"),
    ("data_ready", "sk_data_ready"),
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
    links: Vec<Link>,
    misses: Vec<Runs>,
    statistics: Option<RunStatistics>,
}

impl Kernel {
    /// Attaches the programs. Requests of at least `slower` ns are kept, in a ring of `ring` bytes.
    pub(crate) fn attach(followed: &Followed, slower: u64, ring: u32) -> Result<Self> {
        if followed.ports.is_empty() {
            return Err(Error::NoPort);
        }
        let types = KernelTypes::read()?;
        for (_, tracepoint) in PROGRAMS {
            let found = types.require_tracepoint(tracepoint);
            found.map_err(|source| Error::NoHook {
                tracepoint,
                source: Box::new(source),
            })?;
        }
        let statistics = RunStatistics::enable().ok();
        let mut object = Object::parse("observe", OBJECT)?;
        size(&mut object, ring)?;
        set(&mut object, followed, slower, &types)?;
        let mut kernel = Self {
            object: object.load()?,
            links: Vec::new(),
            misses: Vec::new(),
            statistics,
        };
        for (name, tracepoint) in PROGRAMS {
            let mut program = kernel.object.program(name)?;
            kernel
                .links
                .push(program.attach(&Hook::RawTracepoint(tracepoint.into()))?);
            kernel.misses.push(program.runs()?);
        }
        Ok(kernel)
    }

    /// Detaches the programs, those that see arrivals first, so that no request loses its answer. What they summed can
    /// still be read.
    pub(crate) fn detach(&mut self) {
        while self.links.pop().is_some() {}
    }

    /// Returns how often the kernel did not run a program, because it was running on that CPU already.
    pub(crate) fn misses(&mut self) -> Result<u64> {
        let mut all = 0;
        for program in &mut self.misses {
            all += program.misses()?;
        }
        Ok(all)
    }

    /// Returns the time that the programs took so far, ns; `None` if this process may not ask the kernel for it.
    pub(crate) fn run_time(&mut self) -> Result<Option<u64>> {
        if self.statistics.is_none() {
            return Ok(None);
        }
        let mut all = 0;
        for (name, _) in PROGRAMS {
            let time = self.object.program(name)?.info()?.run_time;
            all += u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        }
        Ok(Some(all))
    }
}

/// Sizes the maps by this machine's CPUs and the most threads that a machine can have.
fn size(object: &mut Object, ring: u32) -> Result<()> {
    let cpus = possible_cpus()?;
    let blocks = THREADS / u32::try_from(BLOCK).unwrap_or(1) + 1;
    object
        .set_max_entries("workers", WORKERS)?
        .set_max_entries("threads", blocks)?
        .set_max_entries("cpus", cpus)?
        .set_max_entries("amounts", cpus)?
        .set_max_entries("culprits", CULPRITS)?
        .set_max_entries("slow", ring)?;
    Ok(())
}

/// Sets the filters, the time from which requests are kept, and where members of the kernel's structures are.
fn set(object: &mut Object, followed: &Followed, slower: u64, types: &KernelTypes) -> Result<()> {
    let mut fields = [0; field::COUNT];
    for index in FIELDS {
        if let (Some(to), Some((structure, member))) =
            (fields.get_mut(index), field::PATHS.get(index))
        {
            *to = types.offset(structure, member)?;
        }
    }
    object
        .set_global(global::FIELDS, &fields)?
        .set_global(
            observe::PLACES,
            &types.offsets(observe::PATHS, observe::COUNT)?,
        )?
        .set_global(observe::CALLS, &calls())?
        .set_global(observe::SLOWER, &slower)?
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
