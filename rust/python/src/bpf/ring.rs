//! Bindings of ring buffers and perf event arrays: records as bytes, waited for without the interpreter.

use std::{
    os::fd::{AsFd, AsRawFd},
    time::{Duration, Instant},
};

use membench_bpf::{PerfRings, Ring};
use pyo3::prelude::*;

use super::{Closable, error::Error, map::BpfMap};
use crate::capture::seconds;

const WHAT: &str = "ring";
/// Longest wait at a time: signals are looked at in between, and so are records that no program wakes a reader for.
const SLICE: Duration = Duration::from_millis(20);

enum Reader {
    Ring(Box<Ring>),
    Perf(PerfRings),
}

impl Reader {
    fn wait(&self, timeout: Duration) -> bool {
        match self {
            Self::Ring(ring) => ring.wait(timeout),
            Self::Perf(rings) => rings.wait(timeout),
        }
    }

    fn drain(&mut self, limit: usize) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        let mut take = |record: &[u8]| records.push(record.to_vec());
        match self {
            Self::Ring(ring) => ring.drain(limit, &mut take),
            Self::Perf(rings) => rings.drain(&mut take),
        };
        records
    }
}

#[pyclass(frozen, module = "membench._native")]
pub(super) struct BpfRing {
    reader: Closable<Reader>,
}

#[pymethods]
impl BpfRing {
    /// Opens a ring buffer, or with `pages` a perf event array.
    #[new]
    #[pyo3(signature = (source, pages))]
    fn new(py: Python<'_>, source: &BpfMap, pages: Option<usize>) -> PyResult<Self> {
        source.with(py, |map| {
            let reader = match pages {
                Some(pages) => Reader::Perf(PerfRings::open(map, pages)?),
                None => Reader::Ring(Box::new(Ring::open(map)?)),
            };
            Ok(Self {
                reader: Closable::new(reader),
            })
        })
    }

    #[getter]
    fn closed(&self) -> bool {
        self.reader.is_closed()
    }

    /// Returns the records that are there, at most `limit` of a ring buffer; waits for the first.
    fn read(&self, py: Python<'_>, timeout_s: f64, limit: usize) -> PyResult<Vec<Vec<u8>>> {
        let end = Instant::now() + seconds(timeout_s)?.min(Duration::from_hours(24 * 365));
        loop {
            let records = py.detach(|| {
                self.reader.with(WHAT, |reader| {
                    let records = reader.drain(limit);
                    let left = end.saturating_duration_since(Instant::now());
                    if !records.is_empty() || left.is_zero() || !reader.wait(left.min(SLICE)) {
                        return Ok(records);
                    }
                    Ok(reader.drain(limit))
                })
            });
            let records = records.map_err(PyErr::from)?;
            py.check_signals()?;
            if !records.is_empty() || Instant::now() >= end {
                return Ok(records);
            }
        }
    }

    /// Lists the descriptors that become readable with records.
    fn descriptors(&self) -> PyResult<Vec<i32>> {
        let listed = self.reader.with(WHAT, |reader| {
            Ok(match reader {
                Reader::Ring(ring) => vec![ring.as_fd().as_raw_fd()],
                Reader::Perf(rings) => rings.descriptors().map(|one| one.as_raw_fd()).collect(),
            })
        });
        listed.map_err(PyErr::from)
    }

    /// Counts the samples that a perf event array had no room for; None for ring buffers, which do not count.
    fn lost(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        let lost = py.detach(|| {
            self.reader.with(WHAT, |reader| match reader {
                Reader::Ring(_) => Ok(None),
                Reader::Perf(rings) => Ok::<_, Error>(Some(rings.lost())),
            })
        });
        lost.map_err(PyErr::from)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.reader.close()));
    }
}
