//! Failures → the few causes that a caller can act on.

use std::{io, path::Path};

use aya::util::KernelVersion;

use crate::{Capability, Error, Kind, VerifierLog};

/// `ENOTSUPP`, which the kernel returns for some links and has no name in C.
const ENOTSUPP: i32 = 524;
/// Missing if the kernel was built without kprobes.
const KPROBES: &str = "/sys/bus/event_source/devices/kprobe";

/// A cause of failures that a caller can act on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause<'a> {
    /// The verifier rejects the program.
    Verifier(&'a VerifierLog),
    /// This process may not do it; the capabilities that it lacks, none if a policy forbids it.
    Permission(&'a [Capability]),
    /// The object or the kernel has no such thing.
    NotFound,
    /// Another program holds the hook, or something is pinned at the path.
    Taken,
    /// The kernel cannot do it; the first version that can, if a version is the reason.
    Unsupported(Option<&'static str>),
    /// The arguments are wrong.
    Usage,
    /// Anything else; the message says it.
    Other,
}

impl Error {
    /// Returns the cause; `kind` is the type of the program that was loaded or attached.
    pub fn cause(&self, kind: Option<Kind>) -> Cause<'_> {
        match self {
            Self::MissingCapabilities { missing } => Cause::Permission(missing),
            Self::Load { log, source, .. } if is_verdict(source, log) => Cause::Verifier(log),
            Self::Load { source, .. } | Self::Attach { source, .. } => of_kernel(source, kind),
            Self::Absent { .. } | Self::NoTracepoint { .. } | Self::NoMember { .. } => {
                Cause::NotFound
            }
            Self::NotAnObject { .. }
            | Self::GlobalSize { .. }
            | Self::RingSize { .. }
            | Self::WrongHook { .. }
            | Self::SampleRate { .. }
            | Self::ElementSize { .. } => Cause::Usage,
            Self::OldKernel { oldest, .. } => Cause::Unsupported(Some(oldest)),
            Self::NoTypes { .. } => Cause::Unsupported(None),
            Self::Map { source, .. }
            | Self::Element { source, .. }
            | Self::Listing { source }
            | Self::Handle { source, .. }
            | Self::Pin { source, .. }
            | Self::Io { source, .. }
            | Self::NoHelper { source, .. } => of_system(source),
        }
    }

    /// Returns the errno of the call that failed; `None` if no call did.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Load { source, .. }
            | Self::Attach { source, .. }
            | Self::NoTypes { source, .. }
            | Self::Map { source, .. }
            | Self::Element { source, .. }
            | Self::Listing { source }
            | Self::Handle { source, .. }
            | Self::Pin { source, .. }
            | Self::Io { source, .. }
            | Self::NoHelper { source, .. } => source.raw_os_error(),
            Self::MissingCapabilities { .. } => Some(libc::EPERM),
            Self::OldKernel { .. } => Some(libc::EOPNOTSUPP),
            Self::Absent { .. } | Self::NoTracepoint { .. } | Self::NoMember { .. } => {
                Some(libc::ENOENT)
            }
            Self::NotAnObject { .. }
            | Self::GlobalSize { .. }
            | Self::RingSize { .. }
            | Self::WrongHook { .. }
            | Self::SampleRate { .. }
            | Self::ElementSize { .. } => Some(libc::EINVAL),
        }
    }
}

/// Returns true if the verifier looked at the program and refused it: its last line counts what it processed.
fn is_verdict(source: &io::Error, log: &VerifierLog) -> bool {
    let errno = source.raw_os_error();
    let refused = matches!(
        errno,
        Some(libc::EACCES | libc::EINVAL | libc::EPERM | libc::E2BIG | libc::ENOSPC | libc::EFAULT)
    );
    refused && !log.as_str().trim().is_empty()
}

