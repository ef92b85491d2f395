//! An array of iovecs in user space → parts.

use core::{ffi::c_void, mem::size_of};

use aya_ebpf::helpers::generated::bpf_loop;

use crate::{
    call::{Arguments, Shape},
    maps::{Scratch, VECTORS},
    record::{Composer, bounded, read_user, zero},
};

/// Where `struct msghdr` holds the array's address; its length follows.
const MESSAGE_VECTORS: u64 = 16;
/// Where an array begins that lies directly behind a `struct msghdr`, at a multiple of 16.
const MESSAGE: u64 = 64;
/// So many iovecs are read together with the message, on the chance that they do.
const NEAR: u64 = 4;
/// From the message's array to the end of the near iovecs.
const NEAR_BYTES: u64 = MESSAGE - MESSAGE_VECTORS + NEAR * VECTOR;
const VECTOR: u64 = size_of::<[u64; 2]>() as u64;

/// Where a call is in its array.
#[repr(C)]
pub struct Walk {
    index: u64,
    pub count: u64,
    /// Bytes of the current iovec that are in records.
    done: u64,
    /// Length of the value that the last part announced: if the next part has it, it is that value.
    pub value: u64,
}

/// One step; 1 to stop.
pub type Step = extern "C" fn(u64, *mut Composer) -> i64;

/// Takes at most so many steps over the `count` iovecs in the scratch space.
#[inline(always)]
pub fn walk(composer: Composer, count: u64, steps: u32, step: Step) {
    composer.progress().walk.count = count;
    let mut composer = composer;
    let context = &raw mut composer;
    // SAFETY: the verifier checks the callback, and that the context is on this stack.
    unsafe { bpf_loop(steps, step as *mut c_void, context.cast(), 0) };
    composer.finish();
}

/// Address and length of what is left of the current iovec, cut to what the call moved; `None` when it has no more.
#[inline(always)]
pub fn current(composer: Composer) -> Option<(u64, u64)> {
    let progress = composer.progress();
    let (walk, left) = (&progress.walk, progress.left);
    if walk.index >= walk.count || left == 0 {
        return None;
    }
    let [address, length] = vector(composer.scratch, walk.index);
    let length = length.wrapping_sub(walk.done);
    Some((
        address.wrapping_add(walk.done),
        if length > left { left } else { length },
    ))
}

impl Walk {
    /// At the array's beginning.
    #[inline(always)]
    pub fn begin() -> Self {
        Self {
            index: zero(),
            count: zero(),
            done: zero(),
            value: zero(),
        }
    }

    /// Goes to the next iovec.
    #[inline(always)]
    pub fn advance(&mut self) {
        self.index += 1;
        self.done = 0;
    }

    /// Stays at the current iovec, of which `length` bytes more are in records.
    #[inline(always)]
    pub fn advance_within(&mut self, length: u64) {
        self.done += length;
    }
}

/// Address and length of an iovec that was copied.
#[inline(always)]
pub fn vector(scratch: *mut Scratch, index: u64) -> [u64; 2] {
    let index = bounded::<{ VECTORS as u64 - 1 }>(index) as usize;
    // SAFETY: the index is bounded by the array's length.
    unsafe {
        (&raw const (*scratch).vectors)
            .cast::<[u64; 2]>()
            .add(index)
            .read()
    }
}

/// Makes this the first iovec.
#[inline(always)]
pub fn put_first(scratch: *mut Scratch, vector: [u64; 2]) {
    // SAFETY: the scratch space belongs to this program on this CPU.
    unsafe {
        (&raw mut (*scratch).vectors)
            .cast::<[u64; 2]>()
            .write(vector)
    };
}

/// Copies a message's array into the scratch space; returns how many iovecs there are, none if that faults.
#[inline(always)]
pub fn copy_message(scratch: *mut Scratch, address: u64) -> u64 {
    copy_found(scratch, address).unwrap_or(0)
}

/// Copies a call's array into the scratch space; returns how many iovecs there are, none if that faults.
#[inline(always)]
pub fn copy(scratch: *mut Scratch, arguments: Arguments) -> u64 {
    copy_array(scratch, arguments).unwrap_or(0)
}

#[inline(always)]
fn copy_array(scratch: *mut Scratch, arguments: Arguments) -> Option<u64> {
    let Arguments {
        shape,
        address,
        count,
        ..
    } = arguments;
    match shape {
        Shape::Buffer | Shape::Messages => None,
        Shape::Vectors => copy_vectors(scratch, address, count),
        Shape::Message => copy_found(scratch, address),
    }
}

#[inline(always)]
fn copy_vectors(scratch: *mut Scratch, address: u64, count: u64) -> Option<u64> {
    let count = bounded::<{ VECTORS as u64 }>(count);
    // SAFETY: the scratch space belongs to this program on this CPU.
    let to = unsafe { &raw mut (*scratch).vectors }.cast();
    read_user::<{ VECTORS as u64 * VECTOR }>(to, count * VECTOR, address).then_some(count)
}

/// One read is enough if the iovecs are few and where they are expected: the message says whether.
#[inline(always)]
fn copy_found(scratch: *mut Scratch, address: u64) -> Option<u64> {
    // SAFETY: the scratch space belongs to this program on this CPU.
    let to = unsafe { &raw mut (*scratch).message }.cast::<u64>();
    let from = address + MESSAGE_VECTORS;
    let is_near = read_user::<NEAR_BYTES>(to.cast(), NEAR_BYTES, from);
    if !is_near && !read_user::<VECTOR>(to.cast(), VECTOR, from) {
        return None;
    }
    // SAFETY: both are inside the scratch space, and were just written.
    let (vectors, count) = unsafe { (to.read_volatile(), to.add(1).read_volatile()) };
    if is_near && vectors == address + MESSAGE && count <= NEAR {
        return Some(count);
    }
    copy_vectors(scratch, vectors, count)
}
