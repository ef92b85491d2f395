//! System calls that move a socket's bytes: their numbers on this machine, and where each keeps its arguments.

use membench_common::{exit, syscall};

/// Numbers of the calls, by the indices of [`syscall`].
pub(crate) const NUMBERS: [u32; syscall::COUNT] = numbers();

/// Takes the numbers of
/// [syscall_64.tbl](https://github.com/torvalds/linux/blob/v6.12/arch/x86/entry/syscalls/syscall_64.tbl).
#[cfg(target_arch = "x86_64")]
const fn numbers() -> [u32; syscall::COUNT] {
    let mut numbers = [0; syscall::COUNT];
    numbers[syscall::READ] = 0;
    numbers[syscall::WRITE] = 1;
    numbers[syscall::READV] = 19;
    numbers[syscall::WRITEV] = 20;
    numbers[syscall::SENDTO] = 44;
    numbers[syscall::RECVFROM] = 45;
    numbers[syscall::SENDMSG] = 46;
    numbers[syscall::RECVMSG] = 47;
    numbers[syscall::RECVMMSG] = 299;
    numbers[syscall::SENDMMSG] = 307;
    numbers[syscall::IO_URING_ENTER] = 426;
    numbers
}

/// Knows none. Registers have other names on these machines, too, so that a capture is refused before it gets here.
#[cfg(not(target_arch = "x86_64"))]
const fn numbers() -> [u32; syscall::COUNT] {
    [u32::MAX; syscall::COUNT]
}

/// Flags of [`exit`] for each call, by its number.
pub(crate) const CALLS: [u8; 2 * exit::NUMBERS] = calls();

#[cfg(not(target_arch = "x86_64"))]
const fn calls() -> [u8; 2 * exit::NUMBERS] {
    [0; 2 * exit::NUMBERS]
}

/// Lists the calls of 64-bit tasks, then those of 32-bit ones, whose bytes are only counted. The numbers are those of
/// [syscall_64.tbl](https://github.com/torvalds/linux/blob/v6.12/arch/x86/entry/syscalls/syscall_64.tbl) and
/// [syscall_32.tbl](https://github.com/torvalds/linux/blob/v6.12/arch/x86/entry/syscalls/syscall_32.tbl).
#[cfg(target_arch = "x86_64")]
const fn calls() -> [u8; 2 * exit::NUMBERS] {
    use exit::{
        BUFFER, FLAGS_FOURTH, FLAGS_THIRD, MESSAGE, MESSAGES, NUMBERS, RECEIVE, SEND, VECTORS,
    };
    const KNOWN: [(usize, u8); 25] = [
        (0, RECEIVE | BUFFER),                    // read
        (1, SEND | BUFFER),                       // write
        (19, RECEIVE | VECTORS),                  // readv
        (20, SEND | VECTORS),                     // writev
        (40, SEND),                               // sendfile
        (44, SEND | BUFFER),                      // sendto
        (45, RECEIVE | BUFFER | FLAGS_FOURTH),    // recvfrom
        (46, SEND | MESSAGE),                     // sendmsg
        (47, RECEIVE | MESSAGE | FLAGS_THIRD),    // recvmsg
        (299, RECEIVE | MESSAGES | FLAGS_FOURTH), // recvmmsg
        (307, SEND | MESSAGES),                   // sendmmsg
        (327, RECEIVE),                           // preadv2
        (328, SEND),                              // pwritev2
        (NUMBERS + 3, RECEIVE),                   // read
        (NUMBERS + 4, SEND),                      // write
        (NUMBERS + 145, RECEIVE),                 // readv
        (NUMBERS + 146, SEND),                    // writev
        (NUMBERS + 187, SEND),                    // sendfile
        (NUMBERS + 239, SEND),                    // sendfile64
        (NUMBERS + 369, SEND),                    // sendto
        (NUMBERS + 370, SEND),                    // sendmsg
        (NUMBERS + 371, RECEIVE | FLAGS_FOURTH),  // recvfrom
        (NUMBERS + 372, RECEIVE | FLAGS_THIRD),   // recvmsg
        (NUMBERS + 378, RECEIVE),                 // preadv2
        (NUMBERS + 379, SEND),                    // pwritev2
    ];
    let mut calls = [0; 2 * NUMBERS];
    let mut index = 0;
    while index < KNOWN.len() {
        calls[KNOWN[index].0] = KNOWN[index].1;
        index += 1;
    }
    calls
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use membench_common::exit::{BUFFER, MESSAGE, RECEIVE, SEND, VECTORS};

    use super::*;

    #[test]
    fn both_tables_mean_the_same_calls() {
        for (call, expected) in [
            (syscall::READ, RECEIVE | BUFFER),
            (syscall::READV, RECEIVE | VECTORS),
            (syscall::RECVFROM, RECEIVE | BUFFER),
            (syscall::RECVMSG, RECEIVE | MESSAGE),
            (syscall::WRITE, SEND | BUFFER),
            (syscall::WRITEV, SEND | VECTORS),
            (syscall::SENDTO, SEND | BUFFER),
            (syscall::SENDMSG, SEND | MESSAGE),
        ] {
            let known = RECEIVE | SEND | BUFFER | VECTORS | MESSAGE;
            assert_eq!(CALLS[NUMBERS[call] as usize] & known, expected, "{call}");
        }
    }

    #[test]
    fn no_bytes_of_32_bit_tasks_are_located() {
        let located = CALLS[exit::NUMBERS..]
            .iter()
            .filter(|does| **does & (BUFFER | VECTORS | MESSAGE) != 0);
        assert_eq!(located.count(), 0);
    }
}
