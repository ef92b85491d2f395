//! Parts of a call → records in the ring.

use core::{mem::size_of, ptr::from_ref};

use membench_bpf_lib::{
    counters::Counters,
    ring,
    user::{bounded, read_user, zero},
};
use membench_common::{Header, Part, RECORD_PAYLOAD, RECORDS_PER_CALL, counter};

use crate::{
    scratch::{Draft, Progress, Walk},
    stream::state::Stream,
};

const HEADER: u64 = size_of::<Header>() as u64;
const PART: u64 = size_of::<Part>() as u64;
const PAYLOAD: u64 = RECORD_PAYLOAD as u64;

impl Progress {
    /// Creates the progress of a call of `length` bytes whose records have `begin` bytes before their parts.
    #[inline(always)]
    fn new(length: u64, begin: u64) -> Self {
        Self {
            left: length,
            position: begin,
            faulted: zero(),
            records: zero(),
            begin,
            walk: Walk::new(),
        }
    }

    /// Starts the next message of a call, which has `length` bytes in `vectors` iovecs.
    #[inline(always)]
    pub fn restart(&mut self, length: u64, vectors: u64) {
        self.left = length;
        self.position = self.begin;
        self.faulted = zero();
        self.records = zero();
        self.walk = Walk::new();
        self.walk.count = vectors;
    }
}

/// A call whose bytes are being put into records.
pub struct Composer<'a> {
    pub draft: &'a mut Draft,
    stream: &'a mut Stream,
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

/// Bytes that were kept, in a record. They are aligned to 8 and padded.
#[derive(Clone, Copy)]
pub struct Kept(*const u8);

impl Kept {
    /// Wraps a pointer to kept bytes.
    #[inline(always)]
    pub fn new(bytes: *const u8) -> Self {
        Self(bytes)
    }

    /// Returns the first 8 bytes.
    #[inline(always)]
    pub fn start(self) -> u64 {
        // SAFETY: kept bytes are aligned to 8 and padded.
        unsafe { self.0.cast::<u64>().read() }
    }

    /// Returns the byte at an index of at most `LIMIT`.
    #[inline(always)]
    pub fn byte<const LIMIT: u64>(self, index: u64) -> u64 {
        // SAFETY: the verifier checks that the record has room for as much as the bound.
        u64::from(unsafe { self.0.add(bounded::<LIMIT>(index) as usize).read() })
    }
}

impl<'a> Composer<'a> {
    /// Starts a call's first record; `header` holds what all its records share.
    #[inline(always)]
    pub fn new(
        draft: &'a mut Draft,
        stream: &'a mut Stream,
        counters: Counters,
        header: Header,
    ) -> Self {
        Self::with_prefix(0, draft, stream, counters, header)
    }

    /// Starts a call's first record, with `prefix` bytes, a multiple of 8, before the parts of each record.
    #[inline(always)]
    pub fn with_prefix(
        prefix: u64,
        draft: &'a mut Draft,
        stream: &'a mut Stream,
        counters: Counters,
        header: Header,
    ) -> Self {
        draft.header = header;
        draft.progress = Progress::new(u64::from(header.call_length), prefix);
        Self::resume(draft, stream, counters)
    }

    /// Continues a call that another program has begun to put into records.
    #[inline(always)]
    pub fn resume(draft: &'a mut Draft, stream: &'a mut Stream, counters: Counters) -> Self {
        Self {
            draft,
            stream,
            counters,
        }
    }

