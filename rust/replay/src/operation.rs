//! Operations: one key each, plain and of fixed size, handed in blocks from the feeder to a shard.

use membench_event::{Command, Options, Outcome, Protocol};

/// Action that an operation asks of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Send the operation, as a request or as part of one.
    Request,
    /// Open the connection.
    Open,
    /// Close the connection once every request due an answer has one.
    Close,
}

/// Set of yes-or-no facts about an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u16);

impl Marks {
    /// The next operation belongs to the same request (a multi-get).
    pub const REQUEST_CONTINUES: Self = Self(1);
    /// The next operation belongs to the same batch, which leaves in one write.
    pub const BATCH_CONTINUES: Self = Self(2);
    /// The value is a decimal number, because some request counts with the key.
    pub const DECIMAL: Self = Self(4);
    /// The recorded request held an expiry, which is in `ttl`.
    pub const TTL: Self = Self(8);
    /// The recorded request held a cas value; `cas` is its ordinal.
    pub const CAS_SENT: Self = Self(16);
    /// The recorded answer held a cas value that some request compares with; `cas` is its ordinal.
    pub const CAS_RETURNED: Self = Self(32);
    /// The key is longer than memcached allows, so the recorded request was refused.
    pub const KEY_REFUSED: Self = Self(64);
    /// A value of `value_size` bytes follows the request's line or header.
    pub const VALUE: Self = Self(128);
    /// The request follows a miss at the target, and is not in the recording.
    pub const FILL: Self = Self(512);
    /// The request creates a missing item with `vivify_ttl`; arithmetic also with `initial`.
    pub const VIVIFIES: Self = Self(256);

    /// True if `mark` is set.
    pub fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }

    /// Sets `mark` if `yes`.
    pub fn set(&mut self, mark: Self, yes: bool) {
        if yes {
            self.0 |= mark.0;
        }
    }
}

/// One operation on one key, with everything a shard needs to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Intended time, ns after the start of the replay.
    pub intended: u64,
    /// Number that the key spells, from `ShortKeys::number`.
    pub key: u64,
    /// Amount to add or subtract, for arithmetic.
    pub delta: u64,
    /// Initial value of a counter, for meta and binary arithmetic.
    pub initial: u64,
    /// Number of the connection among those with requests to send.
    pub connection: u32,
    /// Bytes of the value to send; for reading commands, of the recorded value.
    pub value_size: u32,
    /// Ordinal of a cas value, if [`Marks::CAS_SENT`] or [`Marks::CAS_RETURNED`] is set.
    pub cas: u32,
    /// Client flags.
    pub flags: u32,
    /// Bytes of the recorded request; 0 on all its operations but the first.
    pub recorded_size: u32,
    /// Expiry relative to now, s.
    pub ttl: i32,
    /// Expiry of a created item, s: meta `N`, or binary arithmetic.
    pub vivify_ttl: i32,
    /// Remaining expiry below which the item is to be recached, s: meta `R`.
    pub recache_ttl: i32,
    /// Index of the request's flags and modes.
    pub options: Options,
    /// Number of the store that follows a miss, from 1 on; 0 if none does, [`u32::MAX`] if it is not known.
    pub fill: u32,
    /// Action to take.
    pub kind: Kind,
    /// Command of the request.
    pub command: Command,
    /// Protocol of the request.
    pub protocol: Protocol,
    /// Outcome of the recorded operation; `None` if it was not seen.
    pub recorded: Option<Outcome>,
    /// Bytes of the key, decoded; 0 without a key.
    pub key_size: u8,
    /// Bytes that precede the key, of those that every key gets.
    pub key_prefix: u8,
    /// Bytes of the opaque token: of meta `O`, or 4 in the binary protocol.
    pub opaque_size: u8,
    /// Yes-or-no facts.
    pub marks: Marks,
}

impl Operation {
    /// Makes an operation of `kind` on `connection` with all other facts absent.
    pub fn new(kind: Kind, connection: u32, intended: u64) -> Self {
        Self {
            intended,
            key: 0,
            delta: 0,
            initial: 0,
            connection,
            value_size: 0,
            cas: 0,
            flags: 0,
            recorded_size: 0,
            ttl: 0,
            vivify_ttl: 0,
            recache_ttl: 0,
            options: Options::default(),
            fill: 0,
            kind,
            command: Command::Other,
            protocol: Protocol::Text,
            recorded: None,
            key_size: 0,
            key_prefix: 0,
            opaque_size: 0,
            marks: Marks::default(),
        }
    }
}

/// Operations handed to a shard at once. No batch is split over two blocks.
pub type Block = Vec<Operation>;
