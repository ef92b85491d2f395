//! Bindings of what the kernel tells of programs, maps and links: tuples, which Python makes dataclasses of.

use membench_bpf::{LinkFacts, MapFacts, ProgramFacts, RunStatistics};
use pyo3::prelude::*;

use super::{Closable, error::Error, link::open_pinned, object::unpin};

#[derive(IntoPyObject)]
pub(super) struct ProgramTuple {
    id: u32,
    kind: &'static str,
    name: String,
    tag: String,
    gpl: bool,
    uid: u32,
    loaded_at_ns: u64,
    translated_bytes: u32,
    compiled_bytes: u32,
    maps: Vec<u32>,
    types: u32,
    run_time_ns: u64,
    runs: u64,
    misses: u64,
    verified_instructions: u32,
}

impl From<ProgramFacts> for ProgramTuple {
    fn from(facts: ProgramFacts) -> Self {
        Self {
            id: facts.id,
            kind: facts.kind,
            name: facts.name,
            tag: facts.tag,
            gpl: facts.is_gpl,
            uid: facts.uid,
            loaded_at_ns: nanoseconds(facts.loaded_at),
            translated_bytes: facts.translated_bytes,
            compiled_bytes: facts.compiled_bytes,
            maps: facts.maps,
            types: facts.types,
            run_time_ns: nanoseconds(facts.run_time),
            runs: facts.runs,
            misses: facts.misses,
            verified_instructions: facts.verified_instructions,
        }
    }
}

#[derive(IntoPyObject)]
pub(super) struct MapTuple {
    id: u32,
    kind: &'static str,
    name: String,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    types: u32,
    key_type: u32,
    value_type: u32,
}

impl From<MapFacts> for MapTuple {
    fn from(facts: MapFacts) -> Self {
        Self {
            id: facts.id,
            kind: facts.kind,
            name: facts.name,
            key_size: facts.key_size,
            value_size: facts.value_size,
            max_entries: facts.max_entries,
            flags: facts.flags,
            types: facts.types,
            key_type: facts.key_type,
            value_type: facts.value_type,
        }
    }
}

#[derive(IntoPyObject)]
pub(super) struct LinkTuple {
    id: u32,
    kind: &'static str,
    program: u32,
}

impl From<LinkFacts> for LinkTuple {
    fn from(facts: LinkFacts) -> Self {
        let LinkFacts { id, kind, program } = facts;
        Self { id, kind, program }
    }
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[pyfunction]
fn bpf_programs(py: Python<'_>) -> PyResult<Vec<ProgramTuple>> {
    let all = py.detach(ProgramFacts::all).map_err(Error::from)?;
    Ok(all.into_iter().map(ProgramTuple::from).collect())
}

#[pyfunction]
fn bpf_maps(py: Python<'_>) -> PyResult<Vec<MapTuple>> {
    let all = py.detach(MapFacts::all).map_err(Error::from)?;
    Ok(all.into_iter().map(MapTuple::from).collect())
}

#[pyfunction]
fn bpf_links(py: Python<'_>) -> PyResult<Vec<LinkTuple>> {
    let all = py.detach(LinkFacts::all).map_err(Error::from)?;
    Ok(all.into_iter().map(LinkTuple::from).collect())
}

/// The kernel's counting of runs, until it is closed.
#[pyclass(frozen, module = "membench._native")]
struct BpfStatistics {
    statistics: Closable<RunStatistics>,
}

#[pymethods]
impl BpfStatistics {
    #[new]
    fn new() -> PyResult<Self> {
        let statistics = RunStatistics::enable().map_err(Error::from)?;
        Ok(Self {
            statistics: Closable::new(statistics),
        })
    }

    fn close(&self) {
        drop(self.statistics.close());
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<BpfStatistics>()?;
    module.add_function(wrap_pyfunction!(bpf_programs, module)?)?;
    module.add_function(wrap_pyfunction!(bpf_maps, module)?)?;
    module.add_function(wrap_pyfunction!(bpf_links, module)?)?;
    module.add_function(wrap_pyfunction!(open_pinned, module)?)?;
    module.add_function(wrap_pyfunction!(unpin, module)?)
}
