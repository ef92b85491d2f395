//! Bindings of links, and of programs that were pinned.

use std::{io::Read, path::PathBuf, sync::Arc};

use membench_bpf::{Link, Pinned, PinnedProgram};
use pyo3::prelude::*;

use super::{
    Closable,
    error::{Error, Result},
    listing::{LinkTuple, ProgramTuple},
    map::BpfMap,
};

const WHAT: &str = "link";

#[pyclass(frozen, module = "membench._native")]
pub(super) struct BpfLink {
    pub(super) link: Arc<Closable<Link>>,
}

impl BpfLink {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link: Arc::new(Closable::new(link)),
        }
    }

    fn with<R: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Link) -> Result<R> + Send,
    ) -> PyResult<R> {
        let done = py.detach(|| self.link.with(WHAT, act));
        done.map_err(PyErr::from)
    }
}

#[pymethods]
impl BpfLink {
    #[getter]
    fn closed(&self) -> bool {
        self.link.is_closed()
    }

    fn detach(&self, py: Python<'_>) {
        py.detach(|| drop(self.link.close()));
    }

    fn pin(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        self.with(py, move |link| Ok(link.pin(&path)?))
    }

    fn facts(&self, py: Python<'_>) -> PyResult<Vec<LinkTuple>> {
        self.with(py, |link| {
            let facts = link.facts()?.into_iter();
            Ok(facts.map(LinkTuple::from).collect())
        })
    }

    /// Runs an iterator's program for every object, and returns what it wrote; None if this is no iterator's link.
    fn read(&self, py: Python<'_>) -> PyResult<Option<Vec<u8>>> {
        self.with(py, |link| {
            let Some(file) = link.file() else {
                return Ok(None);
            };
            let mut bytes = Vec::new();
            let read = file.and_then(|mut file| file.read_to_end(&mut bytes));
            read.map_err(|source| membench_bpf::Error::Handle {
                name: "iterator".into(),
                operation: "read",
                source,
            })?;
            Ok(Some(bytes))
        })
    }
}

#[pyclass(frozen, module = "membench._native")]
pub(super) struct BpfProgram {
    program: Closable<PinnedProgram>,
}

#[pymethods]
impl BpfProgram {
    fn facts(&self, py: Python<'_>) -> PyResult<ProgramTuple> {
        let facts = py.detach(|| {
            let facts = |program: &mut PinnedProgram| Ok(program.facts()?.into());
            self.program.with("program", facts)
        });
        facts.map_err(PyErr::from)
    }

    fn replace(&self, py: Python<'_>, link: &BpfLink) -> PyResult<()> {
        let link = Arc::clone(&link.link);
        let replaced = py.detach(|| {
            self.program.with("program", |program| {
                use std::os::fd::AsFd;
                link.with(WHAT, |link| Ok(link.replace(program.as_fd())?))
            })
        });
        replaced.map_err(PyErr::from)
    }

    fn close(&self) {
        drop(self.program.close());
    }
}

/// Opens what is pinned at a path.
#[pyfunction]
pub(super) fn open_pinned(py: Python<'_>, path: PathBuf) -> PyResult<Py<PyAny>> {
    let pinned = py
        .detach(move || Pinned::open(&path))
        .map_err(Error::from)?;
    Ok(match pinned {
        Pinned::Map(map) => Py::new(py, BpfMap::new(map))?.into_any(),
        Pinned::Link(link) => Py::new(py, BpfLink::new(link))?.into_any(),
        Pinned::Program(program) => {
            let program = Closable::new(program);
            Py::new(py, BpfProgram { program })?.into_any()
        }
    })
}
