//! Slow requests of the last while, of which a timeline is drawn when it is asked for.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::SlowRequest;

/// Most requests that are remembered: some 100 MB.
const MOST: usize = 100_000;

/// Slow requests of the last while.
pub(crate) struct Hindsight {
    length: Duration,
    /// By interval: its end, and its requests.
    kept: VecDeque<(Instant, Vec<SlowRequest>)>,
}

impl Hindsight {
    pub(crate) fn new(length: Duration) -> Self {
        Self {
            length,
            kept: VecDeque::new(),
        }
    }

    /// Remembers an interval that ended now, and forgets what is too old or too much.
    pub(crate) fn add(&mut self, now: Instant, requests: Vec<SlowRequest>) {
        self.kept.push_back((now, requests));
        let mut amount: usize = self.kept.iter().map(|(_, one)| one.len()).sum();
        while let Some((end, oldest)) = self.kept.front() {
            let is_old = now.saturating_duration_since(*end) >= self.length;
            if !is_old && (amount <= MOST || self.kept.len() == 1) {
                break;
            }
            amount -= oldest.len();
            self.kept.pop_front();
        }
    }

    /// Returns what is remembered, and forgets it.
    pub(crate) fn take(&mut self) -> Vec<SlowRequest> {
        let kept = std::mem::take(&mut self.kept);
        kept.into_iter()
            .flat_map(|(_, requests)| requests)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(time_ns: i64) -> SlowRequest {
        SlowRequest {
            time_ns,
            began_s: 0.0,
            whole_ns: 1,
            parts_ns: std::collections::BTreeMap::new(),
            client: String::new(),
            port: 1,
            process: 1,
            thread: 1,
            name: String::new(),
            command: None,
            answer: None,
            request_bytes: 0,
            answer_bytes: 0,
        }
    }

    #[test]
    fn what_is_older_than_the_length_is_forgotten() {
        let begin = Instant::now();
        let mut hindsight = Hindsight::new(Duration::from_secs(3));
        for second in 0..10_u32 {
            let end = begin + Duration::from_secs(second.into());
            hindsight.add(end, vec![request(second.into())]);
        }
        let times: Vec<_> = hindsight.take().iter().map(|one| one.time_ns).collect();
        assert_eq!(times, [7, 8, 9]);
        assert!(hindsight.take().is_empty());
    }

    #[test]
    fn more_requests_than_fit_are_forgotten_the_oldest_first() {
        let now = Instant::now();
        let mut hindsight = Hindsight::new(Duration::from_hours(1));
        for time in 0..3 {
            hindsight.add(now, vec![request(time); MOST / 2]);
        }
        let kept = hindsight.take();
        assert_eq!(kept.len(), MOST);
        assert!(kept.iter().all(|one| one.time_ns > 0));
    }
}
