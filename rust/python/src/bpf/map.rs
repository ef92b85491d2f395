//! Bindings of maps: elements as bytes, by system call or through memory.

use std::path::PathBuf;

use membench_bpf::{Map, Memory, Update};
use pyo3::prelude::*;

use super::{
    Closable,
    error::{Error, Result},
    listing::MapTuple,
};

const WHAT: &str = "map";

#[pyclass(frozen, module = "membench._native")]
pub(super) struct BpfMap {
    map: Closable<Map>,
}

impl BpfMap {
    pub(super) fn new(map: Map) -> Self {
        Self {
            map: Closable::new(map),
        }
    }

    pub(super) fn with<R: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Map) -> Result<R> + Send,
    ) -> PyResult<R> {
        let done = py.detach(|| self.map.with(WHAT, act));
        done.map_err(PyErr::from)
    }
}

#[pymethods]
impl BpfMap {
    #[getter]
    fn closed(&self) -> bool {
        self.map.is_closed()
    }

    fn facts(&self, py: Python<'_>) -> PyResult<MapTuple> {
        self.with(py, |map| Ok(map.facts()?.into()))
    }

    fn types(&self, py: Python<'_>) -> PyResult<Option<Vec<u8>>> {
        self.with(py, |map| Ok(map.types()?))
    }

    fn lookup(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<Vec<u8>>> {
        self.with(py, |map| Ok(map.lookup(key)?))
    }

    fn lookup_per_cpu(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<Vec<Vec<u8>>>> {
        self.with(py, |map| Ok(map.lookup_per_cpu(key)?))
    }

    fn update(&self, py: Python<'_>, key: &[u8], value: &[u8]) -> PyResult<()> {
        self.with(py, |map| Ok(map.update(key, value, Update::Any)?))
    }

    fn update_per_cpu(&self, py: Python<'_>, key: &[u8], values: Vec<Vec<u8>>) -> PyResult<()> {
        self.with(py, move |map| {
            Ok(map.update_per_cpu(key, &values, Update::Any)?)
        })
    }

    fn delete(&self, py: Python<'_>, key: &[u8]) -> PyResult<bool> {
        self.with(py, |map| Ok(map.delete(key)?))
    }

    /// Lists the keys, at most `limit`: a program can add keys for ever while they are listed.
    fn keys(&self, py: Python<'_>, limit: usize) -> PyResult<Vec<Vec<u8>>> {
        self.with(py, |map| {
            let keys = map.keys().take(limit);
            keys.map(|key| key.map_err(Error::from)).collect()
        })
    }

    fn memory(&self, py: Python<'_>) -> PyResult<BpfMemory> {
        self.with(py, |map| {
            Ok(BpfMemory {
                memory: Closable::new(map.memory()?),
            })
        })
    }

    fn pin(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        self.with(py, move |map| Ok(map.pin(&path)?))
    }

    fn close(&self) {
        drop(self.map.close());
    }
}

#[pyclass(frozen, module = "membench._native")]
pub(super) struct BpfMemory {
    memory: Closable<Memory>,
}

#[pymethods]
impl BpfMemory {
    fn __len__(&self) -> PyResult<usize> {
        let entries = self.memory.with(WHAT, |memory| Ok(memory.entries()));
        entries.map_err(PyErr::from)
    }

    fn read(&self, index: usize) -> PyResult<Option<Vec<u8>>> {
        let read = self.memory.with(WHAT, |memory| Ok(memory.read(index)));
        read.map_err(PyErr::from)
    }

    fn close(&self) {
        drop(self.memory.close());
    }
}
