//! Requests to end a recording → its thread, which acts on the first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::source::end::Ended;

/// A request to end a recording; the first one counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    /// Wakes the recording's thread.
    pub(crate) token: CancellationToken,
    ended: Arc<Mutex<Option<Ended>>>,
}

impl Stop {
    /// Asks the recording to end.
    pub(crate) fn ask(&self, why: Ended) {
        lock(&self.ended).get_or_insert(why);
        self.token.cancel();
    }

    /// The reason given first.
    pub(crate) fn ended(&self) -> Ended {
        lock(&self.ended)
            .clone()
            .unwrap_or_else(|| Ended::Asked("stop".to_owned()))
    }
}

/// Locks a mutex. What a thread that panicked left behind is still whole: every change here is one assignment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
