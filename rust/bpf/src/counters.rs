//! Words that programs and this process share through memory: counters, and a heartbeat.

use std::os::fd::AsFd;

use crate::{
    Error, Map, Result, clock,
    sys::{Word, Words},
};

/// The layout of a counters map: an array of `cpus * per_cpu` values of `stride` 64-bit words each.
///
/// Each value (a stripe) has a single writer, so that programs count with plain additions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripes {
    /// Possible CPUs; the outer index.
    pub cpus: u32,
    /// Writers on each CPU, such as one a program; the inner index.
    pub per_cpu: u32,
    /// Words of each stripe; the first ones are counters.
    pub stride: usize,
}

impl Stripes {
    fn count(self) -> usize {
        self.cpus as usize * self.per_cpu as usize
    }
}

/// A counters map in this process's memory. Reading it makes no system call and takes no privilege.
///
/// The map must be an array that was made with `BPF_F_MMAPABLE` (Linux 5.5).
pub struct Counters {
    words: Words,
    stripes: Stripes,
}

impl Counters {
    /// Maps the counters of `map`.
    pub fn open(map: &Map, stripes: Stripes) -> Result<Self> {
        let count = stripes.count() * stripes.stride;
        let words = Words::map(map.as_fd(), count).map_err(|source| Error::Map {
            map: map.name().into(),
            source,
        })?;
        Ok(Self { words, stripes })
    }

    /// Returns the sum of one counter over all stripes.
    pub fn sum(&self, counter: usize) -> u64 {
        self.values(counter).sum()
    }

    /// Returns the sums of the first `COUNT` counters. Programs continue to count meanwhile.
    pub fn sums<const COUNT: usize>(&self) -> [u64; COUNT] {
        std::array::from_fn(|counter| self.sum(counter))
    }

    /// Returns the sum of one counter on each possible CPU.
    pub fn by_cpu(&self, counter: usize) -> Vec<u64> {
        let values: Vec<u64> = self.values(counter).collect();
        values
            .chunks(self.stripes.per_cpu as usize)
            .map(|stripes| stripes.iter().sum())
            .collect()
    }

    fn values(&self, counter: usize) -> impl Iterator<Item = u64> {
        (0..self.stripes.count())
            .map(move |stripe| self.words.read(stripe * self.stripes.stride + counter))
    }
}

/// A sign of life for programs, which can stop doing work that nobody collects: the time of the last beat,
/// `CLOCK_MONOTONIC`, ns, in the first word of an array that was made with `BPF_F_MMAPABLE`.
pub struct Heartbeat(Word);

impl Heartbeat {
    /// Maps the word and beats once.
    pub fn open(map: &Map) -> Result<Self> {
        let word = Word::map(map.as_fd()).map_err(|source| Error::Map {
            map: map.name().into(),
            source,
        })?;
        let heartbeat = Self(word);
        heartbeat.beat();
        Ok(heartbeat)
    }

    /// Stores the current time.
    pub fn beat(&self) {
        self.0.write(clock::monotonic_ns());
    }
}
