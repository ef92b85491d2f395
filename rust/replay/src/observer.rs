//! The caller of a run, who follows it and may end it early.

use crate::measure::progress::Progress;

/// Caller of a run. Any `FnMut(&Progress) -> bool` is one.
pub trait Observer {
    /// Takes the progress, once a second and at the end; the run ends early if this returns false.
    fn interval(&mut self, progress: &Progress) -> bool;

    /// Returns true if the run is to go on. It is asked about ten times a second, before the first request too.
    fn goes_on(&mut self) -> bool {
        true
    }
}

impl<F: FnMut(&Progress) -> bool> Observer for F {
    fn interval(&mut self, progress: &Progress) -> bool {
        self(progress)
    }
}
