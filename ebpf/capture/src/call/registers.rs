//! The registers of a system call → what it did, and its buffers.
//!
//! Tracepoints pass no buffers, but the registers with which the task entered the kernel still hold the call's
//! arguments when it is done. Socket hooks run inside a call ([`receiving`], [`sending`]); `sys_exit` runs as it
//! returns ([`Syscall`]).

use membench_bpf_lib::{
    abi::{
        ENOSYS, MSG_ERRQUEUE, MSG_OOB, MSG_PEEK, PF_IO_WORKER, PF_KTHREAD, TS_COMPAT, USER32_CS,
    },
    kernel::{Probed, Sock, Structure, global, member_offset},
    user::bounded,
};
use membench_common::{counter, exit, field, member, syscall};

/// Flags of receives that take nothing from the stream.
pub const ASIDE: i32 = MSG_OOB | MSG_PEEK | MSG_ERRQUEUE;

const TABLE: usize = 2 * exit::NUMBERS;

/// Numbers of the calls in [`syscall`].
#[unsafe(no_mangle)]
static SYSCALLS: [u32; syscall::COUNT] = [0; syscall::COUNT];

/// Effects of system calls, by their numbers: sets of the bits in [`exit`].
#[unsafe(no_mangle)]
static CALLS: [u8; TABLE] = [0; TABLE];

/// The way in which a call describes its buffers.
#[derive(Clone, Copy)]
pub enum Shape {
    /// One buffer: address, capacity.
    Buffer,
    /// An array of iovecs: address, length.
    Vectors,
    /// A `struct msghdr` that points to such an array.
    Message,
    /// An array of `struct mmsghdr`: address, length.
    Messages,
}

/// A call's second and third arguments, in user space.
#[derive(Clone, Copy)]
pub struct Arguments {
    pub shape: Shape,
    pub address: u64,
    pub count: u64,
    /// For `recvfrom` and `sendto`: the address of the peer's address.
    pub peer: u64,
    /// For [`Shape::Messages`]: true if the call may end before a message fails or the array ends.
    pub has_timeout: bool,
    /// True if another message of the same call has moved before.
    pub follows: bool,
}

/// Returns the arguments of the running receive, or the counter that says why they are not known.
#[inline(always)]
pub fn receiving() -> Result<Arguments, u32> {
    let (registers, number) = running()?;
    let shape = if is_call(number, syscall::READ) || is_call(number, syscall::RECVFROM) {
        Shape::Buffer
    } else if is_call(number, syscall::RECVMSG) {
        Shape::Message
    } else if is_call(number, syscall::READV) {
        Shape::Vectors
    } else if is_call(number, syscall::RECVMMSG) {
        Shape::Messages
    } else {
        return Err(unknown(number));
    };
    Ok(arguments(registers, shape))
}

/// Returns the arguments of the running send, or the counter that says why they are not known.
#[inline(always)]
pub fn sending() -> Result<Arguments, u32> {
    let (registers, number) = running()?;
    let shape = if is_call(number, syscall::SENDMSG) {
        Shape::Message
    } else if is_call(number, syscall::WRITE) || is_call(number, syscall::SENDTO) {
        Shape::Buffer
    } else if is_call(number, syscall::WRITEV) {
        Shape::Vectors
    } else if is_call(number, syscall::SENDMMSG) {
        Shape::Messages
    } else {
        return Err(unknown(number));
    };
    Ok(arguments(registers, shape))
}

/// True if a system call's number is that of `call`, one of [`syscall`].
#[inline(always)]
fn is_call(number: u64, call: usize) -> bool {
    number == u64::from(global(&SYSCALLS[call]))
}

