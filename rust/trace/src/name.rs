//! Numbers of the C library's headers ↔ their names, as strace prints them.

#![expect(
    clippy::cast_possible_wrap,
    reason = "constants of the C library have several types"
)]

use std::fmt::Write;

/// Names of the values or bits of an argument.
pub(crate) type Names = &'static [(u64, &'static str)];

/// Makes a list of names from the constants of the C library, whose types differ.
macro_rules! names {
    ($($name:ident)*) => {
        &[$((constant(libc::$name as i64), stringify!($name))),*]
    };
}

/// Returns a constant in 32 bits: most are declared as signed numbers.
const fn constant(value: i64) -> u64 {
    value.cast_unsigned() & 0xffff_ffff
}

/// Writes the names of the bits of a value, and what is left of it in hex; `none` if no bit is set.
pub(crate) fn bits(value: u64, names: Names, none: &str) -> String {
    let (mut text, mut left) = (String::new(), value);
    for (bits, name) in names {
        if *bits != 0 && left & bits == *bits {
            left &= !bits;
            separate(&mut text);
            text.push_str(name);
        }
    }
    if left != 0 {
        separate(&mut text);
        let _ = write!(text, "{left:#x}");
    }
    if text.is_empty() { none.into() } else { text }
}

fn separate(text: &mut String) {
    if !text.is_empty() {
        text.push('|');
    }
}

/// Writes the name of a value, or the value in hex.
pub(crate) fn word(value: u64, names: Names) -> String {
    match find(value, names) {
        Some(name) => name.into(),
        None => format!("{value:#x}"),
    }
}

/// Returns the name of a value.
pub(crate) fn find(value: u64, names: Names) -> Option<&'static str> {
    let mut matching = names.iter().filter(|(one, _)| *one == value);
    matching.next().map(|(_, name)| *name)
}

/// Returns the name of an error number, such as `EAGAIN`.
pub(crate) fn error(number: i32) -> Option<&'static str> {
    syscalls::Errno::new(number).name()
}

/// Returns what the C library says of an error number.
pub(crate) fn explanation(number: i32) -> String {
    let text = std::io::Error::from_raw_os_error(number).to_string();
    match text.rsplit_once(" (os error") {
        Some((text, _)) => text.into(),
        None => text,
    }
}

/// Returns the name of a signal; `SIGRT_1` and the like for real-time signals.
pub(crate) fn signal(number: u64) -> String {
    match find(number, SIGNALS) {
        Some(name) => name.into(),
        None if (32..=64).contains(&number) => match number - 32 {
            0 => "SIGRTMIN".into(),
            above => format!("SIGRT_{above}"),
        },
        None => number.to_string(),
    }
}

/// Writes a set of signals.
pub(crate) fn signals(set: u64) -> String {
    // As strace does, a set with two thirds of all signals is written as those that are missing.
    let is_inverse = set.count_ones() >= 64 * 2 / 3;
    let set = if is_inverse { !set } else { set };
    let members = (1..=64).filter(|number| set >> (number - 1) & 1 == 1);
    let members = members.map(|number| signal(number).trim_start_matches("SIG").to_owned());
    let members: Vec<String> = members.collect();
    let inverse = if is_inverse { "~" } else { "" };
    format!("{inverse}[{}]", members.join(" "))
}

pub(crate) const SIGNALS: Names = names! {
    SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE SIGALRM SIGTERM
    SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO
    SIGPWR SIGSYS
};
/// Origins of signals: `si_code`.
pub(crate) const ORIGINS: Names = names! {
    SI_USER SI_KERNEL SI_QUEUE SI_TIMER SI_MESGQ SI_ASYNCIO SI_SIGIO SI_TKILL
};
pub(crate) const OPEN: Names = names! {
    O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_SYNC O_DSYNC O_DIRECT O_NOFOLLOW O_NOATIME O_CLOEXEC O_PATH
    O_ASYNC O_TMPFILE O_DIRECTORY
};
pub(crate) const AT: Names = names! {
    AT_SYMLINK_NOFOLLOW AT_REMOVEDIR AT_SYMLINK_FOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH
};
pub(crate) const ACCESS: Names = names! { R_OK W_OK X_OK };
pub(crate) const PROTECTION: Names =
    names! { PROT_READ PROT_WRITE PROT_EXEC PROT_GROWSDOWN PROT_GROWSUP };
