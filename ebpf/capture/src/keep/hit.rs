//! A reply of a line, a value and a short end → a record made in the ring itself. It is what a hit gets.

use core::mem::size_of;

use membench_common::{Header, Part};

use crate::{
    maps::{self, Scratch},
    record::{bounded, read_user},
    response,
    single::Call,
    vector,
};

/// Longest line, with a key of some 75 bytes,
const LINE: u64 = 96;
/// and longest end that are kept so.
const END: u64 = 16;
/// `END` with its line end: behind a text value nothing else is as short, so that it need not be read.
const END_LINE: u64 = 5;
const PART: u64 = size_of::<Part>() as u64;
const ROOM: usize = (3 * PART + LINE + END) as usize;

#[repr(C)]
struct Record {
    header: Header,
    parts: [u8; ROOM],
}

/// Keeps line and end of such a reply, whose `count` iovecs are in the scratch space; gives back any other.
#[inline(always)]
pub fn keep(call: Call<'_>, scratch: *mut Scratch, count: u64) -> Option<Call<'_>> {
    let (line, value, end) = (
        vector::vector(scratch, 0),
        vector::vector(scratch, 1),
        vector::vector(scratch, 2),
    );
    let is_whole = line[1] + value[1] + end[1] == u64::from(call.header.call_length);
    if count != 3 || line[1] > LINE || value[1] == 0 || end[1] > END || !is_whole {
        return Some(call);
    }
    let Some(record) = maps::reserve::<Record>() else {
        call.lose();
        return None;
    };
    if !read(record, line, value[1], end) {
        maps::discard(record);
        return Some(call);
    }
    // SAFETY: reserved for this call.
    unsafe { (*record).header = call.complete(3, 0) };
    maps::submit(record);
    call.count();
    None
}

/// Fills in the parts; false if the line does not announce the value or something could not be read.
#[inline(always)]
fn read(record: *mut Record, line: [u64; 2], value: u64, end: [u64; 2]) -> bool {
    // SAFETY: as long as the three parts at their longest.
    let parts = unsafe { &raw mut (*record).parts }.cast::<u8>();
    let kept = parts.wrapping_add(PART as usize);
    if !read_user::<LINE>(kept, line[1], line[0])
        || response::announced::<LINE>(kept, line[1]) != value
    {
        return false;
    }
    let rest = kept.wrapping_add(bounded::<LINE>((line[1] + 7) & !7) as usize);
    let is_known = end[1] == END_LINE && response::is_text_value(kept);
    if !is_known && !read_user::<END>(rest.wrapping_add(2 * PART as usize), end[1], end[0]) {
        return false;
    }
    // SAFETY: inside the parts: the line's length is bounded.
    unsafe {
        parts.cast::<Part>().write(part(line[1], line[1]));
        rest.cast::<Part>().write(part(value, 0));
        let kept = if is_known { 0 } else { end[1] };
        rest.cast::<Part>().add(1).write(part(end[1], kept));
    }
    true
}

#[inline(always)]
fn part(length: u64, head: u64) -> Part {
    Part {
        length: length as u32,
        head: head as u16,
        tail: 0,
    }
}
