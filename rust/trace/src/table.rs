//! System calls whose arguments are decoded: their names, and the kind of each argument.
//!
//! Numbers come from the kernel's tables, one for each architecture. `tests/root/test_trace_table.py` compares names and
//! numbers of arguments with what the running kernel says of its own calls.

use std::str::FromStr;

use membench_common::trace::{NUMBERS, READS, flag};
use syscalls::Sysno;

use crate::kind::Kind::{
    self, Access, Action, ActionOut, Address, AddressOut, Bits, Buffer, CpusOut, Descriptor,
    DescriptorArgument, Event, Events, Folder, Futex, FutexRest, FutexTime, FutexValue, Hex,
    Hidden, Int, LengthOut, Limit, LimitOut, Long, Message, Mode, NewMode, Offset, Open, Option,
    Pair, Polls, Protocol, Signal, Signals, SignalsOut, Socket, Stat, StatusOut, System, Text,
    TextOut, Time, TimeOut, Timer, TimerOut, TimevalOut, Unsigned, Value, ValueOut, Vectors, Word,
};
use crate::name;

/// A system call whose arguments are decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static [Kind],
    pub(crate) result: Outcome,
}

/// The way in which a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A number.
    Number,
    /// An address.
    Address,
    /// A descriptor.
    Descriptor,
    /// A mode.
    Mode,
    /// The number of descriptors or events that are ready; 0 after the time has passed.
    Ready,
    /// The result of a command for a descriptor.
    Command,
    /// Nothing: the call does not return.
    Never,
}

macro_rules! calls {
    ($($name:literal ($($kind:expr),*) $outcome:ident;)*) => {
        /// Every call whose arguments are decoded.
        pub(crate) const KNOWN: &[Known] = &[
            $(Known { name: $name, arguments: &[$($kind),*], result: Outcome::$outcome }),*
        ];
    };
}

const AT: Kind = Bits(name::AT, "0");
const CLOCK: Kind = Word(name::CLOCKS);
const FAMILY: Kind = Word(name::FAMILIES);
const FLAGS: Kind = Bits(name::MESSAGES, "0");
const LEVEL: Kind = Word(name::LEVELS);
const PROTECTION: Kind = Bits(name::PROTECTION, "PROT_NONE");
/// The time that is left of a sleep, which only a signal makes the kernel write.
const REMAINDER: Kind = Hex;

