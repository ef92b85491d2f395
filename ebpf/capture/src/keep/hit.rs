//! A response of a line, a value and a short end, as a hit gets → a record composed in the ring itself.

use core::mem::size_of;

use membench_bpf_lib::{
    ring,
    user::{bounded, read_user},
};
use membench_common::{Header, Part};

use crate::{
    keep::{composer::Kept, inline::Call, response},
    scratch::Draft,
};

/// Longest line that such a record keeps; the key has up to about 75 bytes.
const LINE: u64 = 96;
/// Longest end that such a record keeps.
const END: u64 = 16;
/// Length of `END\r\n`. Nothing else that follows a text value is as short, so it need not be read.
const END_LINE: u64 = 5;
const PART: u64 = size_of::<Part>() as u64;
const ROOM: usize = (3 * PART + LINE + END) as usize;

#[repr(C)]
struct Record {
    header: Header,
    parts: [u8; ROOM],
}

/// Keeps line and end of such a response, whose `count` iovecs are in the draft. Gives any other call back.
#[inline(always)]
pub fn keep<'a>(call: Call<'a>, draft: &Draft, count: u64) -> Option<Call<'a>> {
    let (line, value, end) = (draft.vectors[0], draft.vectors[1], draft.vectors[2]);
    let is_whole = line[1] + value[1] + end[1] == u64::from(call.header.call_length);
    if count != 3 || line[1] > LINE || value[1] == 0 || end[1] > END || !is_whole {
        return Some(call);
    }
    let Some(record) = ring::reserve::<Record>() else {
        call.lose();
        return None;
    };
    if !read(record, line, value[1], end) {
        ring::discard(record);
        return Some(call);
    }
    // SAFETY: reserved for this call.
    unsafe { (*record).header = call.complete(3, 0) };
    ring::submit(record);
    call.count();
    None
}

/// Fills in the parts; returns false if the line does not announce the value or something could not be read.
#[inline(always)]
fn read(record: *mut Record, line: [u64; 2], value: u64, end: [u64; 2]) -> bool {
    // SAFETY: the reserved record has room for the three parts at their longest.
    let parts = unsafe { &raw mut (*record).parts }.cast::<u8>();
    let kept = parts.wrapping_add(PART as usize);
    if !read_user::<LINE>(kept, line[1], line[0])
        || response::announced::<LINE>(Kept::new(kept), line[1]) != value
    {
        return false;
    }
    let rest = kept.wrapping_add(bounded::<LINE>((line[1] + 7) & !7) as usize);
    let is_known = end[1] == END_LINE && response::is_text_value(Kept::new(kept));
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
