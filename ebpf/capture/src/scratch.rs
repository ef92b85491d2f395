//! A program on this CPU → its scratch memory: the record in hand, and what it is composed from.
//!
//! Only plain data; the stages that use it hold the behaviour. Memory that is not on the stack also helps the verifier:
//! it takes each number here as unknown, and so checks a loop's body once instead of once a turn.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use membench_bpf_lib::{abi::IOVECS, context::cpu, kernel::Probed, user::read_user};
use membench_common::{Header, RECORD_PAYLOAD};

use crate::stream::state::Stream;

/// Room for a record's parts: a full payload, and the last part, which may begin at the payload's end.
pub const PAYLOAD: usize = RECORD_PAYLOAD + 512;

/// Scratch memory of one program on one CPU.
#[repr(C)]
pub struct Scratch {
    pub draft: Draft,
    /// The stream that is being recorded, if it is not the socket's own: a datagram is a stream by itself, and a call
    /// with several messages works on a copy.
    pub stream: Stream,
}

/// A record that is being composed.
#[repr(C)]
pub struct Draft {
    pub header: Header,
    pub payload: [u8; PAYLOAD],
    /// A `struct msghdr` without its first two members. The iovecs follow it directly, as compilers often place them on
    /// the stack.
    pub message: [u64; 6],
    /// The call's iovecs.
    pub vectors: [[u64; 2]; IOVECS],
    pub progress: Progress,
    /// Buffer for a number that is read from user space.
    word: u64,
    /// The socket, for programs that continue with the call.
    pub sock: Probed,
    /// The call's messages, if there are several.
    pub messages: Messages,
}

/// Progress of a call: how far its bytes are in records.
#[repr(C)]
pub struct Progress {
    /// Bytes of the call that are in no record yet.
    pub left: u64,
    /// Bytes of the payload in use, a multiple of 8.
    pub position: u64,
    /// Bytes among those of the current record that could not be read.
    pub faulted: u64,
    /// Records the call has become.
    pub records: u64,
    /// Offset of the parts in the payload. The bytes before them are the same in every record of the call.
    pub begin: u64,
    pub walk: Walk,
}

/// Progress through a call's array of iovecs.
#[repr(C)]
pub struct Walk {
    /// The current iovec.
    pub index: u64,
    /// Number of iovecs.
    pub count: u64,
    /// Bytes of the current iovec that are in records.
    pub done: u64,
    /// Length of the value that the last part announced. A next part of that length is the value.
    pub value: u64,
}

/// Progress through a call's messages.
#[repr(C)]
pub struct Messages {
    /// Address of the next message's `struct mmsghdr`.
    pub next: u64,
    /// Number of messages from there on.
    pub left: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// 1 while a message is being put into records.
    pub is_open: u64,
    /// 1 if each message is a datagram.
    pub is_datagram: u64,
    /// 1 if a message had no bytes.
    pub has_empty: u64,
}

impl Draft {
    /// Reads `SIZE` bytes of user space, at most 8; 0 if they could not be read.
    #[inline(always)]
    pub fn read_word<const SIZE: u64>(&mut self, address: u64) -> u64 {
        let to = &raw mut self.word;
        // SAFETY: inside the draft; volatile because the helper writes it.
        unsafe {
            *to = 0;
            read_user::<SIZE>(to.cast(), SIZE, address);
            to.read_volatile()
        }
    }
}

/// One entry a CPU.
#[btf_map(name = "receive_scratch")]
static RECEIVE_SCRATCH: Array<Scratch, 1> = Array::new();

/// One entry a CPU.
#[btf_map(name = "send_scratch")]
static SEND_SCRATCH: Array<Scratch, 1> = Array::new();

/// One entry a CPU.
#[btf_map(name = "standby_receive_scratch")]
static STANDBY_RECEIVE_SCRATCH: Array<Scratch, 1> = Array::new();

/// One entry a CPU.
#[btf_map(name = "standby_send_scratch")]
static STANDBY_SEND_SCRATCH: Array<Scratch, 1> = Array::new();

/// Returns the scratch memory of `sock_recv_length`, or of `sys_exit` and the programs it continues in; of
/// `standby_receive` if `STANDBY`.
#[inline(always)]
pub fn for_receives<const STANDBY: bool>() -> Option<&'static mut Scratch> {
    own(if STANDBY {
        &STANDBY_RECEIVE_SCRATCH
    } else {
        &RECEIVE_SCRATCH
    })
}

/// Returns the scratch memory of `sock_send_length`; of `standby_send` if `STANDBY`.
#[inline(always)]
pub fn for_sends<const STANDBY: bool>() -> Option<&'static mut Scratch> {
    own(if STANDBY {
        &STANDBY_SEND_SCRATCH
    } else {
        &SEND_SCRATCH
    })
}

#[inline(always)]
fn own(map: &'static Array<Scratch, 1>) -> Option<&'static mut Scratch> {
    // SAFETY: the map's value outlives the program. A program that preempts this one uses another map, a program never
    // preempts itself, and none holds two references at a time.
    map.get_ptr_mut(cpu())
        .map(|scratch| unsafe { &mut *scratch })
}
