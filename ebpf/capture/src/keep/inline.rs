//! A call with one part → a record made in the ring itself, without scratch space.

use membench_common::{Header, Part, counter};

use crate::{
    maps::{self, Counters},
    record::read_user,
    socket::Stream,
};

/// Bytes kept in the smaller of the two sizes of record, which takes 128 bytes of the ring: most requests fit,
pub const SHORT: usize = 64;
/// and in the larger one, which takes 512.
pub const LONG: usize = 448;

const SHORT_LIMIT: u64 = SHORT as u64;
const LONG_LIMIT: u64 = LONG as u64;

/// All of a record. The ring's own header is 8 bytes.
#[repr(C)]
struct Single<const ROOM: usize> {
    header: Header,
    part: Part,
    kept: [u8; ROOM],
}

/// A call that becomes one record.
pub struct Call<'a> {
    pub stream: &'a mut Stream,
    pub counters: Counters,
    /// What is known but for the stream's own numbers.
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

    /// Keeps nothing but the length.
    #[inline(always)]
    pub fn keep_length(self) {
        let Some(record) = maps::reserve::<Single<0>>() else {
            return self.lose();
        };
        self.submit(record, 0, 0);
    }

    #[inline(always)]
    fn keep<const ROOM: usize, const LIMIT: u64>(self, address: u64) {
        let Some(record) = maps::reserve::<Single<ROOM>>() else {
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
        maps::submit(record);
        self.count();
    }

    /// The header of a record with all of the call.
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

    /// Counts the call's record, which is in the ring.
    #[inline(always)]
    pub fn count(self) {
        self.counters.add(counter::RECORDS, 1);
        self.stream.offset += u64::from(self.header.call_length);
        self.stream.lost = 0;
    }

    /// Counts a record for which the ring had no room.
    #[inline(always)]
    pub fn lose(self) {
        self.counters.add(counter::RECORDS_RING_FULL, 1);
        let length = u64::from(self.header.call_length);
        self.stream.lose(self.counters, counter::RING_FULL, length);
    }
}
