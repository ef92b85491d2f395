//! Perf events at instructions of programs, with a counter that is raised meanwhile: aya makes those without.

use std::{
    ffi::CString,
    fs, io, mem,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use aya_obj::generated::perf_event_attr;

use super::command;
use crate::Link;

/// Folder in which the kernel describes these events.
const DEVICE: &str = "/sys/bus/event_source/devices/uprobe";
/// Bit of the configuration that asks for the return of the function.
/// <https://github.com/torvalds/linux/blob/v6.12/kernel/events/core.c>
const RETURN: u64 = 1;
/// Position of the counter's offset in the configuration.
const SEMAPHORE: u32 = 32;
/// `PERF_FLAG_FD_CLOEXEC`.
const CLOSE_ON_EXEC: u64 = 8;
/// `BPF_PERF_EVENT`.
const PERF_EVENT: u32 = 41;
/// `PERF_EVENT_IOC_SET_BPF` and `PERF_EVENT_IOC_ENABLE`.
const SET_PROGRAM: libc::c_ulong = 0x4004_2408;
const ENABLE: libc::c_ulong = 0x2400;

/// An instruction of a file.
pub(crate) struct Place<'a> {
    pub(crate) file: &'a Path,
    pub(crate) offset: u64,
    /// Offset of the counter in the file; 0 for none.
    pub(crate) semaphore: u64,
    pub(crate) returns: bool,
    pub(crate) process: Option<u32>,
}

/// Attaches a loaded program.
pub(crate) fn attach(program: BorrowedFd<'_>, place: &Place<'_>) -> io::Result<Link> {
    let event = open(place)?;
    if aya::features().bpf_perf_link() {
        let target = event.as_raw_fd().cast_unsigned();
        return command::link(program, target, PERF_EVENT, 0).map(Link::from_descriptor);
    }
    control(event.as_fd(), SET_PROGRAM, program.as_raw_fd())?;
    control(event.as_fd(), ENABLE, 0)?;
    Ok(Link::other(event))
}

fn open(place: &Place<'_>) -> io::Result<OwnedFd> {
    let kind = fs::read_to_string(format!("{DEVICE}/type"))?;
    let path = CString::new(place.file.as_os_str().as_bytes()).map_err(io::Error::other)?;
    // SAFETY: the structure is plain numbers.
    let mut attributes: perf_event_attr = unsafe { mem::zeroed() };
    attributes.type_ = kind.trim().parse().map_err(io::Error::other)?;
    attributes.size = u32::try_from(size_of::<perf_event_attr>()).unwrap_or(u32::MAX);
    attributes.config = place.semaphore << SEMAPHORE | if place.returns { RETURN } else { 0 };
    attributes.__bindgen_anon_3.config1 = path.as_ptr() as u64;
    attributes.__bindgen_anon_4.config2 = place.offset;
    let process = match place.process {
        Some(process) => i32::try_from(process).map_err(io::Error::other)?,
        None => -1,
    };
    let cpu = if place.process.is_some() { -1 } else { 0 };
    // SAFETY: the attributes and the path in them outlive the call.
    let event = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            process,
            cpu,
            -1,
            CLOSE_ON_EXEC,
        )
    };
    match i32::try_from(event) {
        // SAFETY: the call returned a new descriptor, which nobody else owns.
        Ok(event) if event >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(event) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn control(event: BorrowedFd<'_>, request: libc::c_ulong, argument: i32) -> io::Result<()> {
    // SAFETY: both requests take a number.
    match unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
