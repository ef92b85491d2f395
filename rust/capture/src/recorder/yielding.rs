//! A process → one that stands back for everything else on its machine.

use std::fs;

use rustix::process::{getpriority_process, setpriority_process};
use serde::Serialize;

/// The kernel's word for "end this one first when memory runs out".
const FIRST_TO_GO: i32 = 1000;
const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// How a process stands back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Yielding {
    /// Niceness of this thread and those it starts: others go first. None where it was left alone.
    pub nice: Option<i32>,
    /// `oom_score_adj` of the process; none where it was left alone or could not be raised.
    pub oom_score_adj: Option<i32>,
}

/// Raises this thread's niceness to `nice` unless it is higher, and makes the process the first to go when memory
/// runs out. Neither takes a privilege, and neither can be taken back without one.
pub(crate) fn stand_back(nice: i32) -> Yielding {
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
    match fs::write(OOM_SCORE, FIRST_TO_GO.to_string()) {
        Ok(()) => Some(FIRST_TO_GO),
        Err(error) => {
            log::warn!("{OOM_SCORE}: {error}");
            None
        }
    }
}
