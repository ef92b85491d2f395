//! Parts of a call → records in the ring.

use core::{arch::asm, mem::size_of};

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use membench_common::{Header, Part, RECORD_PAYLOAD, RECORDS_PER_CALL, counter};

use crate::{
    maps::{self, Counters, Scratch},
    socket::Stream,
    vector::Walk,
};

const HEADER: u64 = size_of::<Header>() as u64;
const PART: u64 = size_of::<Part>() as u64;
const PAYLOAD: u64 = RECORD_PAYLOAD as u64;

/// How far a call's bytes have been put into records. It lives in the scratch space: there the verifier takes each
/// number as unknown, and so checks a loop's body once instead of every turn with that turn's numbers.
#[repr(C)]
pub struct Progress {
    /// Bytes of the call that are in no record yet.
    pub left: u64,
    /// Bytes of the payload in use; a multiple of 8.
    position: u64,
    /// Of the bytes this record stands for, those that could not be read.
    faulted: u64,
    records: u64,
    /// Where parts begin: what stands before is the same in every record.
    begin: u64,
    pub walk: Walk,
}

impl Progress {
    /// At the beginning of the next message of a call, which has so many bytes and iovecs.
    #[inline(always)]
    pub fn restart(&mut self, length: u64, vectors: u64) {
        self.left = length;
        self.position = self.begin;
        self.faulted = zero();
        self.records = zero();
        self.walk = Walk::begin();
        self.walk.count = vectors;
    }
}

/// A call whose bytes are being put into records.
#[derive(Clone, Copy)]
pub struct Composer {
    pub scratch: *mut Scratch,
    stream: *mut Stream,
    counters: Counters,
}

/// A contiguous buffer in user space, and how much of its ends to keep.
#[derive(Clone, Copy)]
pub struct Buffer {
    pub address: u64,
    pub length: u64,
    pub head: u64,
    pub tail: u64,
}

impl Composer {
    /// Begins a call's first record; `header` holds what all of them share.
    #[inline(always)]
    pub fn new(
        scratch: *mut Scratch,
        stream: *mut Stream,
        counters: Counters,
        header: Header,
    ) -> Self {
        Self::behind(0, scratch, stream, counters, header)
    }

    /// The same for records in which `begin` bytes, a multiple of 8, stand before the parts.
    #[inline(always)]
    pub fn behind(
        begin: u64,
        scratch: *mut Scratch,
        stream: *mut Stream,
        counters: Counters,
        header: Header,
    ) -> Self {
        let left = u64::from(header.call_length);
        // SAFETY: a map's value that only this program on this CPU uses.
        unsafe {
            (*scratch).header = header;
            (*scratch).progress = Progress {
                left,
                position: begin,
                faulted: zero(),
                records: zero(),
                begin,
                walk: Walk::begin(),
            };
        }
        Self {
            scratch,
            stream,
            counters,
        }
    }

    /// A call that another program has begun to put into records.
    #[inline(always)]
    pub fn again(scratch: *mut Scratch, stream: *mut Stream, counters: Counters) -> Self {
        Self {
            scratch,
            stream,
            counters,
        }
    }

    #[inline(always)]
    pub fn progress<'a>(self) -> &'a mut Progress {
        // SAFETY: a map's value that only this program on this CPU uses, one reference at a time.
        unsafe { &mut (*self.scratch).progress }
    }

    /// Bytes of the call that are in no record yet.
    #[inline(always)]
    pub fn left(self) -> u64 {
        self.progress().left
    }

    /// Kept bytes for which there is room in this record.
    #[inline(always)]
    pub fn room(self) -> u64 {
        PAYLOAD.saturating_sub(self.progress().position + PART)
    }

    /// Whether the call has used up its records.
    #[inline(always)]
    pub fn is_exhausted(self) -> bool {
        self.progress().records >= u64::from(RECORDS_PER_CALL)
    }

    /// Adds a part after those that are there, of which at most `HEAD` bytes of head are kept; returns a pointer to
    /// what was kept.
    #[inline(always)]
    pub fn add<const HEAD: u64, const TAIL: u64>(self, buffer: Buffer) -> *const u8 {
        let part = self.payload(self.progress().position);
        let kept = part.wrapping_add(PART as usize);
        let read =
            read_user::<HEAD>(kept, buffer.head, buffer.address) && self.add_tail::<TAIL>(buffer);
        self.describe(part, buffer, read);
        kept
    }

    #[inline(always)]
    fn add_tail<const TAIL: u64>(self, buffer: Buffer) -> bool {
        if TAIL == 0 || buffer.tail == 0 {
            return true;
        }
        let end = buffer.address + buffer.length - buffer.tail;
        read_user::<TAIL>(
            self.payload(self.progress().position + PART + buffer.head),
            buffer.tail,
            end,
        )
    }

    /// Adds a part of which nothing is kept.
    #[inline(always)]
    pub fn add_nothing(self, length: u64) {
        let part = self.payload(self.progress().position);
        self.describe(
            part,
            Buffer {
                address: 0,
                length,
                head: 0,
                tail: 0,
            },
            true,
        );
    }