calls! {
    "read" (Descriptor, Buffer, Unsigned) Number;
    "write" (Descriptor, Buffer, Unsigned) Number;
    "pread64" (Descriptor, Buffer, Unsigned, Long) Number;
    "pwrite64" (Descriptor, Buffer, Unsigned, Long) Number;
    "readv" (Descriptor, Vectors, Unsigned) Number;
    "writev" (Descriptor, Vectors, Unsigned) Number;
    "preadv" (Descriptor, Vectors, Unsigned, Long, Hidden) Number;
    "pwritev" (Descriptor, Vectors, Unsigned, Long, Hidden) Number;
    "open" (Text, Open, NewMode) Descriptor;
    "openat" (Folder, Text, Open, NewMode) Descriptor;
    "creat" (Text, Mode) Descriptor;
    "close" (Descriptor) Number;
    "close_range" (Unsigned, Unsigned, Unsigned) Number;
    "stat" (Text, Stat) Number;
    "lstat" (Text, Stat) Number;
    "fstat" (Descriptor, Stat) Number;
    "newfstatat" (Folder, Text, Stat, AT) Number;
    "access" (Text, Access) Number;
    "faccessat" (Folder, Text, Access) Number;
    "faccessat2" (Folder, Text, Access, Bits(name::AT, "0")) Number;
    "lseek" (Descriptor, Long, Word(name::WHENCE)) Number;
    "dup" (Descriptor) Descriptor;
    "dup2" (Descriptor, Descriptor) Descriptor;
    "dup3" (Descriptor, Descriptor, Bits(name::PIPE_FLAGS, "0")) Descriptor;
    "pipe" (Pair) Number;
    "pipe2" (Pair, Bits(name::PIPE_FLAGS, "0")) Number;
    "fcntl" (Descriptor, Word(name::DESCRIPTOR_COMMANDS), DescriptorArgument) Command;
    "flock" (Descriptor, Bits(name::LOCKING, "0")) Number;
    "ioctl" (Descriptor, Word(name::DEVICE_COMMANDS), Hex) Number;
    "fsync" (Descriptor) Number;
    "fdatasync" (Descriptor) Number;
    "truncate" (Text, Long) Number;
    "ftruncate" (Descriptor, Long) Number;
    "fallocate" (Descriptor, Bits(name::ALLOCATING, "0"), Long, Long) Number;
    "sendfile" (Descriptor, Descriptor, Hex, Unsigned) Number;
    "getdents64" (Descriptor, Buffer, Unsigned) Number;
    "getcwd" (TextOut, Unsigned) Number;
    "chdir" (Text) Number;
    "fchdir" (Descriptor) Number;
    "mkdir" (Text, Mode) Number;
    "mkdirat" (Folder, Text, Mode) Number;
    "rmdir" (Text) Number;
    "rename" (Text, Text) Number;
    "renameat2" (Folder, Text, Folder, Text, Bits(name::RENAMING, "0")) Number;
    "link" (Text, Text) Number;
    "unlink" (Text) Number;
    "unlinkat" (Folder, Text, Bits(name::AT, "0")) Number;
    "symlink" (Text, Text) Number;
    "readlink" (Text, TextOut, Unsigned) Number;
    "readlinkat" (Folder, Text, TextOut, Unsigned) Number;
    "chmod" (Text, Mode) Number;
    "fchmod" (Descriptor, Mode) Number;
    "chown" (Text, Int, Int) Number;
    "fchown" (Descriptor, Int, Int) Number;
    "umask" (Mode) Mode;
    "memfd_create" (Text, Bits(name::MEMORY_FLAGS, "0")) Descriptor;
    "socket" (FAMILY, Socket, Protocol) Descriptor;
    "socketpair" (FAMILY, Socket, Protocol, Pair) Number;
    "bind" (Descriptor, Address, Unsigned) Number;
    "connect" (Descriptor, Address, Unsigned) Number;
    "listen" (Descriptor, Int) Number;
    "accept" (Descriptor, AddressOut, LengthOut) Descriptor;
    "accept4" (Descriptor, AddressOut, LengthOut, Bits(name::SOCKET_FLAGS, "0")) Descriptor;
    "getsockname" (Descriptor, AddressOut, LengthOut) Number;
    "getpeername" (Descriptor, AddressOut, LengthOut) Number;
    "setsockopt" (Descriptor, LEVEL, Option, Value, Unsigned) Number;
    "getsockopt" (Descriptor, LEVEL, Option, ValueOut, LengthOut) Number;
    "shutdown" (Descriptor, Word(name::SHUTDOWN)) Number;
    "sendto" (Descriptor, Buffer, Unsigned, FLAGS, Address, Unsigned) Number;
    "recvfrom" (Descriptor, Buffer, Unsigned, FLAGS, AddressOut, LengthOut) Number;
    "sendmsg" (Descriptor, Message, FLAGS) Number;
    "recvmsg" (Descriptor, Message, FLAGS) Number;
    "sendmmsg" (Descriptor, Hex, Unsigned, FLAGS) Number;
    "recvmmsg" (Descriptor, Hex, Unsigned, FLAGS, Time) Number;
    "poll" (Polls, Unsigned, Int) Ready;
    "ppoll" (Polls, Unsigned, Time, Signals, Unsigned) Ready;
    "select" (Int, Hex, Hex, Hex, Hex) Ready;
    "pselect6" (Int, Hex, Hex, Hex, Time, Hex) Ready;
    "epoll_create" (Int) Descriptor;
    "epoll_create1" (Bits(name::EPOLL_FLAGS, "0")) Descriptor;
    "epoll_ctl" (Descriptor, Word(name::EPOLL_ACTIONS), Descriptor, Event) Number;
    "epoll_wait" (Descriptor, Events, Int, Int) Number;
    "epoll_pwait" (Descriptor, Events, Int, Int, Signals, Unsigned) Number;
    "epoll_pwait2" (Descriptor, Events, Int, Time, Signals, Unsigned) Number;
    "eventfd" (Unsigned) Descriptor;
    "eventfd2" (Unsigned, Bits(name::EVENT_FLAGS, "0")) Descriptor;
    "signalfd4" (Descriptor, Signals, Unsigned, Bits(name::SIGNAL_FD_FLAGS, "0")) Descriptor;
    "inotify_init1" (Bits(name::NOTIFY_FLAGS, "0")) Descriptor;
    "timerfd_create" (CLOCK, Bits(name::TIMER_FLAGS, "0")) Descriptor;
    "timerfd_settime" (Descriptor, Bits(name::TIMER_ACTIONS, "0"), Timer, TimerOut) Number;
    "timerfd_gettime" (Descriptor, TimerOut) Number;
    "mmap" (Hex, Unsigned, PROTECTION, Bits(name::MAPPING, "0"), Descriptor, Offset) Address;
    "mprotect" (Hex, Unsigned, PROTECTION) Number;
    "munmap" (Hex, Unsigned) Number;
    "mremap" (Hex, Unsigned, Unsigned, Bits(name::REMAPPING, "0"), Hidden) Address;
    "madvise" (Hex, Unsigned, Word(name::ADVICE)) Number;
    "mlock" (Hex, Unsigned) Number;
    "munlock" (Hex, Unsigned) Number;
    "brk" (Hex) Address;
    "membarrier" (Word(name::MEMBARRIER), Unsigned, Hidden) Number;
    "rt_sigaction" (Signal, Action, ActionOut, Unsigned) Number;
    "rt_sigprocmask" (Word(name::MASKING), Signals, SignalsOut, Unsigned) Number;
    "rt_sigtimedwait" (Signals, Hex, Time, Unsigned) Number;
    "rt_sigreturn" () Number;
    "sigaltstack" (Hex, Hex) Number;
    "pause" () Number;
    "kill" (Int, Signal) Number;
    "tkill" (Int, Signal) Number;
    "tgkill" (Int, Int, Signal) Number;
    "futex" (Hex, Futex, FutexValue, FutexTime, FutexRest, FutexRest) Number;
    "set_robust_list" (Hex, Unsigned) Number;
    "set_tid_address" (Hex) Number;
    "rseq" (Hex, Hex, Bits(&[], "0"), Hex) Number;
    "nanosleep" (Time, REMAINDER) Number;
    "clock_gettime" (CLOCK, TimeOut) Number;
    "clock_getres" (CLOCK, TimeOut) Number;
    "clock_nanosleep" (CLOCK, Bits(name::SLEEPING, "0"), Time, REMAINDER) Number;
    "gettimeofday" (TimevalOut, Hex) Number;
    "getpid" () Number;
    "getppid" () Number;
    "gettid" () Number;
    "getuid" () Number;
    "geteuid" () Number;
    "getgid" () Number;
    "getegid" () Number;
    "getpgrp" () Number;
    "getpgid" (Int) Number;
    "getsid" (Int) Number;
    "setsid" () Number;
    "setpgid" (Int, Int) Number;
    "sched_yield" () Number;
    "sched_getaffinity" (Int, Unsigned, CpusOut) Number;
    "sched_setaffinity" (Int, Unsigned, Hex) Number;
    "sched_getscheduler" (Int) Number;
    "sched_setscheduler" (Int, Word(name::POLICIES), Hex) Number;
    "getpriority" (Word(name::PRIORITIES), Int) Number;
    "setpriority" (Word(name::PRIORITIES), Int, Int) Number;
    "getrlimit" (Word(name::LIMITS), LimitOut) Number;
    "setrlimit" (Word(name::LIMITS), Limit) Number;
    "prlimit64" (Int, Word(name::LIMITS), Limit, LimitOut) Number;
    "getrusage" (Word(name::USAGE), Hex) Number;
    "getrandom" (Buffer, Unsigned, Bits(name::RANDOM_FLAGS, "0")) Number;
    "uname" (System) Number;
    "prctl" (Word(name::PROCESS_COMMANDS), Hex, Hex, Hex, Hex) Number;
    "execve" (Text, Hex, Hex) Number;
    "wait4" (Int, StatusOut, Bits(name::WAITING, "0"), Hex) Number;
    "exit" (Int) Never;
    "exit_group" (Int) Never;
}

