//! A request's events → operations: each event with what the whole pass knows about it.

use super::items::Access;
use membench_event::{Command, Event};

/// A command as reports name it: a `get` of several keys is an `mget`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind(u8);

impl Kind {
    /// How many kinds there are.
    pub(super) const COUNT: usize = Command::ALL.len() + 2;
    /// A `get` of several keys.
    pub(super) const MGET: Self = Self(26);
    /// A `gets` of several keys.
    pub(super) const MGETS: Self = Self(27);

    /// The kind of a request with this many keys.
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

    /// The name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MGET => "mget",
            Self::MGETS => "mgets",
            Self(index) => Command::ALL[usize::from(index)].name(),
        }
    }
}

/// One event, and what the whole pass knows about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation<'a> {
    pub(super) event: &'a Event,
    pub(super) kind: Kind,
    /// The first event of its request.
    pub(super) first: bool,
    /// Events of its request.
    pub(super) keys: u32,
    /// ns since the start.
    pub(super) time: u64,
    /// Ordinal of the connection among those seen.
    pub(super) connection: usize,
    /// What it did to its key's item.
    pub(super) access: Option<Access>,
}
