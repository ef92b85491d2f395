//! A file descriptor of the running task → its socket, by the pointers that the kernel itself follows.

use core::mem::{MaybeUninit, size_of};

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel};
use membench_common::{field, member};

use crate::{
    kernel::{self, Sock},
    unix::AF_UNIX,
};

const IPPROTO_TCP: u16 = 6;
const POINTER: u64 = size_of::<u64>() as u64;

/// Offsets of `member::PATHS`.
#[unsafe(no_mangle)]
static MEMBERS: [u32; member::COUNT] = [0; member::COUNT];

/// A socket at an address that was walked to. The verifier does not trust it: each member is read by a probe, of which
/// one that fails gives zeroes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Walked {
    pub address: u64,
    /// Address of its file.
    file: u64,
}

impl Sock for Walked {
    #[inline(always)]
    fn read_from<T: Copy>(self, field: usize, bytes: usize) -> T {
        probe(self.address + (kernel::offset(field) + bytes) as u64)
    }

    #[inline(always)]
    fn follow(self, field: usize) -> Option<Self> {
        some(self.read(field)).map(Self::at)
    }

    /// A `struct tcp_sock` begins with its `struct sock`.
    #[inline(always)]
    fn tcp(self) -> Option<Self> {
        if self.read::<u16>(field::SOCK_PROTOCOL) == IPPROTO_TCP {
            Some(self)
        } else {
            None
        }
    }

    /// A `struct unix_sock` does, too.
    #[inline(always)]
    fn unix(self) -> Option<Self> {
        if self.read::<u16>(field::SOCK_FAMILY) == AF_UNIX {
            Some(self)
        } else {
            None
        }
    }

    /// Its inode's number, as `/proc/PID/fd` shows it.
    #[inline(always)]
    fn identity(self) -> u64 {
        Self::at(self.file)
            .follow(field::FILE_INODE)
            .map_or(0, |inode| inode.read(field::INODE_NUMBER))
    }

    #[inline(always)]
    fn address(self) -> u64 {
        self.address
    }

    /// Never: its state is forgotten when TCP has ended, as nothing tells when the socket itself is gone.
    #[inline(always)]
    fn was_followed(self) -> bool {
        false
    }
}

impl Walked {
    /// What is at an address.
    #[inline(always)]
    pub fn at(address: u64) -> Self {
        Self { address, file: 0 }
    }
}

/// Where a member is in its structure, by its index in `MEMBERS`.
#[inline(always)]
pub fn offset(member: usize) -> usize {
    kernel::global(&MEMBERS[member]) as usize
}

/// The running task.
#[inline(always)]
pub fn task() -> Walked {
    // SAFETY: takes no arguments.
    Walked::at(unsafe { bpf_get_current_task() })
}

/// The protocol half of the socket with this descriptor: what a call that did not fail was about. A table of files only
/// grows, so the descriptor is inside it; if another thread has closed it since, or put another file in its place, this
/// is that one. Anything that is not a socket does not point back to its file.
#[inline(always)]
pub fn socket(descriptor: u32) -> Option<Walked> {
    let files = pointer(task().address, member::TASK_FILES)?;
    let table = pointer(files, member::FILES_TABLE)?;
    let array = pointer(table, member::TABLE_FILES)?;
    let file = some(probe(array + u64::from(descriptor) * POINTER))?;
    let socket = pointer(file, member::FILE_SOCKET)?;
    if Walked::at(socket).read::<u64>(field::SOCKET_FILE) != file {
        return None;
    }
    Some(Walked {
        address: pointer(socket, member::SOCKET_SOCK)?,
        file,
    })
}

#[inline(always)]
fn pointer(structure: u64, member: usize) -> Option<u64> {
    some(probe(structure + offset(member) as u64))
}

#[inline(always)]
fn some(pointer: u64) -> Option<u64> {
    if pointer == 0 { None } else { Some(pointer) }
}

#[inline(always)]
fn probe<T: Copy>(from: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    let to = value.as_mut_ptr();
    // SAFETY: the value is on this stack and as long as told; the kernel checks `from`, and zeroes what it cannot read.
    unsafe {
        bpf_probe_read_kernel(to.cast(), size_of::<T>() as u32, from as *const _);
        value.assume_init()
    }
}