fn of_kernel(source: &io::Error, kind: Option<Kind>) -> Cause<'static> {
    if let Some(oldest) = kind.and_then(|kind| newer_than_this(kind.oldest_kernel())) {
        return Cause::Unsupported(Some(oldest));
    }
    let is_kprobe = matches!(kind, Some(Kind::KernelProbe | Kind::KernelReturnProbe));
    if is_kprobe && is(source, libc::ENOENT) && !Path::new(KPROBES).exists() {
        return Cause::Unsupported(None);
    }
    of_system(source)
}

fn of_system(source: &io::Error) -> Cause<'static> {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Cause::Permission(&[]),
        Some(libc::ENOENT | libc::ENODEV | libc::ESRCH | libc::ENXIO | libc::ENOTDIR) => {
            Cause::NotFound
        }
        Some(libc::EBUSY | libc::EEXIST) => Cause::Taken,
        Some(libc::EOPNOTSUPP | libc::ENOSYS | ENOTSUPP) => Cause::Unsupported(None),
        None if source.kind() == io::ErrorKind::NotFound => Cause::NotFound,
        None if source.kind() == io::ErrorKind::Unsupported => Cause::Unsupported(None),
        Some(_) | None => Cause::Other,
    }
}

fn is(source: &io::Error, errno: i32) -> bool {
    source.raw_os_error() == Some(errno)
}

/// Returns the version if this kernel is older.
pub(crate) fn newer_than_this(version: &'static str) -> Option<&'static str> {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    let (major, minor) = (numbers.next()?, numbers.next()?);
    let current = KernelVersion::current().ok()?;
    (current < KernelVersion::new(major, minor, 0)).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(errno: i32, log: &str) -> Error {
        Error::Load {
            name: "count".into(),
            source: io::Error::from_raw_os_error(errno),
            log: VerifierLog::new(log),
        }
    }

    fn attach(errno: i32) -> Error {
        Error::Attach {
            name: "count".into(),
            source: io::Error::from_raw_os_error(errno),
        }
    }

    #[test]
    fn each_errno_has_its_cause() {
        let kind = Some(Kind::RawTracepoint);
        let name = |error: &Error| match error.cause(kind) {
            Cause::Verifier(log) => format!("verifier {}", log.as_str()),
            Cause::Permission(missing) => format!("permission {}", missing.len()),
            Cause::NotFound => "not found".into(),
            Cause::Taken => "taken".into(),
            Cause::Unsupported(version) => format!("unsupported {version:?}"),
            Cause::Usage => "usage".into(),
            Cause::Other => "other".into(),
        };
        let missing = vec![Capability::Bpf];
        for (error, cause) in [
            (load(libc::EACCES, "R0 !read_ok"), "verifier R0 !read_ok"),
            (load(libc::EINVAL, "unknown func"), "verifier unknown func"),
            (load(libc::E2BIG, "too large"), "verifier too large"),
            (load(libc::EACCES, ""), "permission 0"),
            (load(libc::EPERM, ""), "permission 0"),
            (Error::MissingCapabilities { missing }, "permission 1"),
            (load(libc::EINVAL, ""), "other"),
            (load(libc::ENOMEM, ""), "other"),
            (load(libc::ENOSYS, ""), "unsupported None"),
            (load(libc::ENOENT, ""), "not found"),
            (attach(libc::EPERM), "permission 0"),
            (attach(libc::EACCES), "permission 0"),
            (attach(libc::ENOENT), "not found"),
            (attach(libc::ENODEV), "not found"),
            (attach(libc::EBUSY), "taken"),
            (attach(libc::EEXIST), "taken"),
            (attach(libc::EOPNOTSUPP), "unsupported None"),
            (attach(ENOTSUPP), "unsupported None"),
            (attach(libc::EINVAL), "other"),
        ] {
            assert_eq!(name(&error), cause, "{error}");
        }
    }

    #[test]
    fn a_type_that_comes_with_a_newer_kernel_names_it() {
        assert_eq!(newer_than_this("4.1"), None);
        assert_eq!(newer_than_this("99.1"), Some("99.1"));
    }
}
