//! An observer beside the recording → its rows, on their way into the profile.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use membench_event::Anchor;
use membench_profile::Observation;

use crate::Result;
use crate::recorder::stop::lock;
use crate::session::peer::{OwnAddresses, Peer};

/// Intervals that wait for a recording that is busy.
const QUEUED: usize = 16;

/// The observer's side.
pub(crate) struct Companion {
    /// None once the observer has ended.
    sender: Mutex<Option<SyncSender<Observation>>>,
    anchor: Anchor,
    own: OwnAddresses,
}

/// The recording's side.
pub(crate) struct Rows(Receiver<Observation>);

impl Companion {
    /// Creates both sides. Times are placed by the recording's `anchor`.
    pub(crate) fn new(anchor: Anchor, own: OwnAddresses) -> (Self, Rows) {
        let (sender, receiver) = sync_channel(QUEUED);
        let companion = Self {
            sender: Mutex::new(Some(sender)),
            anchor,
            own,
        };
        (companion, Rows(receiver))
    }

    /// Hands rows on; false if the recording lags behind, or has ended.
    pub(crate) fn hand_on(&self, text: &str) -> Result<bool> {
        let rows = Observation::parse(text, self.anchor)?;
        let sender = lock(&self.sender);
        Ok(sender
            .as_ref()
            .is_some_and(|sender| sender.try_send(rows).is_ok()))
    }

    /// Ends the observation: its last rows were handed on.
    pub(crate) fn end(&self) {
        lock(&self.sender).take();
    }

    /// Keeps a connection of the observer's out of the recording, by its local end.
    pub(crate) fn exclude(&self, address: SocketAddr) {
        self.own.add(Peer::Address(address));
    }
}

impl Rows {
    /// Returns the next rows, if they are there.
    pub(crate) fn next(&self) -> Option<Observation> {
        self.0.try_recv().ok()
    }

    /// Waits for the next rows until `deadline`; `None` if the observer has ended, or lets the recording wait.
    pub(crate) fn next_until(&self, deadline: Instant) -> Option<Observation> {
        let patience = deadline.saturating_duration_since(Instant::now());
        self.0.recv_timeout(patience).ok()
    }
}

/// Time that an observer may take for its last rows.
pub(crate) const LAST_ROWS: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = r#"{"observe-counters": [
        {"time": 1000, "port": 11211, "counter": "cmd_get", "growth": 7}
    ]}"#;

    #[test]
    fn a_recording_that_lags_is_told_from_one_that_takes_rows() {
        let (companion, rows) = Companion::new(Anchor::default(), OwnAddresses::default());
        for _ in 0..QUEUED {
            assert!(companion.hand_on(ROWS).unwrap());
        }
        assert!(!companion.hand_on(ROWS).unwrap());
        assert!(rows.next().is_some());
        assert!(companion.hand_on(ROWS).unwrap());
    }

    #[test]
    fn the_last_rows_are_waited_for_until_the_observer_has_ended() {
        let (companion, rows) = Companion::new(Anchor::default(), OwnAddresses::default());
        let deadline = Instant::now() + Duration::from_mins(1);
        companion.hand_on(ROWS).unwrap();
        companion.end();
        assert!(rows.next_until(deadline).is_some());
        assert!(rows.next_until(deadline).is_none());
        assert!(Instant::now() < deadline);
        assert!(!companion.hand_on(ROWS).unwrap());
    }

    #[test]
    fn rows_that_fit_no_table_are_refused() {
        let (companion, _rows) = Companion::new(Anchor::default(), OwnAddresses::default());
        for text in [
            "",
            "[]",
            r#"{"other": [{}]}"#,
            r#"{"observe-counters": [{"time": 1}]}"#,
        ] {
            assert!(companion.hand_on(text).is_err(), "{text}");
        }
    }
}
