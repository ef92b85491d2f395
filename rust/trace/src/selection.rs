//! A list of names and classes → the system calls that are traced.

use std::collections::BTreeSet;

use crate::{Error, Result, table};

/// Classes of calls, by the names that strace gives them.
const CLASSES: &[(&str, &[&str])] = &[
    (
        "network",
        &[
            "socket",
            "socketpair",
            "bind",
            "connect",
            "listen",
            "accept",
            "accept4",
            "getsockname",
            "getpeername",
            "sendto",
            "recvfrom",
            "sendmsg",
            "recvmsg",
            "sendmmsg",
            "recvmmsg",
            "setsockopt",
            "getsockopt",
            "shutdown",
        ],
    ),
    (
        "desc",
        &[
            "read",
            "write",
            "pread64",
            "pwrite64",
            "readv",
            "writev",
            "preadv",
            "pwritev",
            "preadv2",
            "pwritev2",
            "open",
            "openat",
            "openat2",
            "creat",
            "close",
            "close_range",
            "fstat",
            "lseek",
            "dup",
            "dup2",
            "dup3",
            "pipe",
            "pipe2",
            "fcntl",
            "flock",
            "ioctl",
            "fsync",
            "fdatasync",
            "ftruncate",
            "fallocate",
            "sendfile",
            "splice",
            "tee",
            "copy_file_range",
            "getdents",
            "getdents64",
            "fchdir",
            "fchmod",
            "fchown",
            "poll",
            "ppoll",
            "select",
            "pselect6",
            "epoll_create",
            "epoll_create1",
            "epoll_ctl",
            "epoll_wait",
            "epoll_pwait",
            "epoll_pwait2",
            "eventfd",
            "eventfd2",
            "signalfd",
            "signalfd4",
            "timerfd_create",
            "timerfd_settime",
            "timerfd_gettime",
            "inotify_init1",
            "memfd_create",
            "mmap",
        ],
    ),
    (
        "file",
        &[
            "open",
            "openat",
            "openat2",
            "creat",
            "stat",
            "lstat",
            "newfstatat",
            "statx",
            "access",
            "faccessat",
            "faccessat2",
            "truncate",
            "chdir",
            "mkdir",
            "mkdirat",
            "rmdir",
            "rename",
            "renameat",
            "renameat2",
            "link",
            "linkat",
            "unlink",
            "unlinkat",
            "symlink",
            "symlinkat",
            "readlink",
            "readlinkat",
            "chmod",
            "fchmodat",
            "chown",
            "fchownat",
            "lchown",
            "execve",
            "execveat",
            "getcwd",
            "statfs",
            "utimensat",
            "mknod",
            "mknodat",
            "chroot",
        ],
    ),
    (
        "memory",
        &[
            "mmap",
            "munmap",
            "mprotect",
            "mremap",
            "madvise",
            "brk",
            "mlock",
            "munlock",
            "mlockall",
            "munlockall",
            "mincore",
            "msync",
            "membarrier",
            "mbind",
            "set_mempolicy",
            "get_mempolicy",
        ],
    ),
    (
        "process",
        &[
            "clone",
            "clone3",
            "fork",
            "vfork",
            "execve",
            "execveat",
            "exit",
            "exit_group",
            "wait4",
            "waitid",
            "kill",
            "tkill",
            "tgkill",
        ],
    ),
    (
        "signal",
        &[
            "rt_sigaction",
            "rt_sigprocmask",
            "rt_sigtimedwait",
            "rt_sigreturn",
            "rt_sigpending",
            "rt_sigsuspend",
            "rt_sigqueueinfo",
            "sigaltstack",
            "pause",
            "kill",
            "tkill",
            "tgkill",
            "signalfd",
            "signalfd4",
        ],
    ),
];

