//! Failures of the loader → the exceptions of `membench.bpf`.

use membench_bpf::{Cause, Kind};
use membench_event::{Failure, Hint};
use pyo3::{PyErr, import_exception};

use crate::error::UsageError;

import_exception!(membench.bpf._errors, AlreadyAttached);
import_exception!(membench.bpf._errors, InvalidHandle);
import_exception!(membench.bpf._errors, KernelError);
import_exception!(membench.bpf._errors, NotFound);
import_exception!(membench.bpf._errors, PermissionError);
import_exception!(membench.bpf._errors, Unsupported);
import_exception!(membench.bpf._errors, VerifierError);

pub(super) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
pub(super) enum Error {
    /// The loader failed, with a program of this type if it was one.
    Loader(membench_bpf::Error, Option<Kind>),
    /// The object, map, ring or link was closed.
    Closed { what: &'static str },
    /// The object is loaded already, or not yet.
    State { wanted: &'static str },
    /// An argument is wrong.
    Argument(String),
}

impl From<membench_bpf::Error> for Error {
    fn from(error: membench_bpf::Error) -> Self {
        Self::Loader(error, None)
    }
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Loader(error, kind) => raise(&error, kind),
            Error::Closed { what } => {
                InvalidHandle::new_err((format!("the {what} is closed: open it again"),))
            }
            Error::State { wanted } => InvalidHandle::new_err((wanted,)),
            Error::Argument(text) => UsageError::new_err((text,)),
        }
    }
}

fn raise(error: &membench_bpf::Error, kind: Option<Kind>) -> PyErr {
    let hint = error.hint();
    let library = hint.as_ref().map(Hint::for_library);
    let command = hint.as_ref().map(Hint::for_command_line);
    let (message, errno) = (error.to_string(), error.errno());
    match error.cause(kind) {
        Cause::Verifier(log) => VerifierError::new_err((
            message,
            library,
            command,
            errno,
            log.as_str().to_owned(),
            log.processed_instructions(),
        )),
        Cause::Permission(missing) => {
            let missing: Vec<_> = missing.iter().map(|one| one.name()).collect();
            PermissionError::new_err((message, library, command, errno, missing))
        }
        Cause::NotFound => NotFound::new_err((message, library, command, errno)),
        Cause::Taken => AlreadyAttached::new_err((message, library, command, errno)),
        Cause::Unsupported(kernel) => {
            let message = match (kernel, kind) {
                (Some(kernel), Some(kind)) => {
                    format!("{message}; programs of type {kind} need Linux {kernel}")
                }
                (None, Some(kind)) => {
                    format!("{message}; this kernel attaches no such programs of type {kind}")
                }
                _ => message,
            };
            Unsupported::new_err((message, library, command, errno, kernel))
        }
        Cause::Usage => UsageError::new_err((message, library, command)),
        _ => KernelError::new_err((message, library, command, errno)),
    }
}