pub(crate) const MAPPING: Names = names! {
    MAP_SHARED_VALIDATE MAP_SHARED MAP_PRIVATE MAP_FIXED MAP_ANONYMOUS MAP_GROWSDOWN MAP_DENYWRITE MAP_EXECUTABLE MAP_LOCKED
    MAP_NORESERVE MAP_POPULATE MAP_NONBLOCK MAP_STACK MAP_HUGETLB MAP_SYNC MAP_FIXED_NOREPLACE
};
pub(crate) const REMAPPING: Names = names! { MREMAP_MAYMOVE MREMAP_FIXED MREMAP_DONTUNMAP };
pub(crate) const ADVICE: Names = names! {
    MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED MADV_FREE MADV_REMOVE MADV_DONTFORK MADV_DOFORK
    MADV_HUGEPAGE MADV_NOHUGEPAGE MADV_DONTDUMP MADV_DODUMP MADV_WIPEONFORK MADV_KEEPONFORK MADV_COLD MADV_PAGEOUT
};
pub(crate) const WHENCE: Names = names! { SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE };
pub(crate) const LOCKING: Names = names! { LOCK_SH LOCK_EX LOCK_UN LOCK_NB };
pub(crate) const FAMILIES: Names =
    names! { AF_UNSPEC AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET AF_VSOCK };
pub(crate) const SOCKET_KINDS: Names =
    names! { SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_RDM SOCK_SEQPACKET };
pub(crate) const SOCKET_FLAGS: Names = names! { SOCK_CLOEXEC SOCK_NONBLOCK };
pub(crate) const PROTOCOLS: Names =
    names! { IPPROTO_IP IPPROTO_ICMP IPPROTO_TCP IPPROTO_UDP IPPROTO_IPV6 IPPROTO_ICMPV6 };
pub(crate) const MESSAGES: Names = names! {
    MSG_OOB MSG_PEEK MSG_DONTROUTE MSG_CTRUNC MSG_TRUNC MSG_DONTWAIT MSG_EOR MSG_WAITALL MSG_CONFIRM MSG_ERRQUEUE
    MSG_NOSIGNAL MSG_MORE MSG_WAITFORONE MSG_FASTOPEN MSG_CMSG_CLOEXEC
};
pub(crate) const SHUTDOWN: Names = names! { SHUT_RD SHUT_WR SHUT_RDWR };
pub(crate) const LEVELS: Names = names! { SOL_SOCKET SOL_IP SOL_TCP SOL_UDP SOL_IPV6 };
pub(crate) const SOCKET_OPTIONS: Names = names! {
    SO_DEBUG SO_REUSEADDR SO_TYPE SO_ERROR SO_DONTROUTE SO_BROADCAST SO_SNDBUF SO_RCVBUF SO_KEEPALIVE SO_OOBINLINE
    SO_PRIORITY SO_LINGER SO_REUSEPORT SO_PASSCRED SO_PEERCRED SO_RCVLOWAT SO_SNDLOWAT SO_ACCEPTCONN SO_PROTOCOL SO_DOMAIN
    SO_BUSY_POLL SO_INCOMING_CPU SO_INCOMING_NAPI_ID SO_COOKIE SO_ZEROCOPY
};
pub(crate) const TCP_OPTIONS: Names = names! {
    TCP_NODELAY TCP_MAXSEG TCP_CORK TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_SYNCNT TCP_LINGER2 TCP_DEFER_ACCEPT
    TCP_INFO TCP_QUICKACK TCP_USER_TIMEOUT TCP_FASTOPEN
};
pub(crate) const IPV6_OPTIONS: Names = names! { IPV6_V6ONLY IPV6_UNICAST_HOPS };
pub(crate) const POLLING: Names = names! {
    POLLIN POLLPRI POLLOUT POLLERR POLLHUP POLLNVAL POLLRDNORM POLLRDBAND POLLWRNORM POLLWRBAND POLLRDHUP
};
pub(crate) const EPOLL: Names = names! {
    EPOLLIN EPOLLPRI EPOLLOUT EPOLLERR EPOLLHUP EPOLLRDNORM EPOLLRDBAND EPOLLWRNORM EPOLLWRBAND EPOLLMSG EPOLLRDHUP
    EPOLLEXCLUSIVE EPOLLWAKEUP EPOLLONESHOT EPOLLET
};
pub(crate) const EPOLL_ACTIONS: Names = names! { EPOLL_CTL_ADD EPOLL_CTL_DEL EPOLL_CTL_MOD };
pub(crate) const EPOLL_FLAGS: Names = names! { EPOLL_CLOEXEC };
pub(crate) const EVENT_FLAGS: Names = names! { EFD_SEMAPHORE EFD_CLOEXEC EFD_NONBLOCK };
pub(crate) const TIMER_FLAGS: Names = names! { TFD_CLOEXEC TFD_NONBLOCK };
pub(crate) const TIMER_ACTIONS: Names = names! { TFD_TIMER_ABSTIME TFD_TIMER_CANCEL_ON_SET };
pub(crate) const SIGNAL_FD_FLAGS: Names = names! { SFD_CLOEXEC SFD_NONBLOCK };
pub(crate) const NOTIFY_FLAGS: Names = names! { IN_CLOEXEC IN_NONBLOCK };
pub(crate) const MEMORY_FLAGS: Names = names! { MFD_CLOEXEC MFD_ALLOW_SEALING MFD_HUGETLB };
pub(crate) const PIPE_FLAGS: Names = names! { O_CLOEXEC O_DIRECT O_NONBLOCK };
pub(crate) const RANDOM_FLAGS: Names = names! { GRND_NONBLOCK GRND_RANDOM };
pub(crate) const CLOCKS: Names = names! {
    CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID CLOCK_MONOTONIC_RAW
    CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME CLOCK_REALTIME_ALARM CLOCK_BOOTTIME_ALARM CLOCK_TAI
};
pub(crate) const SLEEPING: Names = names! { TIMER_ABSTIME };
pub(crate) const MASKING: Names = names! { SIG_BLOCK SIG_UNBLOCK SIG_SETMASK };
pub(crate) const ACTION_FLAGS: Names = &[
    (0x0400_0000, "SA_RESTORER"),
    (0x0800_0000, "SA_ONSTACK"),
    (0x1000_0000, "SA_RESTART"),
    (0x4000_0000, "SA_NODEFER"),
    (0x8000_0000, "SA_RESETHAND"),
    (1, "SA_NOCLDSTOP"),
    (2, "SA_NOCLDWAIT"),
    (4, "SA_SIGINFO"),
];
pub(crate) const LIMITS: Names = names! {
    RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE RLIMIT_MEMLOCK
    RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME
};
pub(crate) const DESCRIPTOR_COMMANDS: Names = names! {
    F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_SETOWN F_GETOWN F_DUPFD_CLOEXEC F_SETPIPE_SZ
    F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS
};
pub(crate) const DESCRIPTOR_FLAGS: Names = names! { FD_CLOEXEC };
pub(crate) const DEVICE_COMMANDS: Names =
    names! { TCGETS TCSETS TIOCGWINSZ TIOCGPGRP TIOCSPGRP FIONREAD FIONBIO FIOCLEX };
