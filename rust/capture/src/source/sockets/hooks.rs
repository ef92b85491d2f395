//! A kind of hooks → its programs in the kernel: which are loaded, with which maps, and where they are attached.

use std::io;
use std::os::fd::AsFd;

use aya::maps::{MapData, ProgramArray};
use aya::programs::BtfTracePoint;
use aya::programs::tp_btf::BtfTracePointLink;
use aya::{Btf, Ebpf, EbpfLoader};
use membench_common::program::{self, Hooked};
use membench_common::{field, member};

use crate::bpf::btf::Types;
use crate::bpf::counters::ProgramFile;
use crate::bpf::failure;
use crate::source::sockets::globals::Offsets;
use crate::{Error, Followed, Hooks, KernelError, Misses, Result};

/// Sockets that the `syscalls` hooks can know at the same time.
const WALKED_SOCKETS: u32 = 65_536;

/// What sees no bytes move. These fire for every TCP socket of the machine and in interrupts too, and so now and then
/// while they run already.
const ASIDE: [&str; 2] = ["inet_sock_set_state", "tcp_rcv_space_adjust"];

/// The programs of one kind of hooks, attached.
pub(crate) struct Programs {
    attached: Vec<Attached>,
    /// The kernel empties it once nobody holds it.
    _continuations: ProgramArray<MapData>,
}

struct Attached {
    file: ProgramFile,
    tracepoint: &'static str,
    link: Option<BtfTracePointLink>,
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
    /// How often a program did not run because it was running already on that CPU.
    pub(crate) fn misses(&mut self) -> Result<Misses> {
        let mut misses = Misses::default();
        for program in &mut self.attached {
            *misses.of(program.tracepoint) += program.file.misses()?;
        }
        Ok(misses)
    }

    /// Detaches them, sends first.
    pub(crate) fn detach(&mut self) {
        for program in &mut self.attached {
            program.link = None;
        }
    }
}

impl Hooks {
    /// Its programs that are attached, in that order.
    fn hooked(self) -> &'static [Hooked] {
        match self {
            Self::Sockets => &program::SOCKETS,
            Self::Syscalls => &program::SYSCALLS,
        }
    }

    /// Its programs that others go on in.
    fn continuations(self) -> &'static [Hooked] {
        match self {
            Self::Sockets => &[],
            Self::Syscalls => &program::CONTINUATIONS,
        }
    }

    /// Looks up what its programs need of this kernel; what is about UNIX-domain sockets only if such are followed.
    pub(crate) fn offsets(self, types: &Types, followed: &Followed) -> Result<Offsets> {
        for (_, tracepoint) in self.hooked().iter().rev() {
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
        })
    }

    /// Makes the tables of its programs as large as they have to be; those of the other's stay at one entry.
    pub(crate) fn size_maps(self, loader: &mut EbpfLoader<'_>, cpus: u32) {
        loader.map_max_entries("receive_scratch", cpus);
        match self {
            Self::Sockets => loader.map_max_entries("send_scratch", cpus),
            Self::Syscalls => loader.map_max_entries("walked", WALKED_SOCKETS),
        };
    }

    /// Loads its programs, and no others, and attaches them; loading one takes its time.
    pub(crate) fn attach(
        self,
        programs: &mut Ebpf,
        types: &Btf,
        after_each: impl Fn(),
    ) -> Result<Programs> {
        let continuations = self.link_continuations(programs, types)?;
        let hooked = self.hooked().iter();
        let attached = hooked
            .map(|one| attach(programs, *one, types))
            .inspect(|_| after_each());
        Ok(Programs {
            attached: attached.collect::<Result<_>>()?,
            _continuations: continuations,
        })
    }

    fn link_continuations(self, programs: &mut Ebpf, types: &Btf) -> Result<ProgramArray<MapData>> {
        const MAP: &str = "continuations";
        let map = programs.take_map(MAP).ok_or_else(|| failure::absent(MAP))?;
        let map = ProgramArray::try_from(map);
        let mut map = map.map_err(|error| failure::load(MAP, error.into()))?;
        for (index, one) in (0..).zip(self.continuations()) {
            let program = load(programs, *one, types)?.fd();
            let program = program.map_err(|error| failure::load(one.0, error.into()))?;
            map.set(index, program, 0)
                .map_err(|error| failure::load(MAP, error.into()))?;
        }
        Ok(map)
    }
}

