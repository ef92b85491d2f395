//! Lines → those of the last seconds, kept until they are asked for.

use std::{collections::VecDeque, time::Duration};

/// Most bytes of lines that are kept.
const MOST: usize = 64 << 20;

/// Lines of the last seconds.
#[derive(Debug)]
pub(crate) struct Recent {
    span_ns: u64,
    lines: VecDeque<Kept>,
    bytes: usize,
    /// Calls that became too old.
    pub(crate) older: u64,
}

#[derive(Debug)]
struct Kept {
    time: u64,
    text: String,
    calls: u64,
}

impl Recent {
    pub(crate) fn new(span: Duration) -> Self {
        Self {
            span_ns: u64::try_from(span.as_nanos()).unwrap_or(u64::MAX),
            lines: VecDeque::new(),
            bytes: 0,
            older: 0,
        }
    }

    /// Keeps lines with `calls` calls that ended at a time, ns, and forgets what has become too old.
    pub(crate) fn push(&mut self, time: u64, text: String, calls: u64) {
        self.bytes += text.len();
        self.lines.push_back(Kept { time, text, calls });
        self.forget(time);
    }

    /// Forgets what is too old at a time, ns.
    pub(crate) fn forget(&mut self, now: u64) {
        let oldest = now.saturating_sub(self.span_ns);
        while let Some(first) = self.lines.front()
            && (first.time < oldest || self.bytes > MOST)
        {
            self.bytes -= first.text.len();
            self.older += first.calls;
            self.lines.pop_front();
        }
    }

    /// Hands over all lines; returns the number of calls in them.
    pub(crate) fn take(&mut self, to: &mut String) -> u64 {
        let mut calls = 0;
        for kept in self.lines.drain(..) {
            to.push_str(&kept.text);
            calls += kept.calls;
        }
        self.bytes = 0;
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_last_seconds_are_kept_and_older_ones_counted() {
        let mut recent = Recent::new(Duration::from_nanos(10));
        for time in 0..100 {
            recent.push(time, format!("{time}\n"), 1);
        }
        let mut text = String::new();
        assert_eq!((recent.take(&mut text), recent.older), (11, 89));
        assert!(text.starts_with("89\n") && text.ends_with("99\n"), "{text}");
        assert_eq!(recent.take(&mut text), 0);
    }

    #[test]
    fn memory_is_bounded_whatever_the_span() {
        let mut recent = Recent::new(Duration::MAX);
        for time in 0..200 {
            recent.push(time, "x".repeat(1 << 20), 1);
        }
        assert!(recent.bytes <= MOST && recent.older >= 136);
    }
}
