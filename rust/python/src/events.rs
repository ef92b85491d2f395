//! The bindings of events: one at a time, and as columns.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use arrow_array::{RecordBatch, RecordBatchIterator};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use membench_event::{Anchor, OptionsTable};

use crate::arrow::stream_capsule;

/// One operation on one key; None if a value does not apply or was not seen.
///
/// The attributes are the columns of a profile, with units in the names of times.
#[pyclass(frozen, get_all, module = "membench")]
pub(super) struct Event {
    /// Moment at which the server read it, µs since 1970, UTC.
    time_us: i64,
    /// Ordinal of its connection.
    connection: u32,
    /// Ordinal, on its connection, of the server's read in which its request starts.
    batch: u32,
    /// Ordinal of its request on its connection.
    request: u32,
    /// The verb, as memcached names it.
    command: &'static str,
    /// `text`, `meta` or `binary`.
    protocol: &'static str,
    /// Keyed id of the key.
    key: Option<u64>,
    /// Bytes of the key.
    key_size: Option<u8>,
    /// Bytes of the value that was stored, or returned on a hit.
    value_size: Option<u32>,
    /// Bytes of the request, on the request's first event only.
    request_size: Option<u32>,
    /// Expiry as sent, s; 0 never expires.
    ttl: Option<i32>,
    /// Client flags.
    flags: Option<u32>,
    /// Ordinal of the cas value.
    cas: Option<u32>,
    /// Digits of the amount of an arithmetic command.
    delta_size: Option<u8>,
    /// Digits of the initial value of a counter.
    initial_size: Option<u8>,
    /// Expiry of a vivified item, s.
    vivify_ttl: Option<i32>,
    /// Remaining expiry below which to recache, s.
    recache_ttl: Option<i32>,
    /// Bytes of the opaque token.
    opaque_size: Option<u8>,
    /// Canonical flag letters and modes.
    options: String,
    /// `hit`, `miss`, `stored`, …; see the profile format.
    outcome: Option<&'static str>,
    /// From the read that completed the request to the send with its answer, ns.
    server_time_ns: Option<u64>,
    /// From arrival to the read, µs.
    queue_time_us: Option<u64>,
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
            delta_size: event.delta_size,
            initial_size: event.initial_size,
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

/// Events as columns, for any Arrow library.
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
