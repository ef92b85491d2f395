//! The programs of each kind of hooks: their names, their tracepoints, and the sizes of their maps.

use std::io;

use membench_bpf::{Hook, KernelTypes, Link, Loaded, Object, Runs};
use membench_common::{
    field, member,
    program::{self, Hooked},
};

use crate::{
    Error, Followed, Hooks, KernelError, Misses, Result,
    source::sockets::{failure::explained, globals::Offsets},
};

/// Sockets that the `syscalls` hooks can know at the same time.
const WALKED_SOCKETS: u32 = 65_536;
/// Threads that can leave a mark for the standby programs at the same time.
const MARKED_THREADS: u32 = 65_536;

/// `SOCK_BINDPORT_LOCK` among a socket's locks: its owner bound it to its port.
const PORT_LOCK: u32 = 8;

/// Tracepoints whose programs see no bytes move. They fire for every TCP socket of the machine, in interrupts too, and
/// so now and then while they are already running.
const ASIDE: [&str; 2] = ["inet_sock_set_state", ARRIVAL];

/// The tracepoint at which the arrival of bytes is noted.
const ARRIVAL: &str = "tcp_rcv_space_adjust";

/// The programs beside those that see bytes and the ends of connections.
#[derive(Clone, Copy)]
pub(crate) struct Extras {
    /// True to attach the program that notes when bytes arrived.
    pub(crate) arrival: bool,
    /// True to attach standby programs.
    pub(crate) standby: bool,
}

/// The programs of one kind of hooks, attached.
pub(crate) struct Programs(Vec<Attached>);

struct Attached {
    runs: Runs,
    tracepoint: &'static str,
    is_standby: bool,
    link: Option<Link>,
}

impl Misses {
    fn of(&mut self, tracepoint: &str) -> &mut u64 {
        if ASIDE.contains(&tracepoint) {
            &mut self.aside
        } else {
            &mut self.calls
        }
    }
}

impl Programs {
    /// Returns how often programs did not run because they were already running on that CPU.
    pub(crate) fn misses(&mut self) -> Result<Misses> {
        let mut misses = Misses::default();
        // A standby that does not run loses nothing by itself: mostly the first program did.
        for program in self.0.iter_mut().filter(|program| !program.is_standby) {
            *misses.of(program.tracepoint) += program.runs.misses()?;
        }
        Ok(misses)
    }

    /// Detaches the programs, those that see sends first; the standbys before all others, which would seem skipped to
    /// them.
    pub(crate) fn detach(&mut self) {
        self.0.sort_by_key(|program| !program.is_standby);
        for program in &mut self.0 {
            program.link = None;
        }
    }
}

impl Hooks {
    /// Returns the programs that are attached, in the order in which they are.
    fn hooked(self, extras: Extras) -> impl DoubleEndedIterator<Item = &'static Hooked> {
        let all: &[Hooked] = match self {
            Self::Sockets => &program::SOCKETS,
            Self::Syscalls => &program::SYSCALLS,
        };
        all.iter()
            .filter(move |(_, tracepoint)| extras.arrival || *tracepoint != ARRIVAL)
    }

    /// Returns true if these hooks have standby programs. `sys_exit` has none: it costs every system call of the machine,
    /// and kernels that preempt programs have the `sockets` hooks.
    pub(crate) fn have_standby(self) -> bool {
        self == Self::Sockets
    }

    /// Returns the programs that attached ones continue in.
    fn continuations(self) -> &'static [Hooked] {
        match self {
            Self::Sockets => &[],
            Self::Syscalls => &program::CONTINUATIONS,
        }
    }

    /// Looks up the offsets that the programs need on this kernel; those of UNIX-domain sockets only if such are
    /// followed.
    pub(crate) fn offsets(
        self,
        types: &KernelTypes,
        followed: &Followed,
        extras: Extras,
    ) -> Result<Offsets> {
        for (_, tracepoint) in self.hooked(extras).rev() {
            types.require_tracepoint(tracepoint)?;
        }
        let fields = if followed.sockets.is_empty() {
            field::FIRST_UNIX
        } else {
            field::COUNT
        };
        let members = match self {
            Self::Sockets => 0,
            Self::Syscalls => member::COUNT,
        };
        Ok(Offsets {
            fields: types.offsets(field::PATHS, fields)?,
            members: types.offsets(member::PATHS, members)?,
            port_lock: port_lock(types)?,
        })
    }

    /// Selects the programs of these hooks, and sizes their tables; tables of other hooks keep one entry.
    pub(crate) fn select(self, object: &mut Object, cpus: u32, extras: Extras) -> Result<()> {
        let standbys = program::STANDBY.iter().filter(|_| extras.standby);
        let programs = self.hooked(extras).chain(self.continuations());
        object.use_only(programs.chain(standbys).map(|(name, _)| *name))?;
        if extras.standby {
            object
                .set_max_entries("standby_receive_scratch", cpus)?
                .set_max_entries("standby_send_scratch", cpus)?
                .set_max_entries("marks", MARKED_THREADS)?;
        }
        object.set_max_entries("receive_scratch", cpus)?;
        match self {
            Self::Sockets => object.set_max_entries("send_scratch", cpus)?,
            Self::Syscalls => object.set_max_entries("walked", WALKED_SOCKETS)?,
        };
        Ok(())
    }

    /// Loads the programs of these hooks and attaches them, each followed by its standby: the kernel runs first what was
    /// attached first. Loading each takes a while, after which `after_each` is called.
    pub(crate) fn attach(
        self,
        object: &mut Loaded,
        extras: Extras,
        after_each: impl Fn(),
    ) -> Result<Programs> {
        self.load_continuations(object).map_err(explained)?;
        let mut programs = Vec::new();
        for one in self.hooked(extras) {
            programs.push(attach(object, *one, false).map_err(explained)?);
            after_each();
            for second in program::STANDBY
                .iter()
                .filter(|(_, at)| extras.standby && *at == one.1)
            {
                programs.push(attach(object, *second, true).map_err(explained)?);
                after_each();
            }
        }
        Ok(Programs(programs))
    }

    fn load_continuations(self, object: &mut Loaded) -> membench_bpf::Result<()> {
        let map = object.map("continuations")?;
        for (index, (name, tracepoint)) in (0..).zip(self.continuations()) {
            let mut program = object.program(name)?;
            program.load(Some(&at(tracepoint)))?;
            map.set_descriptor(index, program.descriptor()?)?;
        }
        Ok(())
    }
}

