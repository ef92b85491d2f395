//! The loader's errors → this crate's: the step that failed, its errno, the verifier's log, and missing capabilities.

use std::io;

use aya::{
    BtfError, EbpfError,
    maps::MapError,
    pin::PinError,
    programs::{
        KProbeError, ProgramError, SocketFilterError, TcError, TracePointError, UProbeError,
        XdpError,
    },
    sys::SyscallError,
};

use crate::{Capability, Error, VerifierLog};

/// Reports a program, map or object that could not be loaded.
pub(crate) fn load(name: &str, needed: &[Capability], error: EbpfError) -> Error {
    let (source, log) = cause(error);
    match missing(needed, &source) {
        Some(missing) => missing,
        None => Error::Load {
            name: name.into(),
            source,
            log,
        },
    }
}

/// Reports an object whose maps could not be made. The loader tries whether the kernel has maps for globals; without the
/// privilege to make any it goes on without them, and fails later in another way.
pub(crate) fn make(name: &str, needed: &[Capability], error: EbpfError) -> Error {
    let missing = Capability::missing(needed);
    let map = match &error {
        EbpfError::MapError(MapError::CreateError { name, .. }) => Some(name.clone()),
        _ => None,
    };
    match load(map.as_deref().unwrap_or(name), needed, error) {
        Error::Load { source, .. } if source.raw_os_error().is_none() && !missing.is_empty() => {
            Error::MissingCapabilities { missing }
        }
        error => error,
    }
}

/// Joins an error with its causes.
pub(crate) fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Reports a program that could not be attached.
pub(crate) fn attach(name: &str, needed: &[Capability], error: EbpfError) -> Error {
    let (source, _) = cause(error);
    match missing(needed, &source) {
        Some(missing) => missing,
        None => Error::Attach {
            name: name.into(),
            source,
        },
    }
}

/// Names the missing capabilities that caused an `EPERM`; `None` if none is missing, so that a policy denied it.
fn missing(needed: &[Capability], source: &io::Error) -> Option<Error> {
    if source.raw_os_error() != Some(libc::EPERM) {
        return None;
    }
    let missing = Capability::missing(needed);
    (!missing.is_empty()).then_some(Error::MissingCapabilities { missing })
}

/// Finds the system's error and the verifier's log, wherever the loader keeps them.
fn cause(error: EbpfError) -> (io::Error, VerifierLog) {
    match error {
        EbpfError::ProgramError(error) => program_cause(error),
        EbpfError::MapError(error) => (map_cause(error), VerifierLog::default()),
        EbpfError::BtfError(error) => types_cause(error),
        EbpfError::FileError { error, .. } => (error, VerifierLog::default()),
        other => (io::Error::other(reason(&other)), VerifierLog::default()),
    }
}

fn types_cause(error: BtfError) -> (io::Error, VerifierLog) {
    match error {
        BtfError::LoadError {
            io_error,
            verifier_log,
        } => (io_error, VerifierLog::new(verifier_log.to_string())),
        BtfError::FileError { error, .. } => (error, VerifierLog::default()),
        BtfError::UnknownBtfTypeName { .. } => (
            io::Error::new(io::ErrorKind::NotFound, error.to_string()),
            VerifierLog::default(),
        ),
        other => (io::Error::other(other), VerifierLog::default()),
    }
}

fn program_cause(error: ProgramError) -> (io::Error, VerifierLog) {
    let source = match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => return (io_error, VerifierLog::new(verifier_log.to_string())),
        ProgramError::Btf(error) => return types_cause(error),
        ProgramError::MapError(error) => map_cause(error),
        ProgramError::SyscallError(SyscallError { io_error, .. })
        | ProgramError::TcError(TcError::IoError(io_error))
        | ProgramError::KProbeError(KProbeError::FileError { io_error, .. })
        | ProgramError::UProbeError(UProbeError::FileError { io_error, .. })
        | ProgramError::TracePointError(TracePointError::FileError { io_error, .. })
        | ProgramError::SocketFilterError(SocketFilterError::SetsockoptError {
            io_error, ..
        })
        | ProgramError::IOError(io_error) => io_error,
        ProgramError::TcError(TcError::NetlinkError(error))
        | ProgramError::XdpError(XdpError::NetlinkError(error))
        | ProgramError::NetlinkError(error) => {
            let errno = error.raw_os_error();
            errno.map_or_else(|| io::Error::other(error), io::Error::from_raw_os_error)
        }
        // The cause may name no symbol: the file with a program's debug symbols is often not installed.
        ProgramError::UProbeError(UProbeError::SymbolError { symbol, error }) => io::Error::new(
            io::ErrorKind::NotFound,
            format!("cannot find the symbol `{symbol}`: {}", reason(&*error)),
        ),
        ProgramError::UnknownInterface { .. }
        | ProgramError::UProbeError(UProbeError::InvalidTarget { .. }) => {
            io::Error::new(io::ErrorKind::NotFound, reason(&error))
        }
        other => io::Error::other(reason(&other)),
    };
    (source, VerifierLog::default())
}

/// Finds the system's error in one of a map.
pub(crate) fn map_cause(error: MapError) -> io::Error {
    match error {
        MapError::CreateError { io_error, .. }
        | MapError::SyscallError(SyscallError { io_error, .. })
        | MapError::PinError {
            error: PinError::SyscallError(SyscallError { io_error, .. }),
            ..
        } => io_error,
        other => io::Error::other(other),
    }
}

/// Finds the system's error in one of a pin.
pub(crate) fn pin_cause(error: PinError) -> io::Error {
    match error {
        PinError::SyscallError(SyscallError { io_error, .. }) => io_error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifiers_log_is_kept_whole() {
        let error = ProgramError::LoadError {
            io_error: io::Error::from_raw_os_error(libc::EINVAL),
            verifier_log: aya_obj::VerifierLog::new("x".repeat(5_000) + "\nunknown func"),
        };
        let Error::Load { log, .. } = load("count", &[], error.into()) else {
            panic!()
        };
        assert_eq!(log.as_str().len(), 5_013);
        assert!(log.tail().ends_with("unknown func") && log.tail().len() == 2_000);
    }

    #[test]
    fn the_system_error_is_found_inside_the_loaders() {
        let io_error = io::Error::from_raw_os_error(libc::ENOMEM);
        let error = MapError::CreateError {
            name: "ring".into(),
            io_error,
        };
        let Error::Load { name, source, log } = load("ring", &[], error.into()) else {
            panic!()
        };
        assert_eq!(
            (name.as_str(), source.raw_os_error(), log.as_str()),
            ("ring", Some(libc::ENOMEM), "")
        );
    }

    #[test]
    fn a_symbol_that_is_not_found_is_named() {
        let error = UProbeError::SymbolError {
            symbol: "function".into(),
            error: io::Error::other("no file of debug symbols").into(),
        };
        let (source, _) = program_cause(error.into());
        assert_eq!(source.kind(), io::ErrorKind::NotFound);
        assert_eq!(
            source.to_string(),
            "cannot find the symbol `function`: no file of debug symbols"
        );
    }
}
