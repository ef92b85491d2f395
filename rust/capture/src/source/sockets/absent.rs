//! What stands for the kernel capture where it is not built in: it says so.

use std::convert::Infallible;

use membench_common::counter;

use crate::{Error, Result, Facts, KernelOptions, Misses, Record};

/// A running capture, of which there is none in this build.
#[derive(Debug)]
pub struct Kernel(Infallible);

impl Kernel {
    /// Says which feature is missing.
    pub fn attach(_: &KernelOptions) -> Result<Self> {
        Err(Error::FeatureMissing {
            feature: "ebpf",
            wanted: "ebpf:any",
        })
    }

    /// See the kernel capture.
    pub fn drain(&mut self, _: usize, _: &mut impl FnMut(Record<'_>)) -> usize {
        match self.0 {}
    }

    /// See the kernel capture.
    pub fn ring_full_by_ring(&self) -> Vec<u64> {
        match self.0 {}
    }

    /// See the kernel capture.
    pub fn fill(&self) -> f64 {
        match self.0 {}
    }

    /// See the kernel capture.
    pub fn beat(&self) {
        match self.0 {}
    }

    /// See the kernel capture.
    pub fn counters(&self) -> [u64; counter::COUNT] {
        match self.0 {}
    }

    /// See the kernel capture.
    pub fn malformed(&self) -> u64 {
        match self.0 {}
    }

    /// See the kernel capture.
    pub fn misses(&mut self) -> Result<Misses> {
        match self.0 {}
    }

    /// See the kernel capture.
    pub fn detach(&mut self) {
        match self.0 {}
    }

    /// See the kernel capture.
    pub fn facts(&self) -> &Facts {
        match self.0 {}
    }
}
