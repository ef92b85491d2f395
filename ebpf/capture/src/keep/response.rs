//! One buffer of a response → a part that keeps what the outcome needs.
//!
//! memcached sends a value in a buffer of its own, after the buffer with the line that announces it, or after a binary
//! header and its flags and key. Nothing is kept of that buffer. Any other buffer keeps its head, and a longer one
//! its tail too. The rule errs by keeping more: a server that lays out responses differently costs time, not events.

use membench_common::{RESPONSE_PART, RESPONSE_TAIL};

use crate::keep::composer::{Buffer, Composer, Kept};

const HEAD: u64 = RESPONSE_PART as u64;
const TAIL: u64 = RESPONSE_TAIL as u64;

/// Most bytes kept of one buffer.
pub const MOST_KEPT: u64 = HEAD + TAIL;

const VALUE: u64 = u64::from_le_bytes(*b"VALUE \0\0");
const VALUE_MASK: u64 = 0xffff_ffff_ffff;
const META_VALUE: u64 = u64::from_le_bytes(*b"VA \0\0\0\0\0");
const META_VALUE_MASK: u64 = 0xff_ffff;
const BINARY_RESPONSE: u64 = 0x81;
const BINARY_HEADER: u64 = 24;
/// Decimal digits of the longest value sent in one buffer. Longer values are sent in chunks.
const DIGITS: u64 = 7;
const END_OF_LINE: u64 = 2;
/// Added to an announced length for each buffer that precedes the value: a binary response's extras, its key.
const BEFORE: u64 = 1 << 62;
/// Length of `VA 0\r\n`.
const SHORTEST_HEADER: u64 = 6;

/// Appends a buffer as a part. `value` is what earlier buffers announced: the value's length, plus [`BEFORE`] for each
/// buffer that precedes it. Nothing is kept of a buffer of that length. Returns what is announced for the next buffer,
/// 0 if nothing is.
#[inline(always)]
pub fn add(composer: &mut Composer<'_>, address: u64, length: u64, value: u64) -> u64 {
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

/// Returns the length of the value's buffer that a buffer of at most `LIMIT` bytes announces, 0 if it announces none.
#[inline(always)]
pub fn announced<const LIMIT: u64>(kept: Kept, length: u64) -> u64 {
    if length < SHORTEST_HEADER || length > LIMIT {
        return 0;
    }
    if is_text_value(kept) {
        return last_number::<LIMIT>(kept, length) + END_OF_LINE;
    }
    let start = kept.start();
    if start & META_VALUE_MASK == META_VALUE {
        return meta_value::<LIMIT>(kept, length);
    }
    if start & 0xff == BINARY_RESPONSE && length >= BINARY_HEADER {
        return binary_value::<LIMIT>(kept, length);
    }
    0
}

/// True if the kept bytes begin like the line before a value of the text protocol.
#[inline(always)]
pub fn is_text_value(kept: Kept) -> bool {
    kept.start() & VALUE_MASK == VALUE
}

/// Returns the number that ends a line: the value's size, or the cas unique if the response has one.
#[inline(always)]
fn last_number<const LIMIT: u64>(kept: Kept, length: u64) -> u64 {
    let (mut number, mut scale) = (0, 1);
    for index in 1..=DIGITS {
        let digit = kept
            .byte::<LIMIT>(length - END_OF_LINE - index)
            .wrapping_sub(u64::from(b'0'));
        if digit > 9 {
            break;
        }
        number += digit * scale;
        scale *= 10;
    }
    number
}

/// Returns the length that a line like `VA 5 f0\r\n` announces: 5 bytes and an end of line; 0 if they are in the same
/// buffer, as a counter's new value is.
#[inline(always)]
fn meta_value<const LIMIT: u64>(kept: Kept, length: u64) -> u64 {
    let mut number = 0;
    for index in 3..3 + DIGITS {
        let digit = kept.byte::<LIMIT>(index).wrapping_sub(u64::from(b'0'));
        if digit > 9 {
            break;
        }
        number = number * 10 + digit;
    }
    let value = number + END_OF_LINE;
    let is_inside = length > value && kept.byte::<LIMIT>(length - value - 1) == u64::from(b'\n');
    if is_inside { 0 } else { value }
}

/// Returns how much of a binary response's body is in other buffers. For a bare header that is the value, plus
/// [`BEFORE`] for extras and key.
#[inline(always)]
fn binary_value<const LIMIT: u64>(kept: Kept, length: u64) -> u64 {
    let body = kept.byte::<LIMIT>(8) << 24
        | kept.byte::<LIMIT>(9) << 16
        | kept.byte::<LIMIT>(10) << 8
        | kept.byte::<LIMIT>(11);
    if length != BINARY_HEADER {
        return (BINARY_HEADER + body).saturating_sub(length);
    }
    let key = kept.byte::<LIMIT>(2) << 8 | kept.byte::<LIMIT>(3);
    let extras = kept.byte::<LIMIT>(4);
    let before = u64::from(key != 0) + u64::from(extras != 0);
    before * BEFORE + body.saturating_sub(key + extras)
}
