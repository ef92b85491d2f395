//! A perf event array that programs write samples to → the samples, and how many were lost.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use aya::maps::{
    self, MapData,
    perf::{PerfBufferError, PerfEvent, PerfEventArray, PerfEventArrayBuffer},
};

use crate::{Error, Map, Result, failure, online_cpus, ring};

/// The buffers of a perf event array, one for each CPU that is online: the way to user space before ring buffers (Linux
/// 4.3). Samples of one CPU are in order, those of different CPUs are not.
pub struct PerfRings {
    buffers: Vec<PerfEventArrayBuffer<MapData>>,
    lost: u64,
}

impl PerfRings {
    /// Opens a buffer of `pages` pages, a power of two, for each CPU.
    pub fn open(map: &Map, pages: usize) -> Result<Self> {
        let failed = |source| Error::Map {
            map: map.name().into(),
            source,
        };
        let array = PerfEventArray::try_from(maps::Map::PerfEventArray(map.data()?));
        let mut array = array.map_err(|error| failed(failure::map_cause(error)))?;
        let buffers = online_cpus()?.into_iter().map(|cpu| {
            let opened = array.open(cpu, Some(pages));
            opened.map_err(|error| failed(buffer_cause(error)))
        });
        Ok(Self {
            buffers: buffers.collect::<Result<_>>()?,
            lost: 0,
        })
    }

    /// Passes the samples that are there to `take`; returns how many. The kernel appends up to seven bytes to a sample,
    /// so that its size is a multiple of eight less four.
    pub fn drain(&mut self, take: &mut impl FnMut(&[u8])) -> usize {
        let (mut taken, mut lost) = (0, 0);
        for buffer in &mut self.buffers {
            buffer.for_each(|event| match event {
                PerfEvent::Sample { head, tail } => {
                    take(&[head, tail].concat());
                    taken += 1;
                }
                PerfEvent::Lost { count } => lost += count,
            });
        }
        self.lost += lost;
        taken
    }

    /// Returns how many samples found no room; the kernel tells with the first sample that does.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Waits until there are samples; returns false if there were none in time or a signal came.
    pub fn wait(&self, timeout: Duration) -> bool {
        let descriptors: Vec<_> = self.descriptors().collect();
        ring::wait(&descriptors, timeout)
    }

    /// Returns the descriptors that become readable when there are samples.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.buffers.iter().map(AsFd::as_fd)
    }
}

fn buffer_cause(error: PerfBufferError) -> io::Error {
    match error {
        PerfBufferError::OpenError { io_error }
        | PerfBufferError::MMapError { io_error }
        | PerfBufferError::PerfEventEnableError { io_error }
        | PerfBufferError::IOError(io_error) => io_error,
        error @ PerfBufferError::InvalidPageCount { .. } => {
            io::Error::new(io::ErrorKind::InvalidInput, error.to_string())
        }
    }
}
