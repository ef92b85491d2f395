//! Ring buffers that programs write records to → the records, of one ring or of several in the order they were made.

use std::{
    mem,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use aya::maps::{self, MapData, RingBuf};
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zerocopy::FromBytes;

use crate::{
    Error, Kind, Loaded, Map, Result, clock, failure,
    merge::{Head, Merge},
    online_cpus, possible_cpus,
    sys::Words,
};

/// Most rings of one [`Rings`]: with more, the draining thread spends its time looking.
const MOST: usize = 64;
/// Largest ring, bytes.
const LARGEST: u64 = 1 << 31;

/// A ring buffer that programs write and this process reads (Linux 5.8).
///
/// Reading makes no system call and takes no privilege. Poll the descriptor to sleep until a program wakes readers up;
/// programs that reserve records with `BPF_RB_NO_WAKEUP` never do.
pub struct Ring {
    name: String,
    buffer: RingBuf<MapData>,
    /// The consumer's position on the first page and the producer's on the second, bytes. Both only grow.
    positions: Words,
    bytes: u32,
    /// Index of the word with the producer's position.
    producer: usize,
    /// The producer's position when the current sweep began.
    end: u64,
}

impl Ring {
    /// Creates a ring in the kernel that belongs to no object. `bytes` must be a power of two of at least a page.
    pub fn create(name: &str, bytes: u32) -> Result<Self> {
        let map = aya_obj::maps::Map::new_from_params(BPF_MAP_TYPE_RINGBUF as u32, 0, 0, bytes, 0);
        let data = MapData::create(map, "ring", None);
        let data = data.map_err(|error| unmade(name, error))?;
        Self::from_data(name, bytes, data)
    }

    /// Opens a ring of a loaded object. A ring has one reader: records that another [`Ring`] of the same map has read
    /// are gone.
    pub fn open(map: &Map) -> Result<Self> {
        Self::from_data(map.name(), map.max_entries(), map.data()?)
    }

    fn from_data(name: &str, bytes: u32, data: MapData) -> Result<Self> {
        let buffer = RingBuf::try_from(maps::Map::RingBuf(data));
        let buffer = buffer.map_err(|error| unmade(name, error))?;
        let producer = rustix::param::page_size() / size_of::<u64>();
        let positions = Words::map(buffer.as_fd(), producer + 1).map_err(|source| Error::Map {
            map: name.into(),
            source,
        })?;
        Ok(Self {
            name: name.into(),
            buffer,
            positions,
            bytes,
            producer,
            end: 0,
        })
    }

    /// Returns the ring's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the ring's size, bytes.
    pub fn size(&self) -> u32 {
        self.bytes
    }

    /// Passes the records that are there to `take`, at most `limit`; returns how many. A record that is still being
    /// written holds up those after it.
    pub fn drain(&mut self, limit: usize, take: &mut impl FnMut(&[u8])) -> usize {
        let mut taken = 0;
        while taken < limit
            && let Some(record) = self.buffer.next()
        {
            take(&record);
            taken += 1;
        }
        taken
    }

    /// Waits until the ring holds a record, or programs wake readers up; returns false if neither happened in time or a
    /// signal came.
    pub fn wait(&self, timeout: Duration) -> bool {
        !self.is_empty() || wait(&[self.as_fd()], timeout)
    }

    /// Returns how full the ring is, 0…1.
    #[expect(clippy::cast_precision_loss, reason = "a ring has at most 2^31 bytes")]
    pub fn fill(&self) -> f64 {
        self.written().saturating_sub(self.read()) as f64 / f64::from(self.bytes)
    }

    /// Returns true if the ring holds no record, not even one that is being written.
    pub fn is_empty(&self) -> bool {
        self.written() == self.read()
    }

    /// Notes what is in the ring when a sweep begins.
    fn begin(&mut self) {
        self.end = self.written();
    }

    fn head(&mut self) -> Head {
        if let Some(record) = self.buffer.next() {
            // Every record begins with its time, whatever else it holds.
            let time = u64::read_from_prefix(&record).map_or(0, |(time, _)| time);
            // Dropping the record would mark it as read.
            mem::forget(record);
            return Head::Record(time);
        }
        if self.read() >= self.end {
            Head::Empty
        } else {
            Head::Busy
        }
    }

    fn read(&self) -> u64 {
        self.positions.read(0)
    }

    fn written(&self) -> u64 {
        self.positions.read(self.producer)
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.buffer.as_fd()
    }
}

/// How many rings the CPUs of this machine share, and the size of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSize {
    /// Number of rings.
    pub rings: usize,
    /// Size of each, bytes.
    pub each: u32,
}

impl RingSize {
    /// Divides `bytes` among rings: among as many as there are CPUs online, up to 64, unless fewer are asked for.
    ///
    /// Each ring is rounded up to a power of two, as the kernel requires, of more than `least` bytes. None is larger than
    /// 2 GiB, so the [total](Self::total) can be less than `bytes`.
    pub fn divide(bytes: u64, rings: Option<u32>, online: usize, least: u32) -> Self {
        let most = online.clamp(1, MOST);
        let rings = rings.map_or(most, |rings| (rings as usize).clamp(1, most));
        let each = bytes / rings as u64;
        let each = each.max(u64::from(least) + 1).next_power_of_two();
        Self {
            rings,
            each: u32::try_from(each.min(LARGEST)).unwrap_or(1 << 31),
        }
    }