#[inline(always)]
fn unknown(number: u64) -> u32 {
    if is_call(number, syscall::IO_URING_ENTER) {
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

/// Returns the registers and the number of the running system call. A call's result is -ENOSYS until it returns. With
/// any other result, the kernel is doing later work for the task, and the registers say nothing about it.
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

/// A system call that returns.
#[derive(Clone, Copy)]
pub struct Syscall {
    registers: Structure,
    /// Effects of the call: a set of the bits in [`exit`].
    does: u8,
    is_compat: bool,
}

impl Syscall {
    /// Reads a call from its registers; `None` if it cannot move a socket's bytes.
    #[inline(always)]
    pub fn from_registers(registers: Structure) -> Option<Self> {
        let number = registers.read::<u64>(field::REGISTER_CALL);
        if number >= exit::NUMBERS as u64 {
            return None;
        }
        let is_compat =
            registers.read_offset::<u16>(member_offset(member::REGISTER_SEGMENT)) == USER32_CS;
        let first = if is_compat { exit::NUMBERS as u64 } else { 0 };
        match does(number + first) {
            0 => None,
            does => Some(Self {
                registers,
                does,
                is_compat,
            }),
        }
    }

    /// True if the call sends.
    #[inline(always)]
    pub fn is_send(self) -> bool {
        self.does & exit::SEND != 0
    }

    /// Returns the file descriptor the call was passed.
    #[inline(always)]
    pub fn descriptor(self) -> u32 {
        self.member(if self.is_compat {
            member::REGISTER_FIRST_COMPAT
        } else {
            member::REGISTER_FIRST
        })
    }

    /// True if the call received nothing from the stream, whatever its result.
    #[inline(always)]
    pub fn is_aside(self) -> bool {
        !self.is_send() && self.flags() & ASIDE != 0
    }

    /// Returns the call's second argument.
    #[inline(always)]
    pub fn second(self) -> u64 {
        self.registers.read(field::REGISTER_SECOND)
    }

    /// True if the call was passed an array of messages. Its result is then how many of them moved.
    #[inline(always)]
    pub fn has_messages(self) -> bool {
        self.does & exit::MESSAGES != 0
    }

    /// Returns where the call's bytes are, or the counter that says why that is not known.
    #[inline(always)]
    pub fn arguments(self) -> Result<Arguments, u32> {
        // A 64-bit task can make 32-bit calls too.
        if self.is_compat || Probed::task().read::<u32>(field::TASK_STATUS) & TS_COMPAT != 0 {
            return Err(counter::COMPAT_TASK);
        }
        let shape = self.shape().ok_or(counter::OTHER_SYSCALL)?;
        Ok(Arguments {
            shape,
            address: self.second(),
            count: self.registers.read(field::REGISTER_THIRD),
            peer: match shape {
                Shape::Buffer => self.registers.read(field::REGISTER_FIFTH),
                Shape::Vectors | Shape::Message | Shape::Messages => 0,
            },
            has_timeout: false,
            follows: false,
        })
    }

    #[inline(always)]
    fn shape(self) -> Option<Shape> {
        if self.does & exit::BUFFER != 0 {
            Some(Shape::Buffer)
        } else if self.does & exit::MESSAGE != 0 {
            Some(Shape::Message)
        } else if self.does & exit::VECTORS != 0 {
            Some(Shape::Vectors)
        } else if self.has_messages() {
            Some(Shape::Messages)
        } else {
            None
        }
    }

    /// Returns the `MSG_*` flags the call was passed.
    #[inline(always)]
    pub fn flags(self) -> i32 {
        if self.does & exit::FLAGS_THIRD != 0 {
            self.registers.read(field::REGISTER_THIRD)
        } else if self.does & exit::FLAGS_FOURTH == 0 {
            0
        } else if self.is_compat {
            self.second() as i32
        } else {
            self.member(member::REGISTER_FOURTH)
        }
    }

    #[inline(always)]
    fn member<T: Copy>(self, member: usize) -> T {
        self.registers.read_offset(member_offset(member))
    }
}

#[inline(always)]
fn does(index: u64) -> u8 {
    let index = bounded::<{ TABLE as u64 - 1 }>(index) as usize;
    // SAFETY: the index is inside the table; volatile because the loader changes it.
    unsafe { (&raw const CALLS).cast::<u8>().add(index).read_volatile() }
}
