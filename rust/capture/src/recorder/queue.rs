//! The queue between a recording and its live consumer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::recorder::Batch;

/// Events by which a consumer may lag. A consumer that stands still for seconds loses nothing at a usual rate.
pub(crate) const EVENTS_QUEUED: usize = 1 << 16;

/// The recording's side.
pub(crate) struct Feed {
    sender: Sender<Batch>,
    queued: Arc<AtomicUsize>,
    limit: usize,
}

/// The consumer's side.
pub(crate) struct Batches {
    receiver: Receiver<Batch>,
    queued: Arc<AtomicUsize>,
}

/// Creates a queue that holds at most `limit` events, or one batch if that is larger.
pub(crate) fn queue(limit: usize) -> (Feed, Batches) {
    let (sender, receiver) = channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let feed = Feed {
        sender,
        queued: Arc::clone(&queued),
        limit,
    };
    (feed, Batches { receiver, queued })
}

impl Feed {
    /// Returns true if a batch of this many events can be queued.
    pub(crate) fn has_room(&self, events: usize) -> bool {
        let queued = self.queued.load(Ordering::Relaxed);
        queued == 0 || queued + events <= self.limit
    }

    /// Queues a batch; false if the consumer lags too far behind, or is gone.
    pub(crate) fn push(&self, batch: Batch) -> bool {
        let events = batch.events.len();
        if !self.has_room(events) {
            return false;
        }
        self.queued.fetch_add(events, Ordering::Relaxed);
        self.sender.send(batch).is_ok()
    }
}

impl Batches {
    /// Returns the next batch, if one comes within `patience`.
    pub(crate) fn next(&self, patience: Duration) -> Option<Batch> {
        let batch = self.receiver.recv_timeout(patience).ok()?;
        self.queued.fetch_sub(batch.events.len(), Ordering::Relaxed);
        Some(batch)
    }
}