/// Calls that take a descriptor of a file or socket first, beside those of the table.
const ON_DESCRIPTORS: &[&str] = &["preadv2", "pwritev2", "splice", "sendfile"];
/// Calls whose first descriptor stands for other descriptors, or never is a socket.
const ON_OTHERS: &[&str] = &[
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "timerfd_settime",
    "timerfd_gettime",
    "getdents64",
    "signalfd4",
];

/// Returns what is known of a call's arguments.
pub(crate) fn known(name: &str) -> std::option::Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

/// Returns the name of a call's number on this machine.
pub(crate) fn name_of(number: u32) -> std::option::Option<&'static str> {
    Sysno::new(number as usize).map(|call| call.name())
}

/// Returns the number of a call on this machine.
pub(crate) fn number_of(name: &str) -> std::option::Option<u32> {
    let call = Sysno::from_str(name).ok()?;
    u32::try_from(call.id())
        .ok()
        .filter(|number| (*number as usize) < NUMBERS)
}

/// Iterates over the names of all calls of this machine.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    Sysno::iter()
        .filter(|call| (0..512).contains(&call.id()))
        .map(|call| call.name())
}

/// Returns the name of a call in the name of its kernel function, where both differ.
pub(crate) fn function_of(name: &'static str) -> &'static str {
    match name {
        "stat" => "newstat",
        "lstat" => "newlstat",
        "fstat" => "newfstat",
        "uname" => "newuname",
        "umount2" => "umount",
        "sendfile" => "sendfile64",
        _ => name,
    }
}

/// Returns the reads that the kernel's programs make for a call.
pub(crate) fn reads(known: &Known) -> [u32; READS] {
    let mut reads = [0; READS];
    let wanted = known.arguments.iter().enumerate();
    let wanted = wanted
        .map(|(index, kind)| kind.read(index))
        .filter(|read| *read != 0);
    for (to, read) in reads.iter_mut().zip(wanted) {
        *to = read;
    }
    reads
}

/// Returns the facts about a call that the kernel's programs need, as bits of [`flag`].
pub(crate) fn flags(name: &str) -> u8 {
    let known = known(name);
    let first = known.and_then(|known| known.arguments.first());
    let is_descriptor = first == Some(&Kind::Descriptor) && !ON_OTHERS.contains(&name);
    let mut flags = 0;
    if is_descriptor || ON_DESCRIPTORS.contains(&name) {
        flags |= flag::DESCRIPTOR;
    }
    match name {
        "connect" | "bind" => flags |= flag::ADDRESSES,
        "accept" | "accept4" => flags |= flag::SOCKET,
        "execve" | "execveat" => flags |= flag::REPLACES,
        "clone" | "clone3" | "fork" | "vfork" => flags |= flag::FORKS,
        _ => {}
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_fifty_calls_are_decoded_on_each_architecture() {
        let x86 = KNOWN
            .iter()
            .filter(|known| syscalls::x86_64::Sysno::from_str(known.name).is_ok());
        let arm = KNOWN
            .iter()
            .filter(|known| syscalls::aarch64::Sysno::from_str(known.name).is_ok());
        assert_eq!(x86.count(), KNOWN.len());
        assert!(arm.count() >= 50);
    }

    #[test]
    fn numbers_are_those_of_each_architecture() {
        for (name, x86, arm) in [
            ("read", 0, 63),
            ("sendmsg", 46, 211),
            ("epoll_wait", 232, -1),
            ("openat", 257, 56),
        ] {
            assert_eq!(syscalls::x86_64::Sysno::from_str(name).unwrap().id(), x86);
            let found = syscalls::aarch64::Sysno::from_str(name).map_or(-1, |call| call.id());
            assert_eq!(found, arm, "{name}");
        }
    }

    #[test]
    fn each_call_is_there_once_and_its_reads_fit() {
        for (index, known) in KNOWN.iter().enumerate() {
            assert!(
                !KNOWN[..index].iter().any(|other| other.name == known.name),
                "{}",
                known.name
            );
            let reads = known
                .arguments
                .iter()
                .enumerate()
                .filter(|(index, kind)| kind.read(*index) != 0);
            assert!(reads.count() <= READS, "{}", known.name);
        }
    }
}