    /// Borrows the composer for a shorter time, as a value that LLVM keeps in registers.
    #[inline(always)]
    pub fn reborrow(&mut self) -> Composer<'_> {
        Composer {
            draft: self.draft,
            stream: self.stream,
            counters: self.counters,
        }
    }

    /// Returns how many bytes of the call are in no record yet.
    #[inline(always)]
    pub fn left(&self) -> u64 {
        self.draft.progress.left
    }

    /// Returns how many more bytes the current record can keep.
    #[inline(always)]
    pub fn room(&self) -> u64 {
        PAYLOAD.saturating_sub(self.draft.progress.position + PART)
    }

    /// True if the call has used up its records.
    #[inline(always)]
    pub fn is_exhausted(&self) -> bool {
        self.draft.progress.records >= u64::from(RECORDS_PER_CALL)
    }

    /// Appends a buffer as a part with at most `HEAD` and `TAIL` bytes of its ends; returns what was kept.
    #[inline(always)]
    pub fn add<const HEAD: u64, const TAIL: u64>(&mut self, buffer: Buffer) -> Kept {
        let part = self.payload(self.draft.progress.position);
        let kept = part.wrapping_add(PART as usize);
        let read =
            read_user::<HEAD>(kept, buffer.head, buffer.address) && self.add_tail::<TAIL>(buffer);
        self.describe(part, buffer, read);
        Kept::new(kept)
    }

    #[inline(always)]
    fn add_tail<const TAIL: u64>(&mut self, buffer: Buffer) -> bool {
        if TAIL == 0 || buffer.tail == 0 {
            return true;
        }
        let end = buffer.address + buffer.length - buffer.tail;
        read_user::<TAIL>(
            self.payload(self.draft.progress.position + PART + buffer.head),
            buffer.tail,
            end,
        )
    }

    /// Appends a part without kept bytes.
    #[inline(always)]
    pub fn add_nothing(&mut self, length: u64) {
        let part = self.payload(self.draft.progress.position);
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

    /// Puts a whole buffer of at most `RECORD_PAYLOAD` bytes into a record of its own.
    #[inline(always)]
    pub fn emit_whole(&mut self, address: u64, length: u64) {
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

    /// Writes a part's description. Nothing is kept of a buffer that could not be read.
    #[inline(always)]
    fn describe(&mut self, part: *mut u8, buffer: Buffer, read: bool) {
        let Buffer {
            address: _,
            length,
            head,
            tail,
        } = buffer;
        let (head, tail) = if read { (head, tail) } else { (0, 0) };
        self.draft.progress.faulted += if read { 0 } else { length };
        // SAFETY: inside the payload.
        unsafe {
            part.cast::<Part>().write(Part {
                length: length as u32,
                head: head as u16,
                tail: tail as u16,
            });
        }
        self.draft.header.parts += 1;
        self.draft.header.length += length as u32;
        self.draft.progress.position += PART + ((head + tail + 7) & !7);
        self.draft.progress.left -= length;
    }

    /// Puts the record into the ring and starts the next one. What a full ring does not take is lost.
    #[inline(always)]
    pub fn emit(&mut self) {
        let length = u64::from(self.draft.header.length);
        let faults = if self.draft.progress.faulted == 0 {
            0
        } else {
            1 << counter::FAULT
        };
        self.draft.header.offset = self.stream.offset;
        self.draft.header.lost = self.stream.lost | faults;
        let position = bounded::<{ PAYLOAD + PART }>(self.draft.progress.position);
        if ring::output(from_ref(&*self.draft).cast(), HEADER + position) {
            self.counters.add(counter::RECORDS, 1);
            if self.draft.progress.faulted != 0 {
                self.counters
                    .add(counter::FAULT, self.draft.progress.faulted);
            }
            self.stream.offset += length;
            self.stream.lost = 0;
        } else {
            self.counters.add(counter::RECORDS_RING_FULL, 1);
            self.stream.lose(self.counters, counter::RING_FULL, length);
        }
        self.draft.header.parts = zero() as u32;
        self.draft.header.length = zero() as u32;
        self.draft.progress.position = self.draft.progress.begin;
        self.draft.progress.faulted = zero();
        self.draft.progress.records += 1;
    }

    /// Emits the last record, and counts the bytes of the call that are in no part.
    #[inline(always)]
    pub fn finish(&mut self) {
        if self.draft.progress.position != self.draft.progress.begin {
            self.emit();
        }
        if self.left() != 0 {
            let cause = if self.is_exhausted() {
                counter::RECORD_LIMIT
            } else {
                counter::FAULT
            };
            let left = self.left();
            self.stream.lose(self.counters, cause, left);
        }
    }

    /// Emits the last record where no more may follow, and counts the rest of the call as beyond the limit.
    #[inline(always)]
    pub fn abandon(&mut self) {
        self.draft.progress.records = u64::from(RECORDS_PER_CALL);
        self.finish();
    }

    #[inline(always)]
    fn payload(&mut self, position: u64) -> *mut u8 {
        // SAFETY: the payload is longer than the bound.
        unsafe {
            (&raw mut self.draft.payload)
                .cast::<u8>()
                .add(bounded::<PAYLOAD>(position) as usize)
        }
    }
}
