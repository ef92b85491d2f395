//! The kernel's lists of programs, maps and links → what it tells of each.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use aya::programs::links::{FdLink, LinkError};

use crate::{
    Capability, Error, Result,
    map::kind_name,
    sys::command::{self, Command},
};

/// Names of the kernel's program types, by number, as `bpftool` writes them.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/bpf.h>
const PROGRAM_KINDS: [&str; 33] = [
    "unspec",
    "socket_filter",
    "kprobe",
    "sched_cls",
    "sched_act",
    "tracepoint",
    "xdp",
    "perf_event",
    "cgroup_skb",
    "cgroup_sock",
    "lwt_in",
    "lwt_out",
    "lwt_xmit",
    "sock_ops",
    "sk_skb",
    "cgroup_device",
    "sk_msg",
    "raw_tracepoint",
    "cgroup_sock_addr",
    "lwt_seg6local",
    "lirc_mode2",
    "sk_reuseport",
    "flow_dissector",
    "cgroup_sysctl",
    "raw_tracepoint_writable",
    "cgroup_sockopt",
    "tracing",
    "struct_ops",
    "ext",
    "lsm",
    "sk_lookup",
    "syscall",
    "netfilter",
];

/// Names of the kernel's link types, by number, as `bpftool` writes them.
const LINK_KINDS: [&str; 15] = [
    "unspec",
    "raw_tracepoint",
    "tracing",
    "cgroup",
    "iter",
    "netns",
    "xdp",
    "perf_event",
    "kprobe_multi",
    "struct_ops",
    "netfilter",
    "tcx",
    "uprobe_multi",
    "netkit",
    "sockmap",
];

/// Facts that the kernel tells of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramFacts {
    /// The program's number.
    pub id: u32,
    /// The kernel's name of its type, such as `tracing`.
    pub kind: &'static str,
    /// The first 15 bytes of its name.
    pub name: String,
    /// The hash of its instructions, hexadecimal.
    pub tag: String,
    /// True if it may call functions that are reserved for GPL programs.
    pub is_gpl: bool,
    /// The user that loaded it.
    pub uid: u32,
    /// Time at which it was loaded, since boot.
    pub loaded_at: Duration,
    /// Size of the verified instructions, bytes.
    pub translated_bytes: u32,
    /// Size of the machine code, bytes; 0 if it is interpreted.
    pub compiled_bytes: u32,
    /// The numbers of its maps.
    pub maps: Vec<u32>,
    /// The number of its types; 0 if it has none.
    pub types: u32,
    /// Time that counted runs took.
    pub run_time: Duration,
    /// Number of runs that were counted: see [`RunStatistics`](crate::RunStatistics).
    pub runs: u64,
    /// Runs that were skipped because the program was running on that CPU already (Linux 5.12).
    pub misses: u64,
    /// Instructions that the verifier processed (Linux 5.16); 0 before.
    pub verified_instructions: u32,
}

/// Facts that the kernel tells of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFacts {
    /// The map's number.
    pub id: u32,
    /// The kernel's name of its type, such as `hash`.
    pub kind: &'static str,
    /// The first 15 bytes of its name.
    pub name: String,
    /// Size of a key, bytes.
    pub key_size: u32,
    /// Size of a value, bytes.
    pub value_size: u32,
    /// Most elements; of a ring its size, bytes.
    pub max_entries: u32,
    /// The kernel's `BPF_F_…` flags.
    pub flags: u32,
    /// The number of its types; 0 if it has none.
    pub types: u32,
    /// The key's type in those.
    pub key_type: u32,
    /// The value's type in those.
    pub value_type: u32,
}

/// Facts that the kernel tells of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkFacts {
    /// The link's number.
    pub id: u32,
    /// The kernel's name of its type, such as `tcx`.
    pub kind: &'static str,
    /// The number of its program.
    pub program: u32,
}

