//! The rings that the kernel programs write to → their records, in the order in which they were made.

use std::mem;
use std::os::fd::AsFd;

use aya::Ebpf;
use aya::maps::{ArrayOfMaps, Map, MapData, RingBuf};
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF;
use aya_obj::maps;
use membench_common::RECORD_PAYLOAD;
use zerocopy::FromBytes;

use crate::bpf::failure;
use crate::bpf::merge::{Look, Merge};
use crate::recorder::thread::ratio;
use crate::sys::Words;
use crate::{Error, KernelError, Result, clock};

/// Most rings: beyond, one thread spends its time looking.
const MOST: usize = 64;
/// A ring holds at least this many of the largest records.
const LARGEST_RECORDS: u64 = 4;
/// Largest ring, bytes.
const LARGEST: u64 = 1 << 31;

const MAP: &str = "rings";

/// All rings of a capture.
pub(crate) struct Rings {
    all: Vec<Ring>,
    /// The ring of each possible CPU.
    of_cpus: Vec<usize>,
    merge: Merge,
    /// How full the fullest was at the last sweep, 0…1.
    fill: f64,
}

/// How many rings there are, and how large they are together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rings: usize,
    /// Of each, bytes.
    each: u32,
}

impl Size {
    /// Divides so many bytes among the rings that are wanted, by default one a CPU that is online, which each CPU of
    /// them can use. The kernel takes powers of two.
    pub(crate) fn of(wanted: u32, rings: Option<u32>, online: usize) -> Self {
        let most = online.clamp(1, MOST);
        let rings = rings.map_or(most, |rings| (rings as usize).clamp(1, most));
        let least = LARGEST_RECORDS * RECORD_PAYLOAD as u64 + 1;
        let each = u64::from(wanted) / rings as u64;
        let each = each.max(least).next_power_of_two().min(LARGEST);
        Self {
            rings,
            each: u32::try_from(each).unwrap_or(1 << 31),
        }
    }

    /// Of all rings, bytes.
    pub(crate) fn total(self) -> u64 {
        self.rings as u64 * u64::from(self.each)
    }

    /// The ring of each of so many possible CPUs. Those that are online share the rings out; the others, which may come
    /// later, come on top.
    fn of_cpus(self, possible: usize, online: &[u32]) -> Vec<usize> {
        let mut rings: Vec<usize> = (0..possible).map(|cpu| cpu % self.rings).collect();
        for (place, cpu) in online.iter().enumerate() {
            if let Some(ring) = rings.get_mut(*cpu as usize) {
                *ring = place * self.rings / online.len();
            }
        }
        rings
    }
}

impl Rings {
    /// Makes the rings, and gives each CPU one.
    pub(crate) fn make(object: &mut Ebpf, size: Size, cpus: u32, online: &[u32]) -> Result<Self> {
        let rings = (0..size.rings).map(|_| Ring::make(size.each));
        let rings = rings.collect::<Result<Vec<Ring>>>()?;
        let slots = object.map_mut(MAP).ok_or_else(|| failure::absent(MAP))?;
        let mut slots = ArrayOfMaps::<_, RingBuf<MapData>>::try_from(slots).map_err(unmade)?;
        let of_cpus = size.of_cpus(cpus as usize, online);
        for (cpu, ring) in (0..).zip(&of_cpus) {
            if let Some(ring) = rings.get(*ring) {
                slots.set(cpu, &ring.buffer, 0).map_err(unmade)?;
            }
        }
        Ok(Self {
            merge: Merge::new(rings.len()),
            all: rings,
            of_cpus,
            fill: 0.0,
        })
    }

    /// Takes at most `limit` of the records that were there when it was called; returns how many. What others may have
    /// to come before stays for the next time.
    pub(crate) fn sweep(&mut self, limit: usize, take: &mut impl FnMut(&[u8])) -> usize {
        self.begin();
        let mut taken = 0;
        while taken < limit && self.take(take) {
            taken += 1;
        }
        taken
    }

    /// Takes the next record; false if there is none now, or what others may have to come before.
    pub(crate) fn take_next(&mut self, take: &mut impl FnMut(&[u8])) -> bool {
        if self.take(take) {
            return true;
        }
        self.begin();
        self.take(take)
    }

    fn take(&mut self, take: &mut impl FnMut(&[u8])) -> bool {
        let Some(index) = self.merge.next() else {
            return false;
        };
        let Some(ring) = self.all.get_mut(index) else {
            return false;
        };
        if let Some(record) = ring.buffer.next() {
            take(&record);
        }
        self.merge.show(index, ring.look());
        true
    }

