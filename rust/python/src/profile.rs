//! The bindings of profiles: opened, repaired, iterated over, handed to Arrow.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use membench_event::{Anchor, OptionsTable};
use membench_profile::Events;

use crate::arrow::{schema_capsule, stream_capsule};
use crate::error::raise;
use crate::events::Event;
use crate::json;

/// Number of events fetched at a time while Python iterates.
const FETCHED: usize = 4096;

#[pyclass(frozen, module = "membench._native")]
pub(super) struct Profile {
    inner: membench_profile::Profile,
}

impl Profile {
    /// The engine's profile.
    pub(super) fn engine(&self) -> &membench_profile::Profile {
        &self.inner
    }
}

#[pymethods]
impl Profile {
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let inner = py
            .detach(|| membench_profile::Profile::open(path))
            .map_err(raise)?;
        Ok(Self { inner })
    }

    #[staticmethod]
    fn repair(py: Python<'_>, path: PathBuf) -> PyResult<String> {
        let manifest = py
            .detach(|| membench_profile::repair(path))
            .map_err(raise)?;
        json(&manifest)
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.inner.path().into()
    }

    fn manifest_json(&self) -> PyResult<String> {
        json(self.inner.manifest())
    }

    fn summary_json(&self, py: Python<'_>) -> PyResult<String> {
        json(&py.detach(|| self.inner.summary()).map_err(raise)?)
    }

    fn verify_json(&self, py: Python<'_>) -> PyResult<String> {
        json(&py.detach(|| self.inner.verify()).map_err(raise)?)
    }

    fn connections(&self, py: Python<'_>) -> PyResult<Table> {
        Table::new(py, || self.inner.connection_table())
    }

    fn losses(&self, py: Python<'_>) -> PyResult<Table> {
        Table::new(py, || self.inner.loss_table())
    }

    fn observation_rows(&self, py: Python<'_>, table: &str) -> PyResult<ObservationRows> {
        let rows = py.detach(|| {
            let table = self.inner.observation_table(table)?;
            membench_profile::ObservationRows::new(&table)
        });
        let rows = Mutex::new(rows.map_err(raise)?);
        Ok(ObservationRows { rows })
    }

    fn observation(&self, py: Python<'_>, table: &str) -> PyResult<Table> {
        Table::new(py, || self.inner.observation_table(table))
    }

    fn __len__(&self) -> usize {
        usize::try_from(self.inner.counts().events).unwrap_or(usize::MAX)
    }

    fn __iter__(&self) -> PyResult<EventIterator> {
        Ok(EventIterator {
            anchor: self.inner.manifest().header.anchor,
            options: self.inner.options(),
            state: Mutex::new((self.inner.events().map_err(raise)?, VecDeque::new())),
        })
    }

    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        stream_capsule(py, Box::new(self.inner.batches()))
    }

    #[expect(clippy::unused_self, reason = "the protocol calls it on an object")]
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &membench_profile::schema())
    }
}

/// A table for any Arrow library.
#[pyclass(frozen, module = "membench")]
pub(super) struct Table {
    inner: membench_profile::Table,
    rows: u64,
}

impl Table {
    fn new(
        py: Python<'_>,
        find: impl FnOnce() -> membench_profile::Result<membench_profile::Table> + Send,
    ) -> PyResult<Self> {
        let found = py.detach(|| {
            let inner = find()?;
            let rows = inner.rows()?;
            Ok::<_, membench_profile::Error>(Self { inner, rows })
        });
        found.map_err(raise)
    }
}

#[pymethods]
impl Table {
    fn __len__(&self) -> usize {
        usize::try_from(self.rows).unwrap_or(usize::MAX)
    }

    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        let batches = py.detach(|| self.inner.batches()).map_err(raise)?;
        stream_capsule(py, Box::new(batches))
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &self.inner.schema())
    }
}

/// Rows of a table of an observation, some thousands at a time.
#[pyclass(frozen, module = "membench._native")]
pub(super) struct ObservationRows {
    rows: Mutex<membench_profile::ObservationRows>,
}

#[pymethods]
impl ObservationRows {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let next = py.detach(|| {
            let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            rows.next()
        });
        let rows = next.transpose().map_err(raise)?;
        rows.map(|rows| json(&rows)).transpose()
    }
}

#[pyclass(frozen, module = "membench._native")]
pub(super) struct EventIterator {
    anchor: Anchor,
    options: OptionsTable,
    state: Mutex<(
        Events,
        VecDeque<membench_profile::Result<membench_event::Event>>,
    )>,
}

#[pymethods]
impl EventIterator {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Event>> {
        let Some(event) = py.detach(|| self.fetch()) else {
            return Ok(None);
        };
        Ok(Some(Event::new(
            &event.map_err(raise)?,
            &self.options,
            self.anchor,
        )))
    }
}

impl EventIterator {
    fn fetch(&self) -> Option<membench_profile::Result<membench_event::Event>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (events, fetched) = &mut *state;
        if fetched.is_empty() {
            fetched.extend(events.take(FETCHED));
        }
        fetched.pop_front()
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Profile>()?;
    module.add_class::<Table>()?;
    module.add_class::<ObservationRows>()?;
    module.add_class::<EventIterator>()
}
