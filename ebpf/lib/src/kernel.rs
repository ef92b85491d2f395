//! A pointer to a kernel structure → its members, at offsets that user space looked up in this kernel's BTF.
//!
//! Pointers whose type the verifier knows are read directly ([`Structure`]), all others by probes ([`Probed`]).

use core::{
    ffi::c_void,
    mem::{MaybeUninit, size_of},
    ptr::from_ref,
};

use aya_ebpf::helpers::generated::{
    bpf_get_current_task, bpf_get_current_task_btf, bpf_get_socket_cookie, bpf_probe_read_kernel,
    bpf_skc_to_tcp_sock, bpf_skc_to_unix_sock, bpf_task_pt_regs,
};
use membench_common::{field, member};

use crate::abi::{AF_UNIX, IPPROTO_TCP, IPPROTO_UDP, RCV_SHUTDOWN};

/// Offsets of `field::PATHS`. Globals are read-only once loaded: the verifier knows each as a constant, so base +
/// offset is a direct load.
#[unsafe(no_mangle)]
static FIELDS: [u32; field::COUNT] = [0; field::COUNT];

/// Offsets of `member::PATHS`.
#[unsafe(no_mangle)]
static MEMBERS: [u32; member::COUNT] = [0; member::COUNT];

/// A jiffy's length, ns.
#[unsafe(no_mangle)]
static JIFFY: u32 = 0;

/// Returns a jiffy's length, ns.
#[inline(always)]
pub fn jiffy() -> u32 {
    global(&JIFFY)
}

/// Returns the offset of a member in its structure, by its index in [`field`].
#[inline(always)]
pub fn offset(field: usize) -> usize {
    global(&FIELDS[field]) as usize
}

/// Returns the offset of a member in its structure, by its index in [`member`].
#[inline(always)]
pub fn member_offset(member: usize) -> usize {
    global(&MEMBERS[member]) as usize
}

/// Returns the value of a load-time global.
#[inline(always)]
pub fn global<T: Copy>(value: &'static T) -> T {
    // SAFETY: a reference is valid to read; volatile because the loader changes the value.
    unsafe { from_ref(value).read_volatile() }
}

/// A socket, however its members are read.
pub trait Sock: Copy {
    /// Reads a `T` that begins `bytes` after the begin of a member, by the member's index in [`field`].
    fn read_from<T: Copy>(self, field: usize, bytes: usize) -> T;

    /// Returns the structure that a pointer member points to.
    fn follow(self, field: usize) -> Option<Self>;

    /// Returns the socket as a `struct tcp_sock`; `None` if another protocol, such as MPTCP, runs it.
    fn tcp(self) -> Option<Self>;

    /// Returns the socket as a `struct unix_sock`; `None` if it is of another family.
    fn unix(self) -> Option<Self>;

    /// Returns a number that no other socket of this machine has.
    fn identity(self) -> u64;

    /// Returns the address of the structure.
    fn address(self) -> u64;

    /// Reads the `index`th `T` of an array member.
    #[inline(always)]
    fn read_at<T: Copy>(self, field: usize, index: usize) -> T {
        self.read_from(field, index * size_of::<T>())
    }

    /// Reads a member.
    #[inline(always)]
    fn read<T: Copy>(self, field: usize) -> T {
        self.read_from(field, 0)
    }

    /// Returns the inode number of the socket's network namespace.
    #[inline(always)]
    fn namespace(self) -> u32 {
        self.follow(field::SOCK_NAMESPACE)
            .map_or(0, |space| space.read(field::NAMESPACE_INODE))
    }

    /// True if this is a UNIX-domain socket.
    #[inline(always)]
    fn is_unix(self) -> bool {
        self.read::<u16>(field::SOCK_FAMILY) == AF_UNIX
    }

    /// True if this is a UDP socket.
    #[inline(always)]
    fn is_udp(self) -> bool {
        self.read::<u16>(field::SOCK_PROTOCOL) == IPPROTO_UDP
    }

    /// True if the peer has closed its side, so that nothing more can be received.
    #[inline(always)]
    fn is_finished(self) -> bool {
        self.read::<u8>(field::SOCK_SHUTDOWN) & RCV_SHUTDOWN != 0
    }
}

/// A kernel structure at an address that the verifier trusts, because it knows the type of the pointer.
#[derive(Clone, Copy)]
pub struct Structure(*const u8);

impl Structure {
    /// Wraps a pointer; `None` if it is null. The kernel keeps the structure alive while the program runs.
    #[inline(always)]
    pub fn new(pointer: *const u8) -> Option<Self> {
        if pointer.is_null() {
            None
        } else {
            Some(Self(pointer))
        }
    }