    /// Makes one record of a whole buffer of at most `RECORD_PAYLOAD` bytes.
    #[inline(always)]
    pub fn emit_whole(self, address: u64, length: u64) {
        let part = self.payload(0);
        let read = read_user::<PAYLOAD>(part.wrapping_add(PART as usize), length, address);
        self.describe(
            part,
            Buffer {
                address,
                length,
                head: length,
                tail: 0,
            },
            read,
        );
        self.emit();
    }

    /// Writes the part's description. Of a buffer that could not be read nothing is kept.
    #[inline(always)]
    fn describe(self, part: *mut u8, buffer: Buffer, read: bool) {
        let Buffer {
            address: _,
            length,
            head,
            tail,
        } = buffer;
        let (head, tail) = if read { (head, tail) } else { (0, 0) };
        self.progress().faulted += if read { 0 } else { length };
        // SAFETY: inside the scratch space, which only this program on this CPU uses.
        unsafe {
            part.cast::<Part>().write(Part {
                length: length as u32,
                head: head as u16,
                tail: tail as u16,
            });
            (*self.scratch).header.parts += 1;
            (*self.scratch).header.length += length as u32;
        }
        self.progress().position += PART + ((head + tail + 7) & !7);
        self.progress().left -= length;
    }

    /// Puts the record into the ring and begins the next; what a full ring does not take is lost.
    #[inline(always)]
    pub fn emit(self) {
        // SAFETY: a map's values, used by one call of one socket at a time.
        let (scratch, stream) = unsafe { (&mut *self.scratch, &mut *self.stream) };
        let length = u64::from(scratch.header.length);
        let faults = if self.progress().faulted == 0 {
            0
        } else {
            1 << counter::FAULT
        };
        scratch.header.offset = stream.offset;
        scratch.header.lost = stream.lost | faults;
        if maps::output(
            self.scratch.cast(),
            HEADER + bounded::<{ PAYLOAD + PART }>(self.progress().position),
        ) {
            self.counters.add(counter::RECORDS, 1);
            if self.progress().faulted != 0 {
                self.counters.add(counter::FAULT, self.progress().faulted);
            }
            stream.offset += length;
            stream.lost = 0;
        } else {
            self.counters.add(counter::RECORDS_RING_FULL, 1);
            stream.lose(self.counters, counter::RING_FULL, length);
        }
        scratch.header.parts = zero() as u32;
        scratch.header.length = zero() as u32;
        self.progress().position = self.progress().begin;
        self.progress().faulted = zero();
        self.progress().records += 1;
    }

    /// Emits what is left in the scratch space, and counts the bytes of the call for which there was no part.
    #[inline(always)]
    pub fn finish(self) {
        if self.progress().position != self.progress().begin {
            self.emit();
        }
        if self.progress().left != 0 {
            let cause = if self.is_exhausted() {
                counter::RECORD_LIMIT
            } else {
                counter::FAULT
            };
            // SAFETY: a map's value.
            unsafe { (*self.stream).lose(self.counters, cause, self.progress().left) };
        }
    }

    /// The same where no more records may follow.
    #[inline(always)]
    pub fn abandon(self) {
        self.progress().records = u64::from(RECORDS_PER_CALL);
        self.finish();
    }

    #[inline(always)]
    fn payload(self, position: u64) -> *mut u8 {
        // SAFETY: the payload is longer than the bound.
        unsafe {
            (&raw mut (*self.scratch).payload)
                .cast::<u8>()
                .add(bounded::<PAYLOAD>(position) as usize)
        }
    }
}

/// Reads at most `LIMIT` bytes; false if they are not there.
#[inline(always)]
pub fn read_user<const LIMIT: u64>(to: *mut u8, size: u64, from: u64) -> bool {
    let size = bounded::<LIMIT>(size) as u32;
    // SAFETY: the verifier checks `size` against the memory behind `to`; `from` may be anything.
    unsafe { bpf_probe_read_user(to.cast(), size, from as *const _) == 0 }
}

/// 0, which the compiler cannot know: of zeroes beside each other that it does know it makes a call, to a function that
/// writes byte after byte.
#[inline(always)]
pub fn zero() -> u64 {
    let mut zero = 0_u64;
    // SAFETY: moves a register into itself.
    unsafe { asm!("{0} = {0}", inout(reg) zero, options(pure, nomem, nostack, preserves_flags)) };
    zero
}

/// The value, with a bound that the verifier sees: the compiler cannot know that it always holds, and so cannot remove
/// the comparison or make it elsewhere.
#[inline(always)]
pub fn bounded<const LIMIT: u64>(mut value: u64) -> u64 {
    // SAFETY: moves a register into itself. (No instruction at all would leave two lines for the next one, which the
    // kernel refuses.)
    unsafe { asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack, preserves_flags)) };
    if value > LIMIT { LIMIT } else { value }
}
