//! What the loader says → which step failed, with which errno, and for lack of which capabilities.

use std::io;

use aya::maps::MapError;
use aya::programs::{ProgramError, TcError};
use aya::sys::SyscallError;
use aya::{BtfError, EbpfError};

use crate::source::sockets::kernel_release;
use crate::{Error, KernelError, missing_capabilities};

/// What stands for the object as a whole where a program's or map's name is told.
pub(crate) const OBJECT: &str = "capture.bpf.o";

/// Most of the verifier's log that is told: its end says why.
const LOG_TAIL: usize = 2_000;

/// What a verifier says of the one function that kernels before 5.15 keep from tracing programs.
const ASKS_CONTROL_GROUP: &str = "unknown func bpf_get_current_ancestor_cgroup_id";

/// A program or map that could not be loaded.
pub(crate) fn load(name: &'static str, error: EbpfError) -> Error {
    let (source, log) = cause(error);
    match source.raw_os_error() {
        Some(libc::EPERM) => permission(name, source),
        _ if log.contains(ASKS_CONTROL_GROUP) => KernelError::NoControlGroups {
            kernel: kernel_release(),
        }
        .into(),
        _ => KernelError::Load {
            name,
            source,
            log: tail(&log, LOG_TAIL).into(),
        }
        .into(),
    }
}

/// A program that could not be attached.
pub(crate) fn attach(name: &'static str, error: EbpfError) -> Error {
    let (source, _) = cause(error);
    match source.raw_os_error() {
        Some(libc::EPERM) => permission(name, source),
        _ => KernelError::Attach { name, source }.into(),
    }
}

/// A program or map that the object lacks.
pub(crate) fn absent(name: &'static str) -> Error {
    let source = io::Error::new(io::ErrorKind::NotFound, "not in the object");
    let log = String::new();
    KernelError::Load { name, source, log }.into()
}

/// Not allowed: for lack of capabilities, or though they are there.
fn permission(name: &'static str, source: io::Error) -> Error {
    let error = match missing_capabilities() {
        missing if missing.is_empty() => KernelError::Load {
            name,
            source,
            log: String::new(),
        },
        missing => KernelError::MissingCapabilities { missing },
    };
    error.into()
}

/// The system's error and the verifier's log, from wherever the loader keeps them.
fn cause(error: EbpfError) -> (io::Error, String) {
    match error {
        EbpfError::ProgramError(ProgramError::LoadError {
            io_error,
            verifier_log,
        })
        | EbpfError::BtfError(BtfError::LoadError {
            io_error,
            verifier_log,
        }) => (io_error, verifier_log.to_string()),
        EbpfError::ProgramError(
            ProgramError::SyscallError(SyscallError { io_error, .. })
            | ProgramError::TcError(TcError::IoError(io_error)),
        )
        | EbpfError::MapError(
            MapError::CreateError { io_error, .. }
            | MapError::SyscallError(SyscallError { io_error, .. }),
        )
        | EbpfError::FileError {
            error: io_error, ..
        } => (io_error, String::new()),
        EbpfError::ProgramError(ProgramError::TcError(TcError::NetlinkError(error))) => {
            let errno = error.raw_os_error();
            let error = errno.map_or_else(|| io::Error::other(error), io::Error::from_raw_os_error);
            (error, String::new())
        }
        other => (io::Error::other(other), String::new()),
    }
}

fn tail(text: &str, bytes: usize) -> &str {
    let start = text.len().saturating_sub(bytes);
    let start = (start..=text.len())
        .find(|index| text.is_char_boundary(*index))
        .unwrap_or(0);
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_told_by_its_end() {
        assert_eq!(tail("0123456789", 4), "6789");
        assert_eq!(tail("é789", 4), "789");
        assert_eq!(tail("short", 100), "short");
    }

    #[test]
    fn a_kernel_that_does_not_tell_control_groups_is_told_by_its_verifier() {
        let error = ProgramError::LoadError {
            io_error: io::Error::from_raw_os_error(libc::EINVAL),
            verifier_log: aya_obj::VerifierLog::new(format!(
                "7: (85) call …\n{ASKS_CONTROL_GROUP}#123"
            )),
        };
        let error = load("sys_exit", error.into());
        assert!(
            matches!(error, Error::Kernel(KernelError::NoControlGroups { .. })),
            "{error}"
        );
    }

    #[test]
    fn the_system_error_is_found_inside_the_loaders() {
        let io_error = io::Error::from_raw_os_error(libc::ENOMEM);
        let error = MapError::CreateError {
            name: "ring".into(),
            io_error,
        };
        let Error::Kernel(KernelError::Load { name, source, log }) = load("ring", error.into())
        else {
            panic!()
        };
        assert_eq!(
            (name, source.raw_os_error(), log.as_str()),
            ("ring", Some(libc::ENOMEM), "")
        );
    }
}
