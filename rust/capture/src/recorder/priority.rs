//! A process → one that makes way for everything else on its machine.

use std::fs;

use rustix::process::{getpriority_process, setpriority_process};
use serde::Serialize;

/// The score of a process that is killed first when memory runs out.
const KILLED_FIRST: i32 = 1000;
const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// Measures by which a process makes way for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Yielding {
    /// Niceness of this thread and of those it starts; `None` if it was left alone.
    pub nice: Option<i32>,
    /// `oom_score_adj` of the process; `None` if it was left alone or could not be raised.
    pub oom_score_adj: Option<i32>,
}

/// Raises this thread's niceness to `nice` unless it is higher, and lets the process be killed first when memory runs
/// out. Neither takes a privilege, and neither can be undone without one.
pub(crate) fn make_way(nice: i32) -> Yielding {
    Yielding {
        nice: raise_niceness(nice),
        oom_score_adj: raise_oom_score(),
    }
}

fn raise_niceness(wanted: i32) -> Option<i32> {
    let held = getpriority_process(None).ok()?;
    if held >= wanted {
        return Some(held);
    }
    match setpriority_process(None, wanted) {
        Ok(()) => Some(wanted),
        Err(errno) => {
            log::warn!("niceness stays {held}: {errno}");
            Some(held)
        }
    }
}

fn raise_oom_score() -> Option<i32> {
    match fs::write(OOM_SCORE, KILLED_FIRST.to_string()) {
        Ok(()) => Some(KILLED_FIRST),
        Err(error) => {
            log::warn!("{OOM_SCORE}: {error}");
            None
        }
    }
}
