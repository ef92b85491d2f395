//! The unit that travels from the feeder to a shard: one operation on one key, plain and of fixed size.

use membench_event::{Command, Options, Outcome, Protocol};

/// What a shard is to do with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Send it.
    Request,
    /// Open the connection.
    Open,
    /// Close the connection once everything outstanding is answered.
    Close,
}

/// Yes-or-no facts of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u16);

impl Marks {
    /// The next operation belongs to the same request (a multi-get).
    pub const REQUEST_CONTINUES: Self = Self(1);
    /// The next operation leaves in the same write.
    pub const BATCH_CONTINUES: Self = Self(2);
    /// The value is a decimal number: the key is a counter.
    pub const DECIMAL: Self = Self(4);
    /// `ttl` was sent.
    pub const TTL: Self = Self(8);
    /// `cas` holds an ordinal that was sent.
    pub const CAS_SENT: Self = Self(16);
    /// `cas` holds an ordinal that was returned and is sent again later.
    pub const CAS_RETURNED: Self = Self(32);
    /// The key is longer than memcached allows: the recorded request was refused.
    pub const KEY_REFUSED: Self = Self(64);
    /// A value of `value_size` bytes follows the line.
    pub const VALUE: Self = Self(128);
    /// Binary arithmetic makes a counter that does not exist: `initial` and `vivify_ttl` were sent.
    pub const VIVIFIES: Self = Self(256);

    /// Whether `mark` is set.
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

/// One operation on one key, ready to be sent; everything a shard needs and nothing it has to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// When to send, ns after the start of the replay.
    pub intended: u64,
    /// What the key is rendered from: see [`crate::make::keys`].
    pub key: u64,
    /// Arithmetic: the amount.
    pub delta: u64,
    /// Meta and binary arithmetic: the initial value.
    pub initial: u64,
    /// Ordinal of the recorded connection.
    pub connection: u32,
    /// Bytes of the value to send; of the recorded value for reading commands.
    pub value_size: u32,
    /// Ordinal of a cas value: see the marks.
    pub cas: u32,
    /// Client flags.
    pub flags: u32,
    /// Bytes of the recorded request; on its first operation only.
    pub recorded_size: u32,
    /// Expiry, s.
    pub ttl: i32,
    /// Meta `N`; the expiry of a counter that binary arithmetic makes.
    pub vivify_ttl: i32,
    /// Meta `R`.
    pub recache_ttl: i32,
    /// Flags and modes.
    pub options: Options,
    /// What to do.
    pub kind: Kind,
    /// The verb.
    pub command: Command,
    /// Which protocol.
    pub protocol: Protocol,
    /// How the recorded operation ended.
    pub recorded: Option<Outcome>,
    /// Bytes of the key, decoded; 0 without a key.
    pub key_size: u8,
    /// Meta `O`: length of the opaque token; 4 for the binary protocol.
    pub opaque_size: u8,
    /// Yes-or-no facts.
    pub marks: Marks,
}

impl Operation {
    /// An operation with everything absent, to be filled in.
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
            kind,
            command: Command::Other,
            protocol: Protocol::Text,
            recorded: None,
            key_size: 0,
            opaque_size: 0,
            marks: Marks::default(),
        }
    }
}

/// Operations handed over at once; a batch is never split over two blocks.
pub type Block = Vec<Operation>;
