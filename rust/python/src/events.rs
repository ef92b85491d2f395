//! The bindings of events: one at a time, and as columns.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use arrow_array::{RecordBatch, RecordBatchIterator};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use membench_event::{Anchor, OptionsTable};

use crate::profile::stream_capsule;

#[pyclass(frozen, get_all, module = "membench")]
pub(super) struct Event {
    time_us: i64,
    connection: u32,
    batch: u32,
    request: u32,
    command: &'static str,
    protocol: &'static str,
    key: Option<u64>,
    key_size: Option<u8>,
    value_size: Option<u32>,
    request_size: Option<u32>,
    ttl: Option<i32>,
    flags: Option<u32>,
    cas: Option<u32>,
    delta: Option<u64>,
    initial: Option<u64>,
    vivify_ttl: Option<i32>,
    recache_ttl: Option<i32>,
    opaque_size: Option<u8>,
    options: String,
    outcome: Option<&'static str>,
    server_time_ns: Option<u32>,
    queue_time_us: Option<u32>,
}

impl Event {
    /// Converts an event: codes become names, and its time becomes µs since 1970.
    pub(super) fn new(
        event: &membench_event::Event,
        options: &OptionsTable,
        anchor: Anchor,
    ) -> Self {
        Self {
            time_us: anchor.utc_ns(event.time).div_euclid(1000),
            connection: event.connection,
            batch: event.batch,
            request: event.request,
            command: event.command.name(),
            protocol: event.protocol.name(),
            key: event.key,
            key_size: event.key_size,
            value_size: event.value_size,
            request_size: event.request_size,
            ttl: event.ttl,
            flags: event.flags,
            cas: event.cas,
            delta: event.delta,
            initial: event.initial,
            vivify_ttl: event.vivify_ttl,
            recache_ttl: event.recache_ttl,
            opaque_size: event.opaque_size,
            options: options.name(event.options).into(),
            outcome: event.outcome.map(membench_event::Outcome::name),
            server_time_ns: event.server_time,
            queue_time_us: event.queue_time,
        }
    }
}

#[pymethods]
impl Event {
    fn __repr__(&self) -> String {
        let outcome = self.outcome.unwrap_or("unknown");
        let key = self
            .key
            .map_or(String::new(), |key| format!(" key={key:016x}"));
        format!(
            "<Event {}{key} {outcome} connection={} request={}>",
            self.command, self.connection, self.request
        )
    }
}

/// Events that were fetched for a live consumer and not yet taken.
#[derive(Default)]
pub(super) struct Fetched(Mutex<VecDeque<Event>>);

impl Fetched {
    /// Returns the next event, fetching a batch if none is left.
    pub(super) fn next(
        &self,
        fetch: impl FnOnce() -> Option<membench_capture::Batch>,
    ) -> Option<Event> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            let batch = fetch()?;
            let named = batch
                .events
                .iter()
                .map(|event| Event::new(event, &batch.options, batch.anchor));
            waiting.extend(named);
        }
        waiting.pop_front()
    }
}

#[pyclass(frozen, module = "membench")]
pub(super) struct Batch {
    batch: RecordBatch,
}

impl Batch {
    /// Converts a live batch to columns.
    pub(super) fn new(batch: &membench_capture::Batch) -> crate::Result<Self> {
        let batch = membench_profile::record_batch(&batch.events, &batch.options, batch.anchor)?;
        Ok(Self { batch })
    }
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.batch.num_rows()
    }

    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        let batches = std::iter::once(Ok(self.batch.clone()));
        stream_capsule(
            py,
            Box::new(RecordBatchIterator::new(batches, self.batch.schema())),
        )
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Event>()?;
    module.add_class::<Batch>()
}
