//! The calls that move a socket's bytes → their numbers on this machine.

use membench_common::syscall;

/// By the indices of [`syscall`].
pub(super) const NUMBERS: [u32; syscall::COUNT] = numbers();

/// <https://github.com/torvalds/linux/blob/v6.12/arch/x86/entry/syscalls/syscall_64.tbl>
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

/// None are known: the registers have other names there too, for which a capture is refused first.
#[cfg(not(target_arch = "x86_64"))]
const fn numbers() -> [u32; syscall::COUNT] {
    [u32::MAX; syscall::COUNT]
}
