//! Memory that a call's arguments point to → parts of its record.

use core::ptr::from_ref;

use aya_ebpf::helpers::generated::bpf_probe_read_user_str;
use membench_bpf_lib::user::{bounded, read_user};
use membench_common::trace::{
    DATA, NUMBERS, PAYLOAD, Part, READS, STRUCTURE, Socket, TEXT, VECTOR_DATA, VECTORS, read,
};

use crate::draft::Draft;

const PART: u64 = size_of::<Part>() as u64;
const LIMIT: u64 = PAYLOAD as u64;
const TABLE: u64 = (NUMBERS * READS) as u64;
/// Size of a `struct msghdr`.
const MESSAGE: u64 = 56;
/// Size of an iovec.
const VECTOR: u64 = 16;
/// Size of a `struct sockaddr_storage`.
const ADDRESS: u64 = 128;

/// Reads for each call, by its number.
#[unsafe(no_mangle)]
static CALL_READS: [[u32; READS]; NUMBERS] = [[0; READS]; NUMBERS];

/// Adds the parts of a call to its draft.
#[inline(always)]
pub fn read_all(draft: *mut Draft, number: u32) {
    let mut index = 0;
    while index < READS as u64 {
        let place = bounded::<{ TABLE - 1 }>(u64::from(number) * READS as u64 + index);
        // SAFETY: inside the table; volatile because the loader changes it.
        let word = unsafe {
            from_ref(&CALL_READS)
                .cast::<u32>()
                .add(place as usize)
                .read_volatile()
        };
        if word == 0 {
            return;
        }
        perform(draft, word);
        index += 1;
    }
}

/// Performs one read, as a word of the global `READS` describes it.
#[inline(always)]
fn perform(draft: *mut Draft, word: u32) {
    let (what, which, other) = (word & 0xff, word >> 8 & 0xf, word >> 12 & 0xf);
    let size = u64::from(word >> 16 & !read::OUT);
    // SAFETY: a draft that was taken.
    let result = unsafe { (&raw const (*draft).call.result).read_volatile() };
    let address = argument(draft, which);
    if address == 0 || word >> 16 & read::OUT != 0 && result < 0 {
        return;
    }
    match what {
        read::TEXT => text(draft, which, address),
        read::BYTES => {
            keep::<{ STRUCTURE as u64 }>(draft, read::BYTES, which, size, address);
        }
        read::ARRAY => {
            let count = if other == read::RESULT {
                result as u64
            } else {
                argument(draft, other)
            };
            let length = bounded::<{ STRUCTURE as u64 }>(count) * size;
            keep::<{ STRUCTURE as u64 }>(draft, read::ARRAY, which, length, address);
        }
        read::DATA => {
            if is_followed(draft) && result > 0 {
                keep::<{ DATA as u64 }>(draft, read::DATA, which, result as u64, address);
            }
        }
        read::VECTORS => vectors(draft, which, address, argument(draft, other), result),
        read::MESSAGE => message(draft, which, address, result),
        read::ADDRESS => {
            let length = bounded::<ADDRESS>(argument(draft, other));
            keep::<ADDRESS>(draft, read::ADDRESS, which, length, address);
        }
        read::ADDRESS_OUT => {
            let length = number(draft, argument(draft, other));
            if length != 0 {
                keep::<ADDRESS>(draft, read::ADDRESS, which, length, address);
            }
        }
        _ => {}
    }
}

/// Reads a `u32` of user space; 0 if that is not possible.
#[inline(always)]
fn number(draft: *mut Draft, address: u64) -> u64 {
    // SAFETY: a draft that was taken; volatile because the helper writes the word.
    unsafe {
        let word = &raw mut (*draft).word;
        word.write_volatile(0);
        read_user::<4>(word.cast(), 4, address);
        word.read_volatile()
    }
}

/// Returns an argument by its index, at most 5.
#[inline(always)]
fn argument(draft: *mut Draft, index: u32) -> u64 {
    let index = bounded::<5>(u64::from(index)) as usize;
    // SAFETY: the index is inside the array.
    unsafe {
        (&raw const (*draft).call.arguments)
            .cast::<u64>()
            .add(index)
            .read_volatile()
    }
}

#[inline(always)]
fn is_followed(draft: *mut Draft) -> bool {
    // SAFETY: a draft that was taken.
    unsafe { (&raw const (*draft).followed).read_volatile() != 0 }
}

/// Keeps at most `MOST` of `length` bytes at `address`. Returns where they are in the payload; `None` if they cannot be
/// read or do not fit.
#[inline(always)]
fn keep<const MOST: u64>(
    draft: *mut Draft,
    what: u32,
    which: u32,
    length: u64,
    address: u64,
) -> Option<*mut u8> {
    let place = room::<MOST>(draft)?;
    let kept = bounded::<MOST>(length);
    // SAFETY: `room` leaves space for a part and `MOST` bytes.
    let bytes = unsafe { place.add(PART as usize) };
    if !read_user::<MOST>(bytes, kept, address) {
        return None;
    }
    close(draft, place, what, which, length, kept);
    Some(bytes)
}

/// Returns where the next part goes; `None` if it and `most` bytes do not fit.
#[inline(always)]
fn room<const MOST: u64>(draft: *mut Draft) -> Option<*mut u8> {
    // SAFETY: a draft that was taken.
    let position = unsafe { (&raw const (*draft).position).read_volatile() };
    if position + PART + MOST > LIMIT {
        return None;
    }
    let position = bounded::<{ LIMIT }>(position) as usize;
    // SAFETY: the payload has room behind its limit for the largest part.
    Some(unsafe { (&raw mut (*draft).payload).cast::<u8>().add(position) })
}

