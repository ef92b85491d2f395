//! Capabilities: which of those that capturing needs are missing, and giving all of them up.

use std::{fs, io};

use membench_profile::Owner;
use rustix::process::{Gid, Uid, geteuid, getuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::{Error, KernelError, Result, sys};

/// What the programs need to be loaded and attached, with the capability's number.
const NEEDED: [(&str, u32); 2] = [("CAP_BPF", 39), ("CAP_PERFMON", 38)];
/// What programs at an interface need. Without `CAP_PERFMON` the verifier also follows what a processor may do by
/// mistake (Spectre), out of bounded loops and on: it then gives up.
#[cfg(feature = "ebpf")]
pub(crate) const INTERFACES: [(&str, u32); 3] =
    [("CAP_BPF", 39), ("CAP_PERFMON", 38), ("CAP_NET_ADMIN", 12)];
/// Stands for all of them on its own.
const CAP_SYS_ADMIN: u32 = 21;

/// What a thread must have lost: the kernel's names in `/proc`.
const SETS: [&str; 4] = ["CapInh", "CapPrm", "CapEff", "CapAmb"];

/// Which of the capabilities that `ebpf:any` needs this process lacks.
pub fn missing_capabilities() -> Vec<&'static str> {
    missing(effective(), &NEEDED)
}

/// Refuses where this process lacks one of them.
#[cfg(feature = "ebpf")]
pub(crate) fn require(needed: &[(&'static str, u32)]) -> Result<()> {
    match missing(effective(), needed) {
        missing if missing.is_empty() => Ok(()),
        missing => Err(KernelError::MissingCapabilities { missing }.into()),
    }
}

fn effective() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    hexadecimal(&status, "CapEff").unwrap_or(0)
}

fn missing(effective: u64, needed: &[(&'static str, u32)]) -> Vec<&'static str> {
    let has = |capability: u32| effective & (1 << capability) != 0;
    if has(CAP_SYS_ADMIN) {
        return Vec::new();
    }
    needed
        .iter()
        .filter(|(_, capability)| !has(*capability))
        .map(|(name, _)| *name)
        .collect()
}

/// Gives up every capability for good: also those a program started from here could gain, and with them core files and
/// being traced. A capability belongs to a thread: call this before any other starts. Irreversible.
pub fn give_up_privileges() -> Result<()> {
    sys::give_up_privileges().map_err(|(step, source)| KernelError::Privileges { step, source })?;
    for thread in fs::read_dir("/proc/self/task").map_err(unreadable)? {
        let path = thread.map_err(unreadable)?.path().join("status");
        let status = fs::read_to_string(&path).map_err(|source| Error::Io {
            path: path.clone(),
            source,
        })?;
        if let Some(kept) = kept(&status) {
            return Err(KernelError::PrivilegesKept { thread: path, kept }.into());
        }
    }
    Ok(())
}

/// Whom `sudo` was called by, if this process runs by it: what is recorded is theirs.
pub fn invoking_user() -> Option<Owner> {
    let number = |name| std::env::var(name).ok()?.parse().ok();
    invoking(getuid().is_root(), number("SUDO_UID"), number("SUDO_GID"))
}

fn invoking(is_root: bool, uid: Option<u32>, gid: Option<u32>) -> Option<Owner> {
    let owner = Owner {
        uid: uid?,
        gid: gid?,
    };
    // The kernel takes the highest number as "leave it as it is".
    (is_root && owner.uid != 0 && owner.uid != u32::MAX && owner.gid != u32::MAX).then_some(owner)
}

/// Lets threads started from here on become a user once privileges are given up. This one does not: the rest of the
/// program may have files to read, such as modules, that the user cannot.
pub fn prepare_to_become(user: Owner) -> Result<()> {
    if is_this(user) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    step("groups", set_thread_groups(&[gid]))?;
    step("group", set_thread_res_gid(None, None, gid))?;
    step("user", set_thread_res_uid(None, None, uid))
}

/// Becomes a user in this thread and those it starts, for good.
pub fn become_user(user: Owner) -> Result<()> {
    if is_this(user) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    step("group", set_thread_res_gid(gid, gid, gid))?;
    step("user", set_thread_res_uid(uid, uid, uid))
}

fn is_this(user: Owner) -> bool {
    user.uid == geteuid().as_raw()
}

fn step(step: &'static str, result: rustix::io::Result<()>) -> Result<()> {
    result.map_err(|errno| {
        let source = errno.into();
        KernelError::Privileges { step, source }.into()
    })
}

fn unreadable(source: io::Error) -> Error {
    Error::Io {
        path: "/proc/self/task".into(),
        source,
    }
}

/// The first thing a thread's status says it still has.
fn kept(status: &str) -> Option<&'static str> {
    let has = |set: &&&str| hexadecimal(status, set) != Some(0);
    SETS.iter()
        .find(has)
        .copied()
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
    fn the_missing_capabilities_are_named() {
        for (effective, expected) in [
            (0, &["CAP_BPF", "CAP_PERFMON"][..]),
            (1 << 39, &["CAP_PERFMON"]),
            (1 << 38, &["CAP_BPF"]),
            (1 << 38 | 1 << 39, &[]),
            (1 << 21, &[]),
            (0x1ff_feff_ffff, &[]),
        ] {
            assert_eq!(missing(effective, &NEEDED), expected, "{effective:x}");
        }
    }

    #[test]
    fn only_root_was_called_by_somebody_else() {
        let (somebody, nobody) = (Some(1000), None);
        let owner = Owner {
            uid: 1000,
            gid: 1000,
        };
        for (is_root, uid, gid, expected) in [
            (true, somebody, somebody, Some(owner)),
            (false, somebody, somebody, None),
            (true, nobody, somebody, None),
            (true, somebody, nobody, None),
            (true, Some(0), Some(0), None),
            (true, Some(u32::MAX), somebody, None),
            (true, somebody, Some(u32::MAX), None),
        ] {
            assert_eq!(
                invoking(is_root, uid, gid),
                expected,
                "{is_root} {uid:?} {gid:?}"
            );
        }
    }

    #[test]
    fn a_thread_that_kept_anything_is_told_apart() {
        let status = "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
                      CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";
        assert_eq!(kept(status), None);
        assert_eq!(
            kept(&status.replace("CapEff:\t0000000000000000", "CapEff:\t0000008000000000")),
            Some("CapEff")
        );
        assert_eq!(
            kept(&status.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0")),
            Some("NoNewPrivs")
        );
        assert_eq!(kept(""), Some("CapInh"));
    }
}