/// Parses a comma-separated list of calls and classes, such as `read,%network`, into the calls' numbers; `!` in front takes
/// all others.
pub(crate) fn parse(list: &str) -> Result<BTreeSet<u32>> {
    let list = list.trim();
    let list = list.strip_prefix("trace=").unwrap_or(list);
    let (list, is_inverse) = match list.strip_prefix('!') {
        Some(rest) => (rest, true),
        None => (list, false),
    };
    let mut calls = BTreeSet::new();
    for one in list.split(',').map(str::trim) {
        match one.strip_prefix('%') {
            Some("all") => calls.extend(all()),
            Some(class) => calls.extend(members(class)?),
            None if one == "all" => calls.extend(all()),
            None => {
                calls.insert(number(one)?);
            }
        }
    }
    if is_inverse {
        calls = all().filter(|number| !calls.contains(number)).collect();
    }
    if calls.is_empty() {
        return Err(Error::NoCalls);
    }
    Ok(calls)
}

/// Returns the numbers of all calls.
pub(crate) fn all() -> impl Iterator<Item = u32> {
    table::names().filter_map(table::number_of)
}

/// Returns the numbers of the calls of a class.
fn members(class: &str) -> Result<impl Iterator<Item = u32>> {
    let found = CLASSES.iter().find(|(name, _)| *name == class);
    let (_, members) = found.ok_or_else(|| Error::UnknownClass {
        name: class.into(),
        known: classes(),
    })?;
    // Another architecture lacks some of the names.
    Ok(members.iter().filter_map(|name| table::number_of(name)))
}

/// Returns the names of the classes, with `all`.
fn classes() -> String {
    let names = CLASSES.iter().map(|(name, _)| *name).chain(["all"]);
    let names: Vec<String> = names.map(|name| format!("%{name}")).collect();
    names.join(", ")
}

fn number(name: &str) -> Result<u32> {
    table::number_of(name).ok_or_else(|| Error::UnknownCall {
        name: name.into(),
        nearest: nearest(name),
    })
}

/// Returns the names that are most like an unknown one, the nearest first.
fn nearest(name: &str) -> Vec<&'static str> {
    let mut names: Vec<(usize, &str)> = table::names()
        .map(|known| (distance(name, known), known))
        .filter(|(distance, known)| *distance <= 3 || known.contains(name) && name.len() > 2)
        .collect();
    names.sort_unstable();
    names.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Returns the number of letters to insert, remove or replace that turn one word into the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.bytes().enumerate() {
        let mut next = vec![above + 1];
        for (index, pair) in row.windows(2).enumerate() {
            let &[diagonal, up] = pair else { continue };
            let same = other.as_bytes().get(index) == Some(&letter);
            let left = next.last().copied().unwrap_or(0);
            next.push((diagonal + usize::from(!same)).min(up + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<&'static str> {
        parse(list)
            .unwrap()
            .into_iter()
            .filter_map(table::name_of)
            .collect()
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn calls_are_chosen_by_name_and_class() {
        assert_eq!(names("read"), ["read"]);
        assert_eq!(names(" sendmsg , read"), ["read", "sendmsg"]);
        assert!(names("%network").contains(&"accept4"));
        assert!(!names("!%network,read").contains(&"read") && names("!%network").len() > 300);
        assert_eq!(names("trace=exit_group"), ["exit_group"]);
        assert!(names("%all").len() > 330);
    }

    #[test]
    fn an_unknown_name_is_an_error_with_the_nearest_names() {
        let Err(Error::UnknownCall { nearest, .. }) = parse("epol_wait") else {
            panic!()
        };
        assert_eq!(nearest.first(), Some(&"epoll_wait"));
        assert!(matches!(parse("%net"), Err(Error::UnknownClass { .. })));
        assert!(matches!(parse(""), Err(Error::UnknownCall { .. })));
        assert!(matches!(parse("!%all"), Err(Error::NoCalls)));
    }

    #[test]
    fn every_member_of_a_class_is_a_call() {
        for (class, members) in CLASSES {
            for name in *members {
                assert!(
                    syscalls::x86_64::Sysno::iter().any(|call| call.name() == *name),
                    "{class}: {name}"
                );
            }
        }
    }
}