    /// Returns the size of all rings together, bytes.
    pub fn total(self) -> u64 {
        self.rings as u64 * u64::from(self.each)
    }

    /// Assigns a ring to each of the `possible` CPUs. CPUs that are online divide the rings evenly; the others, which
    /// can come later, share them in turn.
    fn by_cpu(self, possible: usize, online: &[u32]) -> Vec<usize> {
        let mut rings: Vec<usize> = (0..possible).map(|cpu| cpu % self.rings).collect();
        for (place, cpu) in online.iter().enumerate() {
            if let Some(ring) = rings.get_mut(*cpu as usize) {
                *ring = place * self.rings / online.len();
            }
        }
        rings
    }
}

/// Rings that the CPUs of a machine write to, each to its own, read as one stream in the order of time.
///
/// Every record must begin with the time at which its program began to make it: a `u64` of `bpf_ktime_get_ns`.
pub struct Rings {
    all: Vec<Ring>,
    /// The ring of each possible CPU.
    by_cpu: Vec<usize>,
    merge: Merge,
    /// Fill of the fullest ring when the last sweep began, 0…1.
    fill: f64,
}

impl Rings {
    /// Creates the rings, and stores the ring of each possible CPU in the array of maps `map`.
    pub fn create(object: &Loaded, map: &str, size: RingSize) -> Result<Self> {
        let rings = (0..size.rings).map(|_| Ring::create(map, size.each));
        let rings = rings.collect::<Result<Vec<Ring>>>()?;
        let slots = object.map(map)?;
        let by_cpu = size.by_cpu(possible_cpus()? as usize, &online_cpus()?);
        for (cpu, ring) in (0..).zip(&by_cpu) {
            if let Some(ring) = rings.get(*ring) {
                slots.set_descriptor(cpu, ring.as_fd())?;
            }
        }
        Ok(Self {
            merge: Merge::new(rings.len()),
            all: rings,
            by_cpu,
            fill: 0.0,
        })
    }

    /// Passes the records that were there when the call began to `take`, at most `limit`; returns how many. Records that
    /// others may have to precede stay for the next sweep.
    pub fn sweep(&mut self, limit: usize, take: &mut impl FnMut(&[u8])) -> usize {
        self.begin();
        let mut taken = 0;
        while taken < limit && self.take(take) {
            taken += 1;
        }
        taken
    }

    /// Passes the next record to `take`; returns false if there is none now, or if others may have to precede it.
    pub fn take_next(&mut self, take: &mut impl FnMut(&[u8])) -> bool {
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
        self.merge.show(index, ring.head());
        true
    }

    fn begin(&mut self) {
        self.merge.begin(clock::monotonic_ns());
        self.fill = 0.0;
        for (index, ring) in self.all.iter_mut().enumerate() {
            ring.begin();
            self.fill = self.fill.max(ring.fill());
            self.merge.show(index, ring.head());
        }
    }

    /// Returns how full the fullest ring was when the last sweep began, 0…1.
    pub fn fill(&self) -> f64 {
        self.fill
    }

    /// Adds up counts of each possible CPU for each ring.
    pub fn by_ring(&self, by_cpu: &[u64]) -> Vec<u64> {
        let mut sums = vec![0; self.all.len()];
        for (ring, counted) in self.by_cpu.iter().zip(by_cpu) {
            if let Some(sum) = sums.get_mut(*ring) {
                *sum += counted;
            }
        }
        sums
    }

    /// Returns true if no ring holds a record, not even one that is being written.
    pub fn are_empty(&self) -> bool {
        self.all.iter().all(Ring::is_empty)
    }
}

/// Waits until one of the descriptors can be read; returns false if none can be in time or a signal came.
pub(crate) fn wait(descriptors: &[BorrowedFd<'_>], timeout: Duration) -> bool {
    let mut waited: Vec<_> = descriptors
        .iter()
        .map(|descriptor| PollFd::new(descriptor, PollFlags::IN))
        .collect();
    let timeout = Timespec::try_from(timeout).ok();
    poll(&mut waited, timeout.as_ref()).is_ok_and(|ready| ready > 0)
}

fn unmade(name: &str, error: maps::MapError) -> Error {
    failure::load(name, Kind::MAPS, error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_divide_the_size_and_are_no_smaller_than_asked() {
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
            let size = RingSize::divide(wanted.into(), rings, online, 64 << 10);
            assert_eq!(
                size,
                RingSize { rings: count, each },
                "{wanted} {rings:?} {online}"
            );
            assert_eq!(size.total(), count as u64 * u64::from(each));
        }
    }

    #[test]
    fn cpus_that_are_online_divide_the_rings_and_every_possible_one_has_a_ring() {
        let by_cpu =
            |rings, possible, online: &[u32]| RingSize { rings, each: 0 }.by_cpu(possible, online);
        assert_eq!(by_cpu(1, 4, &[0, 1, 2, 3]), [0, 0, 0, 0]);
        assert_eq!(by_cpu(2, 4, &[0, 1, 2, 3]), [0, 0, 1, 1]);
        assert_eq!(by_cpu(2, 3, &[0, 1, 2]), [0, 0, 1]);
        assert_eq!(by_cpu(2, 8, &[0, 1]), [0, 1, 0, 1, 0, 1, 0, 1]);
        assert_eq!(by_cpu(2, 4, &[1, 3, 9]), [0, 0, 0, 0]);
    }
}
