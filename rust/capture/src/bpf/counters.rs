//! The kernel programs' counters → their sums, and how often a program could not run.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, BorrowedFd};

use membench_common::{counter, program};

use crate::sys::{Word, Words};
use crate::{Error, KernelError, Result, clock};

/// The counters, mapped: reading them takes no privilege.
pub(crate) struct Counters {
    words: Words,
    stripes: usize,
}

impl Counters {
    /// Maps the counters of so many CPUs.
    pub(crate) fn map(map: BorrowedFd<'_>, cpus: u32) -> Result<Self> {
        let stripes = (cpus * program::COUNT) as usize;
        let words =
            Words::map(map, stripes * counter::STRIDE).map_err(|source| KernelError::Map {
                map: "counters",
                source,
            })?;
        Ok(Self { words, stripes })
    }

    /// Each counter's sum. The programs go on counting meanwhile.
    pub(crate) fn sums(&self) -> [u64; counter::COUNT] {
        std::array::from_fn(|index| {
            (0..self.stripes)
                .map(|stripe| self.words.read(stripe * counter::STRIDE + index))
                .sum()
        })
    }

    /// One counter's sum on each CPU.
    pub(crate) fn by_cpu(&self, counter: u32) -> Vec<u64> {
        let programs = program::COUNT as usize;
        let stripes = 0..self.stripes;
        let values: Vec<u64> = stripes
            .map(|stripe| self.words.read(stripe * counter::STRIDE + counter as usize))
            .collect();
        values
            .chunks(programs)
            .map(|one| one.iter().sum())
            .collect()
    }
}

/// The sign of life without which the programs only count.
pub(crate) struct Heartbeat(Word);

impl Heartbeat {
    /// Maps the word, and gives the first sign.
    pub(crate) fn map(map: BorrowedFd<'_>) -> Result<Self> {
        let word = Word::map(map).map_err(|source| KernelError::Map {
            map: "heartbeat",
            source,
        })?;
        let heartbeat = Self(word);
        heartbeat.beat();
        Ok(heartbeat)
    }

    /// Gives a sign.
    pub(crate) fn beat(&self) {
        self.0.write(clock::monotonic_ns());
    }
}

/// What the kernel knows of a loaded program. Opened once: later this process may not be allowed to.
pub(crate) struct ProgramFile(File);

impl ProgramFile {
    /// Opens what `/proc` says of a program's descriptor.
    pub(crate) fn open(program: BorrowedFd<'_>) -> Result<Self> {
        let path = format!("/proc/self/fdinfo/{}", program.as_raw_fd());
        File::open(&path).map(Self).map_err(|source| Error::Io {
            path: path.into(),
            source,
        })
    }

    /// How often the program did not run because it was running already on that CPU.
    pub(crate) fn misses(&mut self) -> Result<u64> {
        let mut text = String::new();
        let read = self
            .0
            .rewind()
            .and_then(|()| self.0.read_to_string(&mut text));
        read.map_err(|source| Error::Io {
            path: "/proc/self/fdinfo".into(),
            source,
        })?;
        Ok(recursion_misses(&text))
    }
}

/// The count in a program's `fdinfo`; 0 where the kernel (before 5.12) does not say.
fn recursion_misses(text: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_are_read_from_what_the_kernel_says_of_a_program() {
        let text = "pos:\t0\nflags:\t02000000\nprog_type:\t26\nrun_cnt:\t9\nrecursion_misses:\t17\nverified_insns:\t6\n";
        assert_eq!(recursion_misses(text), 17);
        assert_eq!(recursion_misses("pos:\t0\n"), 0);
    }
}