/// Returns the bit [`PORT_LOCK`] as it is in the byte that holds a socket's locks, which are a bit field on some kernels.
pub fn port_lock(types: &KernelTypes) -> Result<u32> {
    let (structure, member) = field::PATHS[field::SOCK_LOCKS];
    let bit = types.bit_offset(structure, member)? % 8;
    Ok(PORT_LOCK << bit)
}

/// Returns true if other hooks may work where these failed: the kernel lacks a tracepoint or structure, or refuses a
/// program.
pub(crate) fn may_differ(error: &Error) -> bool {
    let Error::Kernel(error) = error else {
        return false;
    };
    match error {
        KernelError::NoTracepoint { .. } | KernelError::NoMember { .. } => true,
        KernelError::Attach { source, .. } => source.raw_os_error() != Some(libc::EPERM),
        KernelError::Load { source, .. } => {
            !matches!(
                source.kind(),
                io::ErrorKind::OutOfMemory | io::ErrorKind::Unsupported
            ) && source.raw_os_error() != Some(libc::EPERM)
        }
        _ => false,
    }
}

/// Returns the most informative of the errors by which all hooks were refused: anything but a missing tracepoint, else
/// the last.
pub(crate) fn most_informative(earlier: Vec<Error>, last: Error) -> Error {
    earlier
        .into_iter()
        .rev()
        .find(|error| !matches!(error, Error::Kernel(KernelError::NoTracepoint { .. })))
        .unwrap_or(last)
}

/// Returns the first line of the reason why hooks were refused.
pub(crate) fn reason(error: &Error) -> String {
    match error {
        Error::Kernel(KernelError::NoTracepoint { tracepoint, .. }) => {
            format!("no tracepoint {tracepoint}")
        }
        error => error.to_string().lines().next().unwrap_or_default().into(),
    }
}

fn attach(
    object: &mut Loaded,
    (name, tracepoint): Hooked,
    is_standby: bool,
) -> membench_bpf::Result<Attached> {
    let mut program = object.program(name)?;
    let link = program.attach(&at(tracepoint))?;
    Ok(Attached {
        runs: program.runs()?,
        tracepoint,
        is_standby,
        link: Some(link),
    })
}

fn at(tracepoint: &str) -> Hook {
    Hook::RawTracepoint(tracepoint.into())
}

#[cfg(test)]
mod tests {
    use membench_bpf::{Capability, VerifierLog};

    use super::*;

    fn rejected(errno: i32) -> Error {
        let error = KernelError::Load {
            name: "sys_exit".into(),
            source: io::Error::from_raw_os_error(errno),
            log: VerifierLog::new("R1 invalid mem access"),
        };
        error.into()
    }

    fn no_tracepoint(tracepoint: &str) -> Error {
        let error = KernelError::NoTracepoint {
            tracepoint: tracepoint.into(),
            kernel: "5.10.0".into(),
        };
        error.into()
    }

    #[test]
    fn only_programs_that_see_bytes_lose_some_where_they_do_not_run() {
        let mut misses = Misses::default();
        for (_, tracepoint) in program::SOCKETS.iter().chain(&program::SYSCALLS) {
            *misses.of(tracepoint) += 1;
        }
        let (calls, aside) = (3, 4);
        assert_eq!(misses, Misses { calls, aside });
    }

    #[test]
    fn other_hooks_are_tried_only_where_they_may_work() {
        for (error, expected) in [
            (no_tracepoint("sock_recv_length"), true),
            (rejected(libc::EACCES), true),
            (rejected(libc::EINVAL), true),
            (rejected(libc::EPERM), false),
            (rejected(libc::ENOMEM), false),
            (rejected(libc::ENOSYS), false),
        ] {
            assert_eq!(may_differ(&error), expected, "{error}");
        }
        let missing = vec![Capability::Bpf];
        assert!(!may_differ(
            &KernelError::MissingCapabilities { missing }.into()
        ));
    }

    #[test]
    fn a_rejected_program_says_more_than_a_missing_tracepoint() {
        let is_rejection = |error: &Error| matches!(error, Error::Kernel(KernelError::Load { .. }));
        let earlier = vec![rejected(libc::EACCES)];
        let told = most_informative(earlier, no_tracepoint("sys_exit"));
        assert!(is_rejection(&told), "{told}");
        let earlier = vec![no_tracepoint("sock_recv_length")];
        let told = most_informative(earlier, rejected(libc::EACCES));
        assert!(is_rejection(&told), "{told}");
        let earlier = vec![no_tracepoint("sock_recv_length")];
        let told = most_informative(earlier, no_tracepoint("sys_exit"));
        assert_eq!(reason(&told), "no tracepoint sys_exit");
    }
}