    /// Returns the current task.
    #[inline(always)]
    pub fn task() -> Option<Self> {
        // SAFETY: takes no arguments.
        Self::new(unsafe { bpf_get_current_task_btf() }.cast())
    }

    /// Returns the registers with which this task entered the kernel.
    #[inline(always)]
    pub fn registers(self) -> Option<Self> {
        // SAFETY: the verifier checks that this is a task.
        Self::new(unsafe { bpf_task_pt_regs(self.0.cast_mut().cast()) } as *const u8)
    }

    /// Returns the pointer, for helpers that take the structure itself.
    #[inline(always)]
    pub fn pointer(self) -> *mut c_void {
        self.0.cast_mut().cast()
    }

    /// Reads a member, by its index in [`field`].
    #[inline(always)]
    pub fn read<T: Copy>(self, field: usize) -> T {
        self.read_offset(offset(field))
    }

    /// Reads the `T` at an offset.
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
        if !self.is_unix() {
            return None;
        }
        // SAFETY: the verifier checks that this is a socket.
        Self::new(unsafe { bpf_skc_to_unix_sock(self.pointer()) }.cast())
    }

    /// Returns the socket's cookie.
    #[inline(always)]
    fn identity(self) -> u64 {
        // SAFETY: the verifier checks that this is a socket.
        unsafe { bpf_get_socket_cookie(self.pointer()) }
    }

    #[inline(always)]
    fn address(self) -> u64 {
        self.0 as u64
    }
}

/// A kernel structure at an address that the verifier does not trust. Each member is read by a probe; a probe that
/// fails yields zeros.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Probed {
    /// Address of the structure.
    pub address: u64,
    /// For a socket: address of its `struct file`. Otherwise 0.
    file: u64,
}

impl Probed {
    /// Wraps the address of a structure.
    #[inline(always)]
    pub fn new(address: u64) -> Self {
        Self { address, file: 0 }
    }

    /// Wraps the address of a `struct sock`, with that of the `struct file` it was reached through.
    #[inline(always)]
    pub fn with_file(address: u64, file: u64) -> Self {
        Self { address, file }
    }

    /// Returns the current task.
    #[inline(always)]
    pub fn task() -> Self {
        // SAFETY: takes no arguments.
        Self::new(unsafe { bpf_get_current_task() })
    }
}

impl Sock for Probed {
    #[inline(always)]
    fn read_from<T: Copy>(self, field: usize, bytes: usize) -> T {
        probe(self.address + (offset(field) + bytes) as u64)
    }

    #[inline(always)]
    fn follow(self, field: usize) -> Option<Self> {
        non_null(self.read(field)).map(Self::new)
    }

    /// Returns the socket itself: a `struct tcp_sock` begins with its `struct sock`.
    #[inline(always)]
    fn tcp(self) -> Option<Self> {
        if self.read::<u16>(field::SOCK_PROTOCOL) == IPPROTO_TCP {
            Some(self)
        } else {
            None
        }
    }

    /// Returns the socket itself: a `struct unix_sock` begins with its `struct sock`.
    #[inline(always)]
    fn unix(self) -> Option<Self> {
        if self.is_unix() { Some(self) } else { None }
    }

    /// Returns the number of the socket's inode, as `/proc/PID/fd` shows it.
    #[inline(always)]
    fn identity(self) -> u64 {
        Self::new(self.file)
            .follow(field::FILE_INODE)
            .map_or(0, |inode| inode.read(field::INODE_NUMBER))
    }

    #[inline(always)]
    fn address(self) -> u64 {
        self.address
    }
}

/// Probes the pointer in a structure's member, by the member's index in [`member`]; `None` if it is null.
#[inline(always)]
pub fn pointer(structure: u64, member: usize) -> Option<u64> {
    pointer_at(structure + member_offset(member) as u64)
}

/// Probes the pointer at an address; `None` if it is null.
#[inline(always)]
pub fn pointer_at(address: u64) -> Option<u64> {
    non_null(probe(address))
}

#[inline(always)]
fn non_null(pointer: u64) -> Option<u64> {
    if pointer == 0 { None } else { Some(pointer) }
}

#[inline(always)]
fn probe<T: Copy>(from: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    let to = value.as_mut_ptr();
    // SAFETY: `value` is on this stack and has the size given; the kernel checks `from`, and zeroes what it cannot
    // read.
    unsafe {
        bpf_probe_read_kernel(to.cast(), size_of::<T>() as u32, from as *const _);
        value.assume_init()
    }
}
