//! One buffer of a reply → a part that keeps what its outcome needs.
//!
//! memcached sends a value in a buffer of its own, after the one with the line that announces it, or after a binary
//! header and its flags and key. Such a buffer keeps nothing. Anything else keeps its head, and if longer its tail: a rule that errs by keeping
//! more, so that a server which lays out replies differently costs time, not events.

use membench_common::{RESPONSE_PART, RESPONSE_TAIL};

use crate::record::{Buffer, Composer, bounded};

const HEAD: u64 = RESPONSE_PART as u64;
const TAIL: u64 = RESPONSE_TAIL as u64;

/// Most bytes of one buffer that are kept.
pub const MOST_KEPT: u64 = HEAD + TAIL;

const VALUE: u64 = u64::from_le_bytes(*b"VALUE \0\0");
const VALUE_MASK: u64 = 0xffff_ffff_ffff;
const META_VALUE: u64 = u64::from_le_bytes(*b"VA \0\0\0\0\0");
const META_VALUE_MASK: u64 = 0xff_ffff;
const BINARY_RESPONSE: u64 = 0x81;
const BINARY_HEADER: u64 = 24;
/// Decimal digits of the longest value sent in one buffer; longer ones are sent in chunks.
const DIGITS: u64 = 7;
const END_OF_LINE: u64 = 2;
/// One buffer before the value that a binary header announces: its extras, its key.
const BEFORE: u64 = 1 << 62;
/// `VA 0\r\n`.
const SHORTEST_HEADER: u64 = 6;

/// Adds a buffer, of which nothing is kept if it is the `value` announced before: by its length, and after the buffers
/// that come [`BEFORE`] it; returns the value still to come, or the one that it announces itself, or 0.
#[inline(always)]
pub fn add(composer: Composer, address: u64, length: u64, value: u64) -> u64 {
    if length == value {
        composer.add_nothing(length);
        return 0;
    }
    let head = if length > HEAD { HEAD } else { length };
    let tail = if length - head > TAIL {
        TAIL
    } else {
        length - head
    };
    let kept = composer.add::<HEAD, TAIL>(Buffer {
        address,
        length,
        head,
        tail,
    });
    if value >= BEFORE {
        return value - BEFORE;
    }
    announced::<HEAD>(kept, length)
}

/// Length of the buffer with the value that a buffer of at most `LIMIT` bytes announces, or 0.
#[inline(always)]
pub fn announced<const LIMIT: u64>(kept: *const u8, length: u64) -> u64 {
    if length < SHORTEST_HEADER || length > LIMIT {
        return 0;
    }
    if is_text_value(kept) {
        return last_number::<LIMIT>(kept, length) + END_OF_LINE;
    }
    let start = start(kept);
    if start & META_VALUE_MASK == META_VALUE {
        return meta_value::<LIMIT>(kept, length);
    }
    if start & 0xff == BINARY_RESPONSE && length >= BINARY_HEADER {
        return binary_value::<LIMIT>(kept, length);
    }
    0
}

/// Whether what is kept begins as the line before a value of the text protocol.
#[inline(always)]
pub fn is_text_value(kept: *const u8) -> bool {
    start(kept) & VALUE_MASK == VALUE
}

/// The first 8 bytes, of which a header's first 6 decide.
#[inline(always)]
fn start(kept: *const u8) -> u64 {
    // SAFETY: kept bytes are aligned to 8 and padded.
    unsafe { kept.cast::<u64>().read() }
}

/// The number that ends a line: a value's size, unless a cas value follows it.
#[inline(always)]
fn last_number<const LIMIT: u64>(kept: *const u8, length: u64) -> u64 {
    let (mut number, mut scale) = (0, 1);
    for index in 1..=DIGITS {
        let digit = byte::<LIMIT>(kept, length - END_OF_LINE - index).wrapping_sub(u64::from(b'0'));
        if digit > 9 {
            break;
        }
        number += digit * scale;
        scale *= 10;
    }
    number
}

/// `VA 5 f0\r\n` announces 5 bytes and an end of line, unless they are in the same buffer (a counter's new value is).
#[inline(always)]
fn meta_value<const LIMIT: u64>(kept: *const u8, length: u64) -> u64 {
    let mut number = 0;
    for index in 3..3 + DIGITS {
        let digit = byte::<LIMIT>(kept, index).wrapping_sub(u64::from(b'0'));
        if digit > 9 {
            break;
        }
        number = number * 10 + digit;
    }
    let value = number + END_OF_LINE;
    let is_inside = length > value && byte::<LIMIT>(kept, length - value - 1) == u64::from(b'\n');
    if is_inside { 0 } else { value }
}

/// What of a binary response's body is not in the same buffer: of a bare header the value, and what comes before it.
#[inline(always)]
fn binary_value<const LIMIT: u64>(kept: *const u8, length: u64) -> u64 {
    let body = byte::<LIMIT>(kept, 8) << 24
        | byte::<LIMIT>(kept, 9) << 16
        | byte::<LIMIT>(kept, 10) << 8
        | byte::<LIMIT>(kept, 11);
    if length != BINARY_HEADER {
        return (BINARY_HEADER + body).saturating_sub(length);
    }
    let key = byte::<LIMIT>(kept, 2) << 8 | byte::<LIMIT>(kept, 3);
    let extras = byte::<LIMIT>(kept, 4);
    let before = u64::from(key != 0) + u64::from(extras != 0);
    before * BEFORE + body.saturating_sub(key + extras)
}

#[inline(always)]
fn byte<const LIMIT: u64>(kept: *const u8, index: u64) -> u64 {
    // SAFETY: what was kept has room for as much as the bound.
    u64::from(unsafe { kept.add(bounded::<LIMIT>(index) as usize).read() })
}
