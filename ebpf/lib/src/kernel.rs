//! Pointers the verifier knows → fields of kernel structures, at offsets that user space looked up in this kernel's BTF.

use core::{mem::size_of, ptr::from_ref};

use aya_ebpf::helpers::generated::{
    bpf_get_current_task_btf, bpf_get_socket_cookie, bpf_skc_to_tcp_sock, bpf_skc_to_unix_sock,
    bpf_task_pt_regs,
};
use membench_common::{PORTS as PORT_COUNT, field, responses, syscall};

use crate::{
    maps, side,
    socket::{AF_INET, AF_INET6},
};

/// Offsets of `field::PATHS`. Read-only once loaded: to the verifier each is a known constant, so that base + offset
/// is a direct load.
#[unsafe(no_mangle)]
static FIELDS: [u32; field::COUNT] = [0; field::COUNT];

#[unsafe(no_mangle)]
static PORTS: [u16; PORT_COUNT] = [0; PORT_COUNT];

/// Numbers of the calls in `syscall`: known constants too.
#[unsafe(no_mangle)]
static SYSCALLS: [u32; syscall::COUNT] = [0; syscall::COUNT];

#[unsafe(no_mangle)]
static RESPONSES: u32 = responses::BYTES;

/// A jiffy's length, ns.
#[unsafe(no_mangle)]
static JIFFY: u32 = 0;

#[unsafe(no_mangle)]
static SAMPLE: u32 = 1;

/// A jiffy's length, ns.
#[inline(always)]
pub fn jiffy() -> u32 {
    global(&JIFFY)
}

/// Whether a connection is of the sample. Its client's address and port tell, which stay as they are while it lasts;
/// 2^64 over the golden ratio spreads them evenly. <https://en.wikipedia.org/wiki/Hash_function#Fibonacci_hashing>
#[inline(always)]
pub fn is_sampled(sock: impl Sock) -> bool {
    let one_in = u64::from(global(&SAMPLE));
    if one_in <= 1 {
        return true;
    }
    let port = u64::from(sock.read::<u16>(field::SOCK_REMOTE_PORT));
    let address = u64::from(sock.read::<u32>(field::SOCK_REMOTE));
    let spread = (address << 16 | port).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (spread * one_in) >> 32 == 0
}

/// What is kept of responses.
#[inline(always)]
pub fn responses() -> u32 {
    global(&RESPONSES)
}

/// Whether a call has the number of one in `syscall`.
#[inline(always)]
pub fn is_call(number: u64, call: usize) -> bool {
    number == u64::from(global(&SYSCALLS[call]))
}

/// Whether a capture follows this local port.
#[inline(always)]
pub fn is_followed(port: u16) -> bool {
    let mut index = 0;
    while index < PORT_COUNT {
        match global(&PORTS[index]) {
            0 => return false,
            followed if followed == port => return true,
            _ => index += 1,
        }
    }
    false
}

/// Where a member is in its structure, by its index in `FIELDS`.
#[inline(always)]
pub fn offset(field: usize) -> usize {
    global(&FIELDS[field]) as usize
}

/// A load-time global's value.
#[inline(always)]
pub fn global<T: Copy>(value: &'static T) -> T {
    // SAFETY: a reference is valid to read; volatile because the loader changes the value.
    unsafe { from_ref(value).read_volatile() }
}

/// A socket, by whatever way its members are read.
pub trait Sock: Copy {
    /// The `T` that begins so many bytes behind a member's begin, the member by its index in `FIELDS`.
    fn read_from<T: Copy>(self, field: usize, bytes: usize) -> T;

    /// The structure a pointer member points to.
    fn follow(self, field: usize) -> Option<Self>;

    /// The socket's TCP half; none where another protocol runs it (MPTCP).
    fn tcp(self) -> Option<Self>;

    /// The socket's UNIX-domain half, if it is of that family.
    fn unix(self) -> Option<Self>;

    /// What tells it from every other socket of this machine.
    fn identity(self) -> u64;

    /// Where it is.
    fn address(self) -> u64;

    /// Whether it was followed until TCP ended the connection, where what is known of it outlasts that. A server's socket
    /// that was reset has no port from then on, but what had come before is still read.
    fn was_followed(self) -> bool;

    /// The `index`th `T` of a member that is an array of them.
    #[inline(always)]
    fn read_at<T: Copy>(self, field: usize, index: usize) -> T {
        self.read_from(field, index * size_of::<T>())
    }

    /// One member.
    #[inline(always)]
    fn read<T: Copy>(self, field: usize) -> T {
        self.read_from(field, 0)
    }
}

/// A kernel structure behind a pointer whose type the verifier knows.
#[derive(Clone, Copy)]
pub struct Structure(*const u8);

impl Structure {
    /// Owns no memory: the kernel keeps the structure alive while the program runs.
    #[inline(always)]
    pub fn new(pointer: *const u8) -> Option<Self> {
        if pointer.is_null() {
            None
        } else {
            Some(Self(pointer))
        }
    }

    /// The running task.
    #[inline(always)]
    pub fn task() -> Option<Self> {
        // SAFETY: takes no arguments.
        Self::new(unsafe { bpf_get_current_task_btf() }.cast())
    }

    /// The registers with which this task entered the kernel.
    #[inline(always)]
    pub fn registers(self) -> Option<Self> {
        // SAFETY: the verifier checks that this is a task.
        Self::new(unsafe { bpf_task_pt_regs(self.0.cast_mut().cast()) } as *const u8)
    }

    /// For helpers that take the structure itself.
    #[inline(always)]
    pub fn pointer(self) -> *mut core::ffi::c_void {
        self.0.cast_mut().cast()
    }

    /// One member, by its index in `FIELDS`.
    #[inline(always)]
    pub fn read<T: Copy>(self, field: usize) -> T {
        self.read_offset(offset(field))
    }

    /// The `T` at this offset.
    #[inline(always)]
    pub fn read_offset<T: Copy>(self, offset: usize) -> T {
        // SAFETY: the verifier checks the offset against the structure's type; x86 reads from any address.
        unsafe { self.0.add(offset).cast::<T>().read_volatile() }
    }
}

impl Sock for Structure {
    #[inline(always)]
    fn read_from<T: Copy>(self, field: usize, bytes: usize) -> T {
        self.read_offset(offset(field) + bytes)
    }

    #[inline(always)]
    fn follow(self, field: usize) -> Option<Self> {
        Self::new(self.read::<*const u8>(field))
    }

    #[inline(always)]
    fn tcp(self) -> Option<Self> {
        // SAFETY: the verifier checks that this is a socket.
        Self::new(unsafe { bpf_skc_to_tcp_sock(self.pointer()) }.cast())
    }

    #[inline(always)]
    fn unix(self) -> Option<Self> {
        // SAFETY: the verifier checks that this is a socket.
        Self::new(unsafe { bpf_skc_to_unix_sock(self.pointer()) }.cast())
    }

    /// Its cookie.
    #[inline(always)]
    fn identity(self) -> u64 {
        // SAFETY: the verifier checks that this is a socket.
        unsafe { bpf_get_socket_cookie(self.pointer()) }
    }

    #[inline(always)]
    fn address(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    fn was_followed(self) -> bool {
        let family = self.read::<u16>(field::SOCK_FAMILY);
        !side::is_client()
            && (family == AF_INET || family == AF_INET6)
            && self.read::<u16>(field::SOCK_LOCAL_PORT) == 0
            && maps::known_state(self).is_some()
    }
}
