//! Programs of control groups and network namespaces.

use std::{fs::File, path::Path};

use aya::programs::{CgroupAttachMode, CgroupSkbAttachType, Program, ProgramError, links::FdLink};

use crate::{Direction, Hook, Link};

/// Other programs of the group stay attached, and run too.
const BESIDE_OTHERS: CgroupAttachMode = CgroupAttachMode::AllowMultiple;

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
        Program::CgroupSkb(program) => {
            let direction = program.expected_attach_type().unwrap_or(match direction {
                Direction::Ingress => CgroupSkbAttachType::Ingress,
                Direction::Egress => CgroupSkbAttachType::Egress,
            });
            let id = program.attach(group, direction, BESIDE_OTHERS)?;
            Link::other(program.take_link(id)?)
        }
        Program::CgroupSock(program) => {
            let id = program.attach(group, BESIDE_OTHERS)?;
            Link::other(program.take_link(id)?)
        }
        Program::CgroupSockAddr(program) => {
            let id = program.attach(group, BESIDE_OTHERS)?;
            Link::other(program.take_link(id)?)
        }
        Program::CgroupSockopt(program) => {
            let id = program.attach(group, BESIDE_OTHERS)?;
            Link::other(program.take_link(id)?)
        }
        Program::CgroupSysctl(program) => {
            let id = program.attach(group, BESIDE_OTHERS)?;
            Link::other(program.take_link(id)?)
        }
        Program::CgroupDevice(program) => {
            let id = program.attach(group, BESIDE_OTHERS)?;
            Link::other(program.take_link(id)?)
        }
        Program::SockOps(program) => {
            let id = program.attach(group, BESIDE_OTHERS)?;
            Link::other(program.take_link(id)?)
        }
        Program::LsmCgroup(program) => {
            let id = program.attach(group)?;
            FdLink::from(program.take_link(id)?).into()
        }
        _ => return Ok(None),
    };
    Ok(Some(link))
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
            Link::other(program.take_link(id)?)
        }
        _ => return Ok(None),
    };
    Ok(Some(link))
}
