//! The registers of a system call that returns → what it did, to which descriptor, and where its buffers are.

use membench_common::{counter, exit, field, member};

use crate::exit::fd as walk;
use crate::{
    call::{Arguments, Shape},
    kernel::{Sock, Structure},
    receive::ASIDE,
    record::bounded,
};

const TABLE: usize = 2 * exit::NUMBERS;
const USER32_CS: u16 = 0x23;
const TS_COMPAT: u32 = 2;

/// What system calls do, by their numbers.
#[unsafe(no_mangle)]
static CALLS: [u8; TABLE] = [0; TABLE];

/// A system call that returns.
#[derive(Clone, Copy)]
pub struct Returned {
    registers: Structure,
    /// A set of the bits in `exit`.
    does: u8,
    is_compat: bool,
}

impl Returned {
    /// The call, if it is one that may move a socket's bytes.
    #[inline(always)]
    pub fn of(registers: Structure) -> Option<Self> {
        let number = registers.read::<u64>(field::REGISTER_CALL);
        if number >= exit::NUMBERS as u64 {
            return None;
        }
        let is_compat =
            registers.read_offset::<u16>(walk::offset(member::REGISTER_SEGMENT)) == USER32_CS;
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

    #[inline(always)]
    pub fn is_send(self) -> bool {
        self.does & exit::SEND != 0
    }

    /// The descriptor it was about.
    #[inline(always)]
    pub fn descriptor(self) -> u32 {
        self.member(if self.is_compat {
            member::REGISTER_FIRST_COMPAT
        } else {
            member::REGISTER_FIRST
        })
    }

    /// Whether it received nothing from the stream, whatever it returns.
    #[inline(always)]
    pub fn is_aside(self) -> bool {
        !self.is_send() && self.flags() & ASIDE != 0
    }

    /// Its second argument.
    #[inline(always)]
    pub fn second(self) -> u64 {
        self.registers.read(field::REGISTER_SECOND)
    }

    /// Whether it is about an array of messages, and returns how many of them moved.
    #[inline(always)]
    pub fn has_messages(self) -> bool {
        self.does & exit::MESSAGES != 0
    }

    /// Where its bytes are, or the counter that says why they cannot be known.
    #[inline(always)]
    pub fn arguments(self) -> Result<Arguments, u32> {
        // A 64-bit task can make 32-bit calls too.
        if self.is_compat || walk::task().read::<u32>(field::TASK_STATUS) & TS_COMPAT != 0 {
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

    /// The `MSG_*` it was called with.
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
        self.registers.read_offset(walk::offset(member))
    }
}

#[inline(always)]
fn does(index: u64) -> u8 {
    let index = bounded::<{ TABLE as u64 - 1 }>(index) as usize;
    // SAFETY: inside the table; volatile because the loader changes it.
    unsafe { (&raw const CALLS).cast::<u8>().add(index).read_volatile() }
}
