//! The running system call → where its buffers are.
//!
//! The tracepoints pass no buffers, but the registers with which the task entered the kernel still hold the call's
//! arguments when it is done.

use membench_common::{counter, field, syscall};

use crate::kernel::{Structure, is_call};

const PF_IO_WORKER: u32 = 0x10;
const PF_KTHREAD: u32 = 0x0020_0000;
const TS_COMPAT: u32 = 2;
const ENOSYS: i64 = 38;

/// How a call says where its bytes are.
#[derive(Clone, Copy)]
pub enum Shape {
    /// One buffer: address, capacity.
    Buffer,
    /// An array of iovecs: address, how many.
    Vectors,
    /// A `struct msghdr` that points to such an array.
    Message,
    /// An array of `struct mmsghdr`: address, how many.
    Messages,
}

/// A call's second and third arguments, in user space.
#[derive(Clone, Copy)]
pub struct Arguments {
    pub shape: Shape,
    pub address: u64,
    pub count: u64,
    /// Of `recvfrom` and `sendto`: the address of the peer's address.
    pub peer: u64,
    /// Of messages: whether the call may end before one fails or the array ends.
    pub has_timeout: bool,
    /// Whether another message of the same call has moved before.
    pub follows: bool,
}

/// Arguments of the receive that is running, or the counter that says why they cannot be known.
#[inline(always)]
pub fn receiving() -> Result<Arguments, u32> {
    let (registers, call) = running()?;
    let shape = if is_call(call, syscall::READ) || is_call(call, syscall::RECVFROM) {
        Shape::Buffer
    } else if is_call(call, syscall::RECVMSG) {
        Shape::Message
    } else if is_call(call, syscall::READV) {
        Shape::Vectors
    } else if is_call(call, syscall::RECVMMSG) {
        Shape::Messages
    } else {
        return Err(unknown(call));
    };
    Ok(arguments(registers, shape))
}

/// The same of the send that is running.
#[inline(always)]
pub fn sending() -> Result<Arguments, u32> {
    let (registers, call) = running()?;
    let shape = if is_call(call, syscall::SENDMSG) {
        Shape::Message
    } else if is_call(call, syscall::WRITE) || is_call(call, syscall::SENDTO) {
        Shape::Buffer
    } else if is_call(call, syscall::WRITEV) {
        Shape::Vectors
    } else if is_call(call, syscall::SENDMMSG) {
        Shape::Messages
    } else {
        return Err(unknown(call));
    };
    Ok(arguments(registers, shape))
}

#[inline(always)]
fn unknown(call: u64) -> u32 {
    if is_call(call, syscall::IO_URING_ENTER) {
        counter::IO_URING
    } else {
        counter::OTHER_SYSCALL
    }
}

#[inline(always)]
fn arguments(registers: Structure, shape: Shape) -> Arguments {
    let fifth = registers.read::<u64>(field::REGISTER_FIFTH);
    Arguments {
        shape,
        address: registers.read(field::REGISTER_SECOND),
        count: registers.read(field::REGISTER_THIRD),
        has_timeout: match shape {
            Shape::Messages => fifth != 0,
            Shape::Buffer | Shape::Vectors | Shape::Message => false,
        },
        peer: match shape {
            Shape::Buffer => fifth,
            Shape::Vectors | Shape::Message | Shape::Messages => 0,
        },
        follows: false,
    }
}

/// The registers and number of the system call that is running. A call's result is -ENOSYS until it returns: with
/// another, this is work that the kernel does for the task afterwards, and the registers say nothing about it.
#[inline(always)]
fn running() -> Result<(Structure, u64), u32> {
    let task = Structure::task().ok_or(counter::OTHER_SYSCALL)?;
    let flags = task.read::<u32>(field::TASK_FLAGS);
    if flags & PF_IO_WORKER != 0 {
        return Err(counter::IO_URING);
    }
    if flags & PF_KTHREAD != 0 {
        return Err(counter::KERNEL_THREAD);
    }
    if task.read::<u32>(field::TASK_STATUS) & TS_COMPAT != 0 {
        return Err(counter::COMPAT_TASK);
    }
    let registers = task.registers().ok_or(counter::OTHER_SYSCALL)?;
    if registers.read::<i64>(field::REGISTER_RESULT) != -ENOSYS {
        return Err(counter::OTHER_SYSCALL);
    }
    Ok((registers, registers.read(field::REGISTER_CALL)))
}
