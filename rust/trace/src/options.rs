//! The options of a trace: calls, and the way in which they are written.

use std::{collections::BTreeSet, time::Duration};

use membench_common::trace::outcome;

use crate::{Result, line::Clock, selection};

/// Outcomes of calls that are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcomes {
    /// Every one.
    #[default]
    Any,
    /// Success.
    Succeeded,
    /// Failure.
    Failed,
}

impl Outcomes {
    pub(crate) const fn word(self) -> u32 {
        match self {
            Self::Any => outcome::ANY,
            Self::Succeeded => outcome::SUCCEEDED,
            Self::Failed => outcome::FAILED,
        }
    }
}

/// The way in which calls are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Lines as strace prints them.
    #[default]
    Strace,
    /// A JSON object a line.
    Json,
}

/// The way in which calls are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// Two tracepoints, which every call of every task passes.
    Tracepoints,
    /// The functions of the traced calls, at most 24: other calls and tasks pay nothing.
    Functions,
}

impl Hooks {
    /// Returns the name of the hooks.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tracepoints => "tracepoints",
            Self::Functions => "functions",
        }
    }
}

/// The options of a trace.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct Options {
    /// Processes; those that listen on the ports if there are none.
    pub pids: Vec<u32>,
    /// Ports of memcached. With ports, calls on other descriptors than their sockets are left out.
    pub ports: Vec<u16>,
    /// Numbers of the calls.
    pub calls: BTreeSet<u32>,
    /// Time below which calls are left out.
    pub slower_than: Option<Duration>,
    /// Outcomes that are asked for.
    pub outcome: Outcomes,
    /// Adds calls up instead of writing each.
    pub totals: bool,
    /// Writes names of descriptors.
    pub descriptors: bool,
    /// The time that precedes each line.
    pub clock: Clock,
    /// Local time minus UTC, s.
    pub utc_offset_s: i32,
    /// Writes the time that each call took.
    pub times: bool,
    /// The way in which calls are written.
    pub format: Format,
    /// Keeps lines for this time instead of passing them on at once.
    pub last: Option<Duration>,
    /// Writes keys and the first bytes of followed sockets, for the operator's own terminal.
    pub show_keys: bool,
    /// Also makes a timeline for Perfetto.
    pub timeline: bool,
    /// The way in which calls are seen; the cheapest that works if `None`.
    pub hooks: Option<Hooks>,
    /// Bytes of the rings between the kernel and this process.
    pub ring_bytes: u32,
}

impl Options {
    /// Creates the options that trace calls of a list such as `read,%network`, of nobody yet.
    ///
    /// # Errors
    ///
    /// Fails if a call or class is unknown, with the names that are like it.
    pub fn new(calls: &str) -> Result<Self> {
        Ok(Self {
            pids: Vec::new(),
            ports: Vec::new(),
            calls: selection::parse(calls)?,
            slower_than: None,
            outcome: Outcomes::Any,
            totals: false,
            descriptors: false,
            clock: Clock::None,
            utc_offset_s: 0,
            times: false,
            format: Format::Strace,
            last: None,
            show_keys: false,
            timeline: false,
            hooks: None,
            ring_bytes: 16 << 20,
        })
    }

    /// Returns the time below which the kernel leaves calls out, ns. Of kept lines, a slow call is what triggers.
    pub(crate) fn slower_ns(&self) -> u64 {
        match (self.slower_than, self.last) {
            (Some(limit), None) => u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
            _ => 0,
        }
    }
}
