//! A call with one part → a record composed in the ring itself, without scratch memory.

use membench_bpf_lib::{counters::Counters, ring, user::read_user};
use membench_common::{Header, Part, counter};

use crate::stream::state::Stream;

/// Bytes kept in a short record, which takes 128 bytes of the ring. Most requests fit.
pub const SHORT: usize = 64;
/// Bytes kept in a long record, which takes 512 bytes of the ring.
pub const LONG: usize = 448;

const SHORT_LIMIT: u64 = SHORT as u64;
const LONG_LIMIT: u64 = LONG as u64;

/// A whole record. The ring adds a header of 8 bytes.
#[repr(C)]
struct Single<const ROOM: usize> {
    header: Header,
    part: Part,
    kept: [u8; ROOM],
}

/// A call that can become one record.
pub struct Call<'a> {
    pub stream: &'a mut Stream,
    pub counters: Counters,
    /// The record's header, without the stream's own numbers.
    pub header: Header,
}

impl Call<'_> {
    /// Keeps all of a buffer of at most [`SHORT`] bytes.
    #[inline(always)]
    pub fn keep_short(self, address: u64) {
        self.keep::<SHORT, SHORT_LIMIT>(address);
    }

    /// Keeps all of a buffer of at most [`LONG`] bytes.
    #[inline(always)]
    pub fn keep_long(self, address: u64) {
        self.keep::<LONG, LONG_LIMIT>(address);
    }

    /// Keeps only the length.
    #[inline(always)]
    pub fn keep_length(self) {
        let Some(record) = ring::reserve::<Single<0>>() else {
            return self.lose();
        };
        self.submit(record, 0, 0);
    }

    #[inline(always)]
    fn keep<const ROOM: usize, const LIMIT: u64>(self, address: u64) {
        let Some(record) = ring::reserve::<Single<ROOM>>() else {
            return self.lose();
        };
        let length = self.header.call_length;
        // SAFETY: reserved for this call.
        let kept = unsafe { &raw mut (*record).kept }.cast();
        if read_user::<LIMIT>(kept, u64::from(length), address) {
            self.submit(record, length, 0);
        } else {
            self.counters.add(counter::FAULT, u64::from(length));
            self.submit(record, 0, 1 << counter::FAULT);
        }
    }

    #[inline(always)]
    fn submit<const ROOM: usize>(self, record: *mut Single<ROOM>, head: u32, lost: u32) {
        // SAFETY: reserved for this call.
        unsafe {
            (*record).header = self.complete(1, lost);
            (*record).part = Part {
                length: self.header.call_length,
                head: head as u16,
                tail: 0,
            };
        }
        ring::submit(record);
        self.count();
    }

    /// Returns the header of a record that holds the whole call.
    #[inline(always)]
    pub fn complete(&self, parts: u32, lost: u32) -> Header {
        Header {
            offset: self.stream.offset,
            length: self.header.call_length,
            parts,
            lost: self.stream.lost | lost,
            ..self.header
        }
    }

    /// Counts the call's record, which is now in the ring.
    #[inline(always)]
    pub fn count(self) {
        self.counters.add(counter::RECORDS, 1);
        self.stream.offset += u64::from(self.header.call_length);
        self.stream.lost = 0;
    }

    /// Counts a record that a full ring did not take.
    #[inline(always)]
    pub fn lose(self) {
        self.counters.add(counter::RECORDS_RING_FULL, 1);
        let length = u64::from(self.header.call_length);
        self.stream.lose(self.counters, counter::RING_FULL, length);
    }
}
