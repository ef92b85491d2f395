//! An array of iovecs in user space → a copy in the scratch memory, one iovec after the other.

use core::mem::offset_of;

use membench_bpf_lib::{
    abi::{IOVEC, IOVECS, MSGHDR_IOV},
    user::{bounded, read_user, zero},
};

use crate::{
    call::registers::{Arguments, Shape},
    scratch::{Draft, Walk},
};

const MOST: u64 = IOVECS as u64;
/// Offset from a `struct msghdr` to an array that directly follows it, at a multiple of 16.
const NEAR: u64 = 64;
/// Number of iovecs read speculatively along with the `msghdr`, in case they follow it directly.
const NEAR_COUNT: u64 = 4;
/// Bytes from `msg_iov` to the end of these iovecs.
const NEAR_BYTES: u64 = NEAR - MSGHDR_IOV + NEAR_COUNT * IOVEC;

impl Walk {
    /// Starts at the first iovec.
    #[inline(always)]
    pub fn new() -> Self {
        Self {
            index: zero(),
            count: zero(),
            done: zero(),
            value: zero(),
        }
    }

    /// Moves on to the next iovec.
    #[inline(always)]
    pub fn advance(&mut self) {
        self.index += 1;
        self.done = 0;
    }

    /// Stays at the current iovec, after another `length` bytes of it.
    #[inline(always)]
    pub fn advance_within(&mut self, length: u64) {
        self.done += length;
    }
}

/// Returns address and length of the rest of the current iovec, cut to what the call moved; `None` after the last one.
#[inline(always)]
pub fn current(draft: &Draft) -> Option<(u64, u64)> {
    let (walk, left) = (&draft.progress.walk, draft.progress.left);
    if walk.index >= walk.count || left == 0 {
        return None;
    }
    let [address, length] = vector(draft, walk.index);
    let length = length.wrapping_sub(walk.done);
    Some((
        address.wrapping_add(walk.done),
        if length > left { left } else { length },
    ))
}

/// Returns address and length of an iovec that was copied.
#[inline(always)]
pub fn vector(draft: &Draft, index: u64) -> [u64; 2] {
    let index = bounded::<{ MOST - 1 }>(index) as usize;
    // SAFETY: the index is bounded by the array's length.
    unsafe {
        (&raw const draft.vectors)
            .cast::<[u64; 2]>()
            .add(index)
            .read()
    }
}

/// Makes `vector` the first iovec.
#[inline(always)]
pub fn put_first(draft: &mut Draft, vector: [u64; 2]) {
    draft.vectors[0] = vector;
}

/// Copies the array of iovecs that a call was passed; returns their number, 0 if they could not be read.
#[inline(always)]
pub fn copy(draft: &mut Draft, arguments: Arguments) -> u64 {
    let Arguments {
        shape,
        address,
        count,
        ..
    } = arguments;
    let copied = match shape {
        Shape::Buffer | Shape::Messages => None,
        Shape::Vectors => copy_vectors(draft, address, count),
        Shape::Message => copy_message_vectors(draft, address),
    };
    copied.unwrap_or(0)
}

/// Copies the array of a `struct msghdr`; returns the number of iovecs, 0 if they could not be read.
#[inline(always)]
pub fn copy_message(draft: &mut Draft, address: u64) -> u64 {
    copy_message_vectors(draft, address).unwrap_or(0)
}

#[inline(always)]
fn copy_vectors(draft: &mut Draft, address: u64, count: u64) -> Option<u64> {
    let count = bounded::<MOST>(count);
    let to = (&raw mut draft.vectors).cast();
    read_user::<{ MOST * IOVEC }>(to, count * IOVEC, address).then_some(count)
}

/// Reads message and array at once if the iovecs are few and follow the message; the message itself tells.
#[inline(always)]
fn copy_message_vectors(draft: &mut Draft, address: u64) -> Option<u64> {
    // Derived from the whole draft: a read can span the message and the first iovecs.
    let to = (&raw mut *draft)
        .cast::<u8>()
        .wrapping_add(offset_of!(Draft, message))
        .cast::<u64>();
    let from = address + MSGHDR_IOV;
    let is_near = read_user::<NEAR_BYTES>(to.cast(), NEAR_BYTES, from);
    if !is_near && !read_user::<IOVEC>(to.cast(), IOVEC, from) {
        return None;
    }
    // SAFETY: both are inside the scratch memory, and were just written.
    let (vectors, count) = unsafe { (to.read_volatile(), to.add(1).read_volatile()) };
    if is_near && vectors == address + NEAR && count <= NEAR_COUNT {
        return Some(count);
    }
    copy_vectors(draft, vectors, count)
}