impl ProgramFacts {
    /// Lists all programs of this machine, which takes `CAP_SYS_ADMIN`.
    pub fn all() -> Result<Vec<Self>> {
        all(Command::NextProgram, Command::ProgramById, |program| {
            Self::of(program)
        })
    }

    pub(crate) fn of(program: BorrowedFd<'_>) -> io::Result<Self> {
        let found = command::program(program)?;
        let maps = match found.nr_map_ids {
            0 => Vec::new(),
            count => command::program_maps(program, count)?,
        };
        Ok(Self {
            id: found.id,
            kind: named(&PROGRAM_KINDS, found.type_),
            name: command::name(&found.name),
            tag: format!("{:016x}", u64::from_be_bytes(found.tag)),
            is_gpl: found.gpl_compatible() != 0,
            uid: found.created_by_uid,
            loaded_at: Duration::from_nanos(found.load_time),
            translated_bytes: found.xlated_prog_len,
            compiled_bytes: found.jited_prog_len,
            maps,
            types: found.btf_id,
            run_time: Duration::from_nanos(found.run_time_ns),
            runs: found.run_cnt,
            misses: found.recursion_misses,
            verified_instructions: found.verified_insns,
        })
    }
}

impl MapFacts {
    /// Lists all maps of this machine, which takes `CAP_SYS_ADMIN`.
    pub fn all() -> Result<Vec<Self>> {
        all(Command::NextMap, Command::MapById, Self::of)
    }

    pub(crate) fn of(map: BorrowedFd<'_>) -> io::Result<Self> {
        let found = command::map(map)?;
        Ok(Self {
            id: found.id,
            kind: kind_name(found.type_),
            name: command::name(&found.name),
            key_size: found.key_size,
            value_size: found.value_size,
            max_entries: found.max_entries,
            flags: found.map_flags,
            types: found.btf_id,
            key_type: found.btf_key_type_id,
            value_type: found.btf_value_type_id,
        })
    }
}

impl LinkFacts {
    /// Lists all links of this machine (Linux 5.8), which takes `CAP_SYS_ADMIN`.
    pub fn all() -> Result<Vec<Self>> {
        all(Command::NextLink, Command::LinkById, Self::of)
    }

    pub(crate) fn of_aya(link: &FdLink) -> std::result::Result<Self, LinkError> {
        let found = link.info()?;
        // The kernel can know types that aya does not.
        let kind = found.link_type().map_or(u32::MAX, |kind| kind as u32);
        Ok(Self {
            id: found.id(),
            kind: named(&LINK_KINDS, kind),
            program: found.program_id(),
        })
    }

    pub(crate) fn of(link: BorrowedFd<'_>) -> io::Result<Self> {
        let [kind, id, program] = command::link_info(link)?;
        Ok(Self {
            id,
            kind: named(&LINK_KINDS, kind),
            program,
        })
    }
}

/// Describes all objects of a kind; those that come or go while they are looked at are left out.
fn all<T>(
    next: Command,
    by_id: Command,
    describe: impl Fn(BorrowedFd<'_>) -> io::Result<T>,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    let mut last = 0;
    while let Some(id) = command::next_id(next, last).map_err(refused)? {
        let opened: io::Result<OwnedFd> = command::by_id(by_id, id);
        match opened.and_then(|object| describe(object.as_fd())) {
            Ok(facts) => found.push(facts),
            // Gone meanwhile, or not attached yet.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EAGAIN)) => {}
            Err(error) => return Err(refused(error)),
        }
        last = id;
    }
    Ok(found)
}

fn refused(source: io::Error) -> Error {
    let missing = Capability::missing(&[Capability::SysAdmin]);
    if source.raw_os_error() == Some(libc::EPERM) && !missing.is_empty() {
        return Error::MissingCapabilities { missing };
    }
    Error::Listing { source }
}

fn named(names: &'static [&'static str], number: u32) -> &'static str {
    names.get(number as usize).copied().unwrap_or("unknown")
}
