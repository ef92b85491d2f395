//! Kinds of arguments: what the kernel's programs read of each, and how it is written.

use membench_common::trace::read;

use crate::name::Names;

/// The kind of an argument of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A signed number of 32 bits.
    Int,
    /// A signed number of 64 bits.
    Long,
    /// An unsigned number.
    Unsigned,
    /// A number or address, in hex.
    Hex,
    /// A number in hex.
    Offset,
    /// Permissions of a file.
    Mode,
    /// Permissions of a file that `open` makes, if its flags say so.
    NewMode,
    /// A file descriptor.
    Descriptor,
    /// A file descriptor that paths are relative to.
    Folder,
    /// A path or another text.
    Text,
    /// A text that the call writes, as long as its result says.
    TextOut,
    /// A buffer that the call reads or writes. Left out, unless it is a followed socket's.
    Buffer,
    /// Left out.
    Hidden,
    /// Bits with names.
    Bits(Names, &'static str),
    /// A value with a name.
    Word(Names),
    /// Flags of `open`.
    Open,
    /// Permissions that `access` asks for.
    Access,
    /// Type of a socket, with flags.
    Socket,
    /// Protocol of a socket, whose family is the first argument.
    Protocol,
    /// A socket option, whose level is the argument before.
    Option,
    /// The value of a socket option, whose size is the next argument.
    Value,
    /// The value of a socket option that the call writes.
    ValueOut,
    /// A signal.
    Signal,
    /// A set of signals.
    Signals,
    /// A set of signals that the call writes.
    SignalsOut,
    /// A `struct sigaction` of the kernel.
    Action,
    /// A `struct sigaction` of the kernel that the call writes.
    ActionOut,
    /// A socket address, whose length is the next argument.
    Address,
    /// A socket address that the call writes, whose length is at the next argument.
    AddressOut,
    /// A length that the call writes.
    LengthOut,
    /// Iovecs, as many as the next argument says.
    Vectors,
    /// A `struct msghdr`.
    Message,
    /// A `struct timespec`.
    Time,
    /// A `struct timespec` that the call writes.
    TimeOut,
    /// A `struct timeval` that the call writes.
    TimevalOut,
    /// A `struct itimerspec`.
    Timer,
    /// A `struct itimerspec` that the call writes.
    TimerOut,
    /// A `struct epoll_event`.
    Event,
    /// As many `struct epoll_event` as the result says.
    Events,
    /// As many `struct pollfd` as the next argument says.
    Polls,
    /// Two descriptors that the call writes.
    Pair,
    /// A `struct stat` that the call writes.
    Stat,
    /// A `struct rlimit`.
    Limit,
    /// A `struct rlimit` that the call writes.
    LimitOut,
    /// An exit status that the call writes.
    StatusOut,
    /// A `struct utsname` that the call writes.
    System,
    /// A set of CPUs that the call writes, as long as its result says.
    CpusOut,
    /// The argument of a command for a descriptor.
    DescriptorArgument,
    /// The command for a futex.
    Futex,
    /// The expected value, or a number of waiters.
    FutexValue,
    /// The time limit of a wait for a futex.
    FutexTime,
    /// The second futex, and the value with it, which few commands have.
    FutexRest,
}

/// Returns a word of the global `READS`.
const fn word(what: u32, argument: usize, other: usize, size: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "indices of arguments")]
    let (argument, other) = (argument as u32, other as u32);
    what | argument << 8 | other << 12 | size << 16
}

impl Kind {
    /// Returns how the programs read what an argument of this kind points to; 0 if they do not.
    pub(crate) const fn read(self, index: usize) -> u32 {
        let result = read::RESULT as usize;
        match self {
            Self::Text => word(read::TEXT, index, 0, 0),
            Self::TextOut | Self::CpusOut => word(read::ARRAY, index, result, 0x1 | read::OUT),
            Self::Buffer => word(read::DATA, index, 0, 0),
            Self::Signals => word(read::BYTES, index, 0, 8),
            Self::SignalsOut | Self::Pair => word(read::BYTES, index, 0, 0x8 | read::OUT),
            Self::Action | Self::Timer => word(read::BYTES, index, 0, 32),
            Self::ActionOut | Self::TimerOut => word(read::BYTES, index, 0, 0x20 | read::OUT),
            Self::Address => word(read::ADDRESS, index, index + 1, 0),
            Self::AddressOut => word(read::ADDRESS_OUT, index, index + 1, read::OUT),
            Self::Value => word(read::ARRAY, index, index + 1, 1),
            Self::ValueOut | Self::LengthOut | Self::StatusOut => {
                word(read::BYTES, index, 0, 0x4 | read::OUT)
            }
            Self::Vectors => word(read::VECTORS, index, index + 1, 0),
            Self::Message => word(read::MESSAGE, index, 0, 0),
            Self::Time | Self::FutexTime | Self::Limit => word(read::BYTES, index, 0, 16),
            Self::TimeOut | Self::TimevalOut | Self::LimitOut => {
                word(read::BYTES, index, 0, 0x10 | read::OUT)
            }
            Self::Event => word(read::BYTES, index, 0, 12),
            Self::Events => word(read::ARRAY, index, result, 0xc | read::OUT),
            Self::Polls => word(read::ARRAY, index, index + 1, 8),
            Self::Stat => word(read::BYTES, index, 0, 0x90 | read::OUT),
            Self::System => word(read::BYTES, index, 0, 0x186 | read::OUT),
            Self::Int
            | Self::Long
            | Self::Unsigned
            | Self::Hex
            | Self::Offset
            | Self::Mode
            | Self::NewMode
            | Self::Descriptor
            | Self::Folder
            | Self::Hidden
            | Self::Bits(..)
            | Self::Word(_)
            | Self::Open
            | Self::Access
            | Self::Socket
            | Self::Protocol
            | Self::Option
            | Self::Signal
            | Self::DescriptorArgument
            | Self::Futex
            | Self::FutexValue
            | Self::FutexRest => 0,
        }
    }

    /// Returns true if strace prints the argument, and this crate leaves it out.
    pub(crate) const fn is_buffer(self) -> bool {
        matches!(self, Self::Buffer)
    }
}