#[inline(always)]
fn close(draft: *mut Draft, place: *mut u8, what: u32, which: u32, length: u64, kept: u64) {
    // SAFETY: `room` has checked the place; parts begin at multiples of 8.
    unsafe {
        let part = place.cast::<u32>();
        part.write_volatile(what | which << 16);
        part.add(1).write_volatile(length as u32);
        part.add(2).write_volatile(kept as u32);
        part.add(3).write_volatile(0);
        let position = &raw mut (*draft).position;
        position.write_volatile(position.read_volatile() + PART + (kept + 7 & !7));
        let parts = &raw mut (*draft).call.parts;
        parts.write_volatile(parts.read_volatile() + 1);
    }
}

#[inline(always)]
fn text(draft: *mut Draft, which: u32, address: u64) {
    let Some(place) = room::<{ TEXT as u64 }>(draft) else {
        return;
    };
    // SAFETY: `room` leaves space for a part and the text.
    let length = unsafe {
        let bytes = place.add(PART as usize);
        bpf_probe_read_user_str(bytes.cast(), TEXT as u32, address as *const _)
    };
    if length > 0 {
        let length = bounded::<{ TEXT as u64 }>(length as u64);
        close(draft, place, read::TEXT, which, length, length);
    }
}

/// Keeps iovecs and, on a socket of the ports, the bytes in them.
#[inline(always)]
fn vectors(draft: *mut Draft, which: u32, address: u64, count: u64, result: i64) {
    let length = bounded::<1024>(count) * VECTOR;
    let kept = bounded::<{ VECTORS as u64 * VECTOR }>(length);
    // SAFETY: the array of the draft has that size.
    unsafe {
        let to = (&raw mut (*draft).vectors).cast::<u8>();
        if !read_user::<{ VECTORS as u64 * VECTOR }>(to, kept, address) {
            return;
        }
        (&raw mut (*draft).left).write_volatile(if result > 0 { result as u64 } else { 0 });
    }
    keep::<{ VECTORS as u64 * VECTOR }>(draft, read::VECTORS, which, length, address);
    if !is_followed(draft) {
        return;
    }
    let mut index = 0;
    while index < VECTORS as u64 {
        if index >= count || !vector(draft, which, index) {
            return;
        }
        index += 1;
    }
}

/// Keeps the bytes of one iovec; returns false if the call moved none beyond it.
#[inline(always)]
fn vector(draft: *mut Draft, which: u32, index: u64) -> bool {
    let index = bounded::<{ VECTORS as u64 - 1 }>(index) as usize;
    // SAFETY: the index is inside the array.
    let ([base, length], left) = unsafe {
        let vector = (&raw const (*draft).vectors).cast::<u64>().add(index * 2);
        let left = (&raw const (*draft).left).read_volatile();
        (
            [vector.read_volatile(), vector.add(1).read_volatile()],
            left,
        )
    };
    let length = if length < left { length } else { left };
    if length > 0 {
        keep::<{ VECTOR_DATA as u64 }>(draft, read::DATA, which, length, base);
    }
    // SAFETY: a draft that was taken.
    unsafe { (&raw mut (*draft).left).write_volatile(left - length) };
    left > length
}

#[inline(always)]
fn message(draft: *mut Draft, which: u32, address: u64, result: i64) {
    let Some(bytes) = keep::<MESSAGE>(draft, read::MESSAGE, which, MESSAGE, address) else {
        return;
    };
    // SAFETY: the message's bytes are in the payload, at a multiple of 8.
    let (name, name_length, vector, count) = unsafe {
        let words = bytes.cast::<u64>();
        (
            words.read_volatile(),
            words.add(1).read_volatile() as u32,
            words.add(2).read_volatile(),
            words.add(3).read_volatile(),
        )
    };
    if name != 0 && name_length != 0 && result >= 0 {
        keep::<ADDRESS>(draft, read::ADDRESS, which, u64::from(name_length), name);
    }
    vectors(draft, which, vector, count, result);
}

/// Adds a socket's identity.
#[inline(always)]
pub fn socket(draft: *mut Draft, which: u32, socket: *const Socket) {
    const WORDS: usize = size_of::<Socket>() / 8;
    let Some(place) = room::<{ size_of::<Socket>() as u64 }>(draft) else {
        return;
    };
    let mut index = 0;
    while index < WORDS {
        // SAFETY: both have the size of a socket, and begin at multiples of 8.
        unsafe {
            let to = place.add(PART as usize).cast::<u64>().add(index);
            to.write_volatile(socket.cast::<u64>().add(index).read_volatile());
        }
        index += 1;
    }
    let size = size_of::<Socket>() as u64;
    close(draft, place, read::SOCKET, which, size, size);
}

/// Adds bytes of the kernel.
#[inline(always)]
pub fn kernel<const SIZE: u64>(draft: *mut Draft, what: u32, address: u64) {
    let Some(place) = room::<SIZE>(draft) else {
        return;
    };
    // SAFETY: `room` leaves space for a part and `SIZE` bytes; the kernel checks the address.
    let failed = unsafe {
        let to = place.add(PART as usize).cast();
        aya_ebpf::helpers::generated::bpf_probe_read_kernel(to, SIZE as u32, address as *const _)
    };
    if failed == 0 {
        close(draft, place, what, 0, SIZE, SIZE);
    }
}