    fn begin(&mut self) {
        self.merge.begin(clock::monotonic_ns());
        self.fill = 0.0;
        for (index, ring) in self.all.iter_mut().enumerate() {
            self.fill = self.fill.max(ring.begin());
            self.merge.show(index, ring.look());
        }
    }

    /// How full the fullest ring was at the last sweep, 0…1.
    pub(crate) fn fill(&self) -> f64 {
        self.fill
    }

    /// What was counted on each CPU, added up for each ring.
    pub(crate) fn by_ring(&self, by_cpu: &[u64]) -> Vec<u64> {
        let mut sums = vec![0; self.all.len()];
        for (ring, counted) in self.of_cpus.iter().zip(by_cpu) {
            if let Some(sum) = sums.get_mut(*ring) {
                *sum += counted;
            }
        }
        sums
    }

    /// Whether nothing is in any of them, written or not.
    pub(crate) fn are_empty(&self) -> bool {
        self.all.iter().all(|ring| ring.written() == ring.read())
    }
}

struct Ring {
    buffer: RingBuf<MapData>,
    /// How far was read and written, in words that the kernel and the buffer keep.
    positions: Words,
    bytes: u32,
    /// Where the word is that tells how far was written: on the page behind.
    second_page: usize,
    /// How far it was written when the sweep began.
    end: u64,
}

impl Ring {
    fn make(bytes: u32) -> Result<Self> {
        let map = maps::Map::new_from_params(BPF_MAP_TYPE_RINGBUF as u32, 0, 0, bytes, 0);
        let map = MapData::create(map, "ring", None).map_err(unmade)?;
        let buffer = RingBuf::try_from(Map::RingBuf(map)).map_err(unmade)?;
        let second_page = rustix::param::page_size() / size_of::<u64>();
        let positions = Words::map(buffer.as_fd(), second_page + 1)
            .map_err(|source| KernelError::Map { map: MAP, source })?;
        Ok(Self {
            buffer,
            positions,
            bytes,
            second_page,
            end: 0,
        })
    }

    /// Notes how far it is written, and returns how full it is, 0…1.
    fn begin(&mut self) -> f64 {
        self.end = self.written();
        ratio(self.end.saturating_sub(self.read()), self.bytes.into())
    }

    /// What is at its head.
    fn look(&mut self) -> Look {
        if let Some(record) = self.buffer.next() {
            // Whatever it holds, it begins with its time.
            let time = u64::read_from_prefix(&record).map_or(0, |(time, _)| time);
            // Dropped, it would count as read.
            mem::forget(record);
            return Look::Record(time);
        }
        if self.read() >= self.end {
            Look::Empty
        } else {
            Look::Busy
        }
    }

    fn read(&self) -> u64 {
        self.positions.read(0)
    }

    fn written(&self) -> u64 {
        self.positions.read(self.second_page)
    }
}

fn unmade(error: aya::maps::MapError) -> Error {
    failure::load(MAP, error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_share_the_size_and_hold_four_of_the_largest_records() {
        let (smallest, many) = (128 << 10, 16 << 20);
        for (wanted, rings, online, count, each) in [
            (0, None, 1, 1, smallest),
            (smallest, None, 2, 2, smallest),
            (many, None, 1, 1, many),
            (many, None, 2, 2, many / 2),
            (many, None, 6, 6, 4 << 20),
            (many, None, 64, 64, 256 << 10),
            (many, None, 200, 64, 256 << 10),
            (many, Some(1), 200, 1, many),
            (many, Some(3), 2, 2, many / 2),
            (many, Some(0), 2, 1, many),
            (u32::MAX, Some(1), 2, 1, 1 << 31),
        ] {
            let size = Size::of(wanted, rings, online);
            assert_eq!(
                size,
                Size { rings: count, each },
                "{wanted} {rings:?} {online}"
            );
            assert_eq!(size.total(), count as u64 * u64::from(each));
        }
    }

    #[test]
    fn cpus_that_are_online_share_the_rings_out_and_every_possible_one_has_a_ring() {
        let of =
            |rings, possible, online: &[u32]| Size { rings, each: 0 }.of_cpus(possible, online);
        assert_eq!(of(1, 4, &[0, 1, 2, 3]), [0, 0, 0, 0]);
        assert_eq!(of(2, 4, &[0, 1, 2, 3]), [0, 0, 1, 1]);
        assert_eq!(of(2, 3, &[0, 1, 2]), [0, 0, 1]);
        assert_eq!(of(2, 8, &[0, 1]), [0, 1, 0, 1, 0, 1, 0, 1]);
        assert_eq!(of(2, 4, &[1, 3, 9]), [0, 0, 0, 0]);
    }
}