pub(crate) const WAITING: Names =
    names! { WNOHANG WUNTRACED WCONTINUED __WALL __WCLONE __WNOTHREAD };
pub(crate) const FUTEX: Names = names! {
    FUTEX_WAIT FUTEX_WAKE FUTEX_FD FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP FUTEX_LOCK_PI FUTEX_UNLOCK_PI
    FUTEX_TRYLOCK_PI FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET
};
pub(crate) const PROCESS_COMMANDS: Names = names! {
    PR_SET_PDEATHSIG PR_GET_PDEATHSIG PR_GET_DUMPABLE PR_SET_DUMPABLE PR_SET_NAME PR_GET_NAME PR_SET_NO_NEW_PRIVS
    PR_GET_NO_NEW_PRIVS PR_SET_VMA
};
pub(crate) const PRIORITIES: Names = names! { PRIO_PROCESS PRIO_PGRP PRIO_USER };
pub(crate) const POLICIES: Names =
    names! { SCHED_OTHER SCHED_FIFO SCHED_RR SCHED_BATCH SCHED_IDLE };
pub(crate) const USAGE: Names = &[
    (0, "RUSAGE_SELF"),
    (0xffff_ffff, "RUSAGE_CHILDREN"),
    (1, "RUSAGE_THREAD"),
];
pub(crate) const RENAMING: Names = names! { RENAME_NOREPLACE RENAME_EXCHANGE RENAME_WHITEOUT };
pub(crate) const ALLOCATING: Names =
    names! { FALLOC_FL_KEEP_SIZE FALLOC_FL_PUNCH_HOLE FALLOC_FL_ZERO_RANGE };
pub(crate) const MEMBARRIER: Names = &[
    (0, "MEMBARRIER_CMD_QUERY"),
    (1, "MEMBARRIER_CMD_GLOBAL"),
    (8, "MEMBARRIER_CMD_PRIVATE_EXPEDITED"),
    (16, "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED"),
];
pub(crate) const FILE_KINDS: Names =
    names! { S_IFREG S_IFDIR S_IFCHR S_IFBLK S_IFIFO S_IFSOCK S_IFLNK };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_names_and_the_rest_is_hex() {
        assert_eq!(bits(0x80000 | 0x400, OPEN, ""), "O_APPEND|O_CLOEXEC");
        assert_eq!(bits(0x4000_0400, OPEN, ""), "O_APPEND|0x40000000");
        assert_eq!(bits(0, MESSAGES, "0"), "0");
    }

    #[test]
    fn a_set_of_most_signals_is_written_as_those_that_are_missing() {
        assert_eq!(signals(1 << 9 | 1 << 16), "[USR1 CHLD]");
        assert_eq!(signals(u64::MAX), "~[]");
        assert_eq!(signals(!(1 << 8)), "~[KILL]");
        assert_eq!(signals(1 << 31 | 1 << 32), "[RTMIN RT_1]");
    }

    #[test]
    fn errors_are_explained_as_the_c_library_does() {
        assert_eq!(error(11), Some("EAGAIN"));
        assert_eq!(explanation(11), "Resource temporarily unavailable");
    }
}
