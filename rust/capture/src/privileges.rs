//! Privileges of a recording: giving all of them up, and becoming the user who started it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use membench_event::{Class, Failure, Hint};
use membench_profile::Owner;
use rustix::{
    process::{Gid, Uid, geteuid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use crate::{Error, Result, sys};

/// A failure to give up privileges.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivilegesError {
    /// The system refused a step.
    #[error("privileges could not be given up: {step}: {source}")]
    Refused {
        /// The step.
        step: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A thread still has privileges after they were given up.
    #[error("privileges were given up, but {} says {kept} is kept", thread.display())]
    Kept {
        /// The thread's status file.
        thread: PathBuf,
        /// The line in it.
        kept: &'static str,
    },
}

impl Failure for PrivilegesError {
    fn class(&self) -> Class {
        match self {
            Self::Refused { .. } => Class::Environment,
            Self::Kept { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<Hint> {
        match self {
            Self::Refused { .. } => None,
            Self::Kept { .. } => Some(Hint::text(
                "privileges must be given up before other threads start",
            )),
        }
    }
}

/// Gives up every capability for good, also those that programs started from here could gain, and forbids core files
/// and being traced. `kept` are those that stay if this process has them, a bit each, 0 for none. A capability belongs to
/// a thread: call this before any other starts. Irreversible.
pub fn give_up_privileges(kept: u64) -> Result<()> {
    sys::give_up_privileges(kept)
        .map_err(|(step, source)| PrivilegesError::Refused { step, source })?;
    let tasks = Path::new("/proc/self/task");
    for thread in fs::read_dir(tasks).map_err(|source| unreadable(tasks, source))? {
        let thread = thread.map_err(|source| unreadable(tasks, source))?;
        let path = thread.path().join("status");
        let status = fs::read_to_string(&path).map_err(|source| unreadable(&path, source))?;
        if let Some(kept) = excess(&status, kept) {
            return Err(PrivilegesError::Kept { thread: path, kept }.into());
        }
    }
    Ok(())
}

/// Returns the user who called `sudo`, if this process runs by it: recordings belong to them.
pub fn invoking_user() -> Option<Owner> {
    Owner::invoking()
}

/// Lets threads that are started later become `user` once privileges are given up. This thread does not: the rest of
/// the program can have files to read, such as modules, that the user cannot.
pub fn prepare_to_become(user: Owner) -> Result<()> {
    if is_this(user) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    checked("groups", set_thread_groups(&[gid]))?;
    checked("group", set_thread_res_gid(None, None, gid))?;
    checked("user", set_thread_res_uid(None, None, uid))
}

/// Becomes `user` in this thread and those it starts, for good.
pub fn become_user(user: Owner) -> Result<()> {
    if is_this(user) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    checked("group", set_thread_res_gid(gid, gid, gid))?;
    checked("user", set_thread_res_uid(uid, uid, uid))
}

fn is_this(user: Owner) -> bool {
    user.uid == geteuid().as_raw()
}

fn checked(step: &'static str, result: rustix::io::Result<()>) -> Result<()> {
    result.map_err(|errno| {
        let source = errno.into();
        PrivilegesError::Refused { step, source }.into()
    })
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Io {
        path: path.into(),
        source,
    }
}

/// Returns the first privilege beyond `kept` that a thread's status shows; `None` if it has none.
fn excess(status: &str, kept: u64) -> Option<&'static str> {
    let has = |(set, allowed): &&(&str, u64)| {
        hexadecimal(status, set).is_none_or(|found| found & !allowed != 0)
    };
    let sets = [
        ("CapInh", 0),
        ("CapPrm", kept),
        ("CapEff", kept),
        ("CapAmb", 0),
    ];
    sets.iter()
        .find(has)
        .map(|(set, _)| *set)
        .or((hexadecimal(status, "NoNewPrivs") != Some(1)).then_some("NoNewPrivs"))
}

fn hexadecimal(status: &str, name: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_kept_anything_is_told_apart() {
        let status = "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
                      CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";
        assert_eq!(excess(status, 0), None);
        assert_eq!(
            excess(
                &status.replace("CapEff:\t0000000000000000", "CapEff:\t0000008000000000"),
                0
            ),
            Some("CapEff")
        );
        assert_eq!(
            excess(&status.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0"), 0),
            Some("NoNewPrivs")
        );
        assert_eq!(excess("", 0), Some("CapInh"));
        let some = status.replace("CapPrm:\t0", "CapPrm:\t8");
        assert_eq!(excess(&some, 1 << 63), None);
        assert_eq!(excess(&some, 1), Some("CapPrm"));
    }
}
