//! The events of a request → operations, which add what the whole pass knows about each event.

use super::items::Access;
use membench_event::{Command, Event};

/// Command as reports name it: a `get` of several keys is an `mget`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind(u8);

impl Kind {
    /// Number of kinds.
    pub(super) const COUNT: usize = Command::ALL.len() + 2;
    /// A `get` of several keys.
    pub(super) const MGET: Self = Self(26);
    /// A `gets` of several keys.
    pub(super) const MGETS: Self = Self(27);

    /// Kind of a request with this many keys.
    pub(super) fn new(command: Command, keys: u32) -> Self {
        match (command, keys) {
            (Command::Get, 2..) => Self::MGET,
            (Command::Gets, 2..) => Self::MGETS,
            _ => Self(command as u8),
        }
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..=Self::MGETS.0).map(Self)
    }

    /// Name used in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MGET => "mget",
            Self::MGETS => "mgets",
            Self(index) => Command::ALL[usize::from(index)].name(),
        }
    }
}

/// One event, with what the whole pass knows about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation<'a> {
    pub(super) event: &'a Event,
    pub(super) kind: Kind,
    /// True for the first event of its request.
    pub(super) first: bool,
    /// Number of events of its request.
    pub(super) keys: u32,
    /// Time since the start, ns.
    pub(super) time: u64,
    /// Ordinal of the connection among those seen.
    pub(super) connection: usize,
    /// Access to the item of its key; `None` if it has no key.
    pub(super) access: Option<Access>,
}
