//! Programs of control groups and network namespaces.

use std::{
    any::Any,
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    path::Path,
};

use aya::{
    programs::{
        CgroupAttachMode, CgroupSkbAttachType, Program, ProgramError,
        links::{FdLink, LinkError},
    },
    util::KernelVersion,
};

use crate::{Direction, Hook, Link, sys::command};

/// `BPF_CGROUP_INET_INGRESS`, `BPF_CGROUP_INET_EGRESS` and `BPF_CGROUP_SOCK_OPS`.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/bpf.h>
const INGRESS: u32 = 0;
const EGRESS: u32 = 1;
const SOCK_OPS: u32 = 3;

/// Lets other programs of the group stay attached. Links always do, and take no flags.
fn beside_others() -> CgroupAttachMode {
    if has_links() {
        CgroupAttachMode::default()
    } else {
        CgroupAttachMode::AllowMultiple
    }
}

/// Returns true if this kernel attaches programs to control groups by links.
fn has_links() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(5, 7, 0))
}

/// Attaches a loaded program; `None` if it is of another type or the hook does not fit.
pub(super) fn attach(program: &mut Program, hook: &Hook) -> Result<Option<Link>, ProgramError> {
    match hook {
        Hook::Cgroup { path, direction } => to_group(program, path, *direction),
        Hook::NetworkNamespace(path) => to_namespace(program, path),
        _ => Ok(None),
    }
}

fn to_group(
    program: &mut Program,
    path: &Path,
    direction: Direction,
) -> Result<Option<Link>, ProgramError> {
    let group = File::open(path)?;
    let link = match program {
        Program::CgroupSkb(program) if has_links() => {
            let attach_type = match (program.expected_attach_type(), direction) {
                (Some(CgroupSkbAttachType::Ingress), _) | (None, Direction::Ingress) => INGRESS,
                (Some(CgroupSkbAttachType::Egress), _) | (None, Direction::Egress) => EGRESS,
            };
            updatable(program.fd()?.as_fd(), &group, attach_type)?
        }
        Program::SockOps(program) if has_links() => {
            updatable(program.fd()?.as_fd(), &group, SOCK_OPS)?
        }
        Program::CgroupSkb(program) => {
            let direction = program.expected_attach_type().unwrap_or(match direction {
                Direction::Ingress => CgroupSkbAttachType::Ingress,
                Direction::Egress => CgroupSkbAttachType::Egress,
            });
            let id = program.attach(group, direction, beside_others())?;
            linked(program.take_link(id)?)?
        }
        Program::CgroupSock(program) => {
            let id = program.attach(group, beside_others())?;
            linked(program.take_link(id)?)?
        }
        Program::CgroupSockAddr(program) => {
            let id = program.attach(group, beside_others())?;
            linked(program.take_link(id)?)?
        }
        Program::CgroupSockopt(program) => {
            let id = program.attach(group, beside_others())?;
            Link::other(program.take_link(id)?)
        }
        Program::CgroupSysctl(program) => {
            let id = program.attach(group, beside_others())?;
            Link::other(program.take_link(id)?)
        }
        Program::CgroupDevice(program) => {
            let id = program.attach(group, beside_others())?;
            Link::other(program.take_link(id)?)
        }
        Program::SockOps(program) => {
            let id = program.attach(group, beside_others())?;
            linked(program.take_link(id)?)?
        }
        Program::LsmCgroup(program) => {
            let id = program.attach(group)?;
            FdLink::from(program.take_link(id)?).into()
        }
        _ => return Ok(None),
    };
    Ok(Some(link))
}

/// Links a program to a group: such links can be updated.
fn updatable(program: BorrowedFd<'_>, group: &File, attach_type: u32) -> io::Result<Link> {
    let group = group.as_raw_fd().cast_unsigned();
    command::link(program, group, attach_type, 0).map(Link::from_descriptor)
}

/// Wraps a link that is one of the kernel's since Linux 5.7.
fn linked<L: Any + Send + Sync>(link: L) -> Result<Link, ProgramError>
where
    FdLink: TryFrom<L, Error = LinkError>,
{
    if has_links() {
        Link::from_kernel(link)
    } else {
        Ok(Link::other(link))
    }
}

fn to_namespace(program: &mut Program, path: &Path) -> Result<Option<Link>, ProgramError> {
    let namespace = File::open(path)?;
    let link = match program {
        Program::SkLookup(program) => {
            let id = program.attach(namespace)?;
            FdLink::from(program.take_link(id)?).into()
        }
        Program::FlowDissector(program) => {
            let id = program.attach(namespace)?;
            linked(program.take_link(id)?)?
        }
        _ => return Ok(None),
    };
    Ok(Some(link))
}