/// True if other hooks may work where these failed: the kernel lacks a tracepoint or structure, or refuses a program.
pub(crate) fn may_differ(error: &Error) -> bool {
    let Error::Kernel(error) = error else {
        return false;
    };
    match error {
        KernelError::NoTracepoint { .. }
        | KernelError::NoMember { .. }
        | KernelError::Attach { .. } => true,
        KernelError::Load { source, .. } => {
            !matches!(
                source.kind(),
                io::ErrorKind::OutOfMemory | io::ErrorKind::Unsupported
            ) && source.raw_os_error() != Some(libc::EPERM)
        }
        _ => false,
    }
}

/// The most informative error: anything but a missing tracepoint, else the last.
pub(crate) fn worst(refused: Vec<Error>) -> Error {
    let mut refused = refused.into_iter().rev();
    let last = refused.next();
    refused
        .find(|error| !matches!(error, Error::Kernel(KernelError::NoTracepoint { .. })))
        .or(last)
        .unwrap_or_else(|| failure::absent(failure::OBJECT))
}

/// The first line of the reason why hooks were refused.
pub(crate) fn reason(error: &Error) -> String {
    match error {
        Error::Kernel(KernelError::NoTracepoint { tracepoint, .. }) => {
            format!("no tracepoint {tracepoint}")
        }
        error => error.to_string().lines().next().unwrap_or_default().into(),
    }
}

fn load<'a>(
    programs: &'a mut Ebpf,
    (name, tracepoint): Hooked,
    types: &Btf,
) -> Result<&'a mut BtfTracePoint> {
    let program: &mut BtfTracePoint = programs
        .program_mut(name)
        .ok_or_else(|| failure::absent(name))?
        .try_into()
        .map_err(|error: aya::programs::ProgramError| failure::load(name, error.into()))?;
    program
        .load(tracepoint, types)
        .map_err(|error| failure::load(name, error.into()))?;
    Ok(program)
}

fn attach(programs: &mut Ebpf, hooked: Hooked, types: &Btf) -> Result<Attached> {
    let (name, tracepoint) = hooked;
    let program = load(programs, hooked, types)?;
    let link = program.attach().and_then(|id| program.take_link(id));
    let link = link.map_err(|error| failure::attach(name, error.into()))?;
    let descriptor = program
        .fd()
        .map_err(|error| failure::load(name, error.into()))?;
    Ok(Attached {
        file: ProgramFile::open(descriptor.as_fd())?,
        tracepoint,
        link: Some(link),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(errno: i32) -> Error {
        let error = KernelError::Load {
            name: "sys_exit",
            source: io::Error::from_raw_os_error(errno),
            log: "R1 invalid mem access".into(),
        };
        error.into()
    }

    fn no_tracepoint(tracepoint: &'static str) -> Error {
        let kernel = "5.10.0".into();
        KernelError::NoTracepoint { tracepoint, kernel }.into()
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
    fn another_tier_is_tried_only_where_it_may_work() {
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
        let missing = vec!["CAP_BPF"];
        assert!(!may_differ(
            &KernelError::MissingCapabilities { missing }.into()
        ));
    }

    #[test]
    fn a_rejected_program_says_more_than_a_tracepoint_that_is_not_there() {
        let told = worst(vec![rejected(libc::EACCES), no_tracepoint("sys_exit")]);
        assert!(
            matches!(told, Error::Kernel(KernelError::Load { .. })),
            "{told}"
        );
        let told = worst(vec![
            no_tracepoint("sock_recv_length"),
            rejected(libc::EACCES),
        ]);
        assert!(
            matches!(told, Error::Kernel(KernelError::Load { .. })),
            "{told}"
        );
        let told = worst(vec![
            no_tracepoint("sock_recv_length"),
            no_tracepoint("sys_exit"),
        ]);
        assert_eq!(reason(&told), "no tracepoint sys_exit");
    }
}
