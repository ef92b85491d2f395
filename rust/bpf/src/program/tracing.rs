//! Programs that the verifier checks against the kernel's types: loaded for their hook, and attached to it.

use std::os::fd::AsFd;

use aya::{
    Btf,
    programs::{Program, ProgramError, links::FdLink},
};

use crate::{Hook, Link, sys::command};

/// `BPF_TRACE_ITER`.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/bpf.h>
const ITERATOR: u32 = 28;

type Loaded = Result<bool, ProgramError>;
type Attached = Result<Option<Link>, ProgramError>;

/// Loads a program for its hook; returns false if it is of another type or the hook does not fit.
pub(super) fn load(program: &mut Program, hook: Option<&Hook>, types: &Btf) -> Loaded {
    match (program, hook) {
        (Program::BtfTracePoint(program), Some(Hook::RawTracepoint(name))) => {
            program.load(name, types)
        }
        (Program::FEntry(program), Some(Hook::KernelFunction { name, .. })) => {
            program.load(name, types)
        }
        (Program::FExit(program), Some(Hook::KernelFunction { name, .. })) => {
            program.load(name, types)
        }
        (Program::Lsm(program), Some(Hook::Lsm(name))) => program.load(name, types),
        (Program::LsmCgroup(program), Some(Hook::Lsm(name))) => program.load(name, types),
        (Program::Iter(program), Some(Hook::Iterator(name))) => program.load(name, types),
        _ => return Ok(false),
    }
    .map(|()| true)
}

/// Returns true if programs of this type are loaded for one hook.
pub(super) fn is_bound(program: &Program) -> bool {
    matches!(
        program,
        Program::BtfTracePoint(_)
            | Program::FEntry(_)
            | Program::FExit(_)
            | Program::Lsm(_)
            | Program::LsmCgroup(_)
            | Program::Iter(_)
    )
}

/// Attaches a loaded program; `None` if it is of another type or the hook does not fit.
pub(super) fn attach(program: &mut Program, hook: &Hook) -> Attached {
    let link = match (program, hook) {
        (Program::BtfTracePoint(program), Hook::RawTracepoint(_)) => {
            let id = program.attach()?;
            FdLink::from(program.take_link(id)?).into()
        }
        (Program::FEntry(program), Hook::KernelFunction { .. }) => {
            let id = program.attach()?;
            FdLink::from(program.take_link(id)?).into()
        }
        (Program::FExit(program), Hook::KernelFunction { .. }) => {
            let id = program.attach()?;
            FdLink::from(program.take_link(id)?).into()
        }
        (Program::Lsm(program), Hook::Lsm(_)) => {
            let id = program.attach()?;
            FdLink::from(program.take_link(id)?).into()
        }
        (Program::Iter(program), Hook::Iterator(_)) => {
            let link = command::link(program.fd()?.as_fd(), 0, ITERATOR, 0)?;
            Link::iterator(link)
        }
        _ => return Ok(None),
    };
    Ok(Some(link))
}
