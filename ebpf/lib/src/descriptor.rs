//! A file descriptor of the current task → its socket, by the pointers that the kernel itself follows.

use core::mem::size_of;

use membench_common::{field, member};

use crate::kernel::{Probed, Sock, pointer, pointer_at};

const POINTER: u64 = size_of::<u64>() as u64;

/// Resolves a descriptor to its `struct sock`, or `None` if it is not a socket. The call succeeded, so the descriptor
/// was valid, and descriptor tables never shrink. If another thread has replaced the file meanwhile, this returns the
/// new one. Only a `struct socket` points back at its own `struct file`; that is the check.
#[inline(always)]
pub fn socket(descriptor: u32) -> Option<Probed> {
    let files = pointer(Probed::task().address, member::TASK_FILES)?;
    let table = pointer(files, member::FILES_TABLE)?;
    let array = pointer(table, member::TABLE_FILES)?;
    let file = pointer_at(array + u64::from(descriptor) * POINTER)?;
    let socket = pointer(file, member::FILE_SOCKET)?;
    if Probed::new(socket).read::<u64>(field::SOCKET_FILE) != file {
        return None;
    }
    Some(Probed::with_file(
        pointer(socket, member::SOCKET_SOCK)?,
        file,
    ))
}
