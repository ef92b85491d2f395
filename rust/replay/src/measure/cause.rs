//! Names of the reasons why a planned request was not sent, or got no answer; reports count by them.

/// The target closed the connection, or the connection broke.
pub(crate) const CLOSED: &str = "closed_by_target";
/// The connection could not be made.
pub(crate) const REFUSED: &str = "connection_refused";
/// The request was late, and late ones are dropped.
pub(crate) const LATE: &str = "late";
/// No answer arrived within the time allowed after the last request, or while too many requests waited for theirs.
pub(crate) const TIMEOUT: &str = "no_answer_in_time";
/// The run was stopped.
pub(crate) const STOPPED: &str = "stopped";
