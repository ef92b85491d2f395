//! One operation on one key, anonymised: what decoding yields and a profile holds.

pub use membench_protocol::Command;

/// Which of memcached's protocols a request used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// `get`, `set`, …
    Text,
    /// `mg`, `ms`, …
    Meta,
    /// The binary protocol.
    Binary,
}

/// How an operation ended, from its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// A value (or its flags) came back.
    Hit,
    /// Nothing was found by a reading command.
    Miss,
    /// Meta `W`: this client is to refill the item.
    Won,
    /// Meta `X`: the value is stale.
    Stale,
    /// A value was written, or a counter changed.
    Stored,
    /// A condition (`add`, `replace`, `append`, `prepend`) was not met.
    NotStored,
    /// The cas value differed.
    Exists,
    /// A writing command found no item.
    NotFound,
    /// The item was removed (or marked stale).
    Deleted,
    /// Its expiry was changed.
    Touched,
    /// A command without a key succeeded.
    Ok,
    /// `ERROR` or `CLIENT_ERROR`.
    ClientError,
    /// `SERVER_ERROR`.
    ServerError,
    /// No response was due (`noreply`, quiet) and none came.
    Suppressed,
}

macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $type {
            /// Every value, in the order of its number.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name used in profiles and reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

names!(Protocol { Text = "text", Meta = "meta", Binary = "binary" });
names!(Outcome {
    Hit = "hit",
    Miss = "miss",
    Won = "won",
    Stale = "stale",
    Stored = "stored",
    NotStored = "not_stored",
    Exists = "exists",
    NotFound = "not_found",
    Deleted = "deleted",
    Touched = "touched",
    Ok = "ok",
    ClientError = "client_error",
    ServerError = "server_error",
    Suppressed = "suppressed",
});

/// Index of an options string in its [`OptionsTable`]; 0 is the empty string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Options(pub u16);

/// The distinct options strings of a capture (`noreply`, `s v q MA`, …): canonical flag letters, never user content.
#[derive(Clone, Debug)]
pub struct OptionsTable {
    names: Vec<Box<str>>,
}

impl Default for OptionsTable {
    fn default() -> Self {
        Self {
            names: vec!["".into()],
        }
    }
}

impl OptionsTable {
    /// The index of `name`, added if new. A full table (65,536 distinct strings) maps to the empty string.
    pub fn intern(&mut self, name: &str) -> Options {
        if let Some(found) = self.names.iter().position(|known| **known == *name) {
            return Options(u16::try_from(found).unwrap_or(0));
        }
        let Ok(index) = u16::try_from(self.names.len()) else {
            return Options(0);
        };
        self.names.push(name.into());
        Options(index)
    }

    /// The string behind an index; empty if unknown.
    pub fn name(&self, options: Options) -> &str {
        self.names
            .get(usize::from(options.0))
            .map_or("", |name| name)
    }

    /// Every string, by index.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }
}

/// One operation on one key. A multi-get of N keys is N events that share `request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Return of the server's read that holds the request's first byte, `CLOCK_MONOTONIC`, ns.
    pub time: u64,
    /// Ordinal of the connection.
    pub connection: u32,
    /// Ordinal, on its connection, of the server's read in which the request starts.
    pub batch: u32,
    /// Ordinal of the request on its connection.
    pub request: u32,
    /// The verb.
    pub command: Command,
    /// Which protocol.
    pub protocol: Protocol,
    /// Keyed id of the key; none where the command has none.
    pub key: Option<u64>,
    /// Bytes of the key, decoded.
    pub key_size: Option<u8>,
    /// Bytes of the value stored, or returned on a hit.
    pub value_size: Option<u32>,
    /// Bytes of the request on the wire, value included; on its first event only.
    pub request_size: Option<u32>,
    /// Expiry as sent, in seconds; absolute times are made relative to the request and marked `A` in `options`.
    pub ttl: Option<i32>,
    /// Client flags as sent.
    pub flags: Option<u32>,
    /// Per-capture ordinal of the cas value sent or returned: equal values have equal ordinals.
    pub cas: Option<u32>,
    /// Arithmetic: the amount.
    pub delta: Option<u64>,
    /// Meta arithmetic: the initial value.
    pub initial: Option<u64>,
    /// Meta `N`: expiry of a vivified item, s.
    pub vivify_ttl: Option<i32>,
    /// Meta `R`: recache below this remaining ttl, s.
    pub recache_ttl: Option<i32>,
    /// Meta `O`: length of the opaque token, bytes.
    pub opaque_size: Option<u8>,
    /// Flags and modes.
    pub options: Options,
    /// How it ended; none when that was not seen.
    pub outcome: Option<Outcome>,
    /// Return of the read that completed the request → return of the send with the last byte of its response, ns,
    /// saturating.
    pub server_time: Option<u32>,
    /// Arrival → read, µs, where known.
    pub queue_time: Option<u32>,
}

impl Event {
    /// A command alone: the first of its connection, at time 0, of the text or meta protocol, with all else unknown.
    pub const fn of(command: Command) -> Self {
        Self {
            time: 0,
            connection: 0,
            batch: 0,
            request: 0,
            command,
            protocol: if command.is_meta() {
                Protocol::Meta
            } else {
                Protocol::Text
            },
            key: None,
            key_size: None,
            value_size: None,
            request_size: None,
            ttl: None,
            flags: None,
            cas: None,
            delta: None,
            initial: None,
            vivify_ttl: None,
            recache_ttl: None,
            opaque_size: None,
            options: Options(0),
            outcome: None,
            server_time: None,
            queue_time: None,
        }
    }
}
