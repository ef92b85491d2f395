//! [`Event`]: one anonymised operation on one key, as decoding yields it and a profile holds it.

pub use membench_protocol::Command;

use crate::Options;

/// The protocol of a request.
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

/// The result of an operation, taken from its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// A value (or its flags) was returned.
    Hit,
    /// A reading command found no item.
    Miss,
    /// Meta `W`: this client has won the right to recache the item.
    Won,
    /// Meta `X`: the value is stale.
    Stale,
    /// A value was written, or a counter changed.
    Stored,
    /// The condition of an `add`, `replace`, `append` or `prepend` failed.
    NotStored,
    /// The cas value differed.
    Exists,
    /// A writing command found no item.
    NotFound,
    /// The item was removed (or marked stale).
    Deleted,
    /// The item's expiry was changed.
    Touched,
    /// A command without a key succeeded.
    Ok,
    /// `ERROR` or `CLIENT_ERROR`.
    ClientError,
    /// `SERVER_ERROR`.
    ServerError,
    /// No response was due (`noreply`, quiet), and none came.
    Suppressed,
}

macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $type {
            /// Every value, in order of its discriminant.
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

/// One operation on one key. A multi-get of N keys is N events with the same `request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Time at which the server's read of the request's first byte returned, `CLOCK_MONOTONIC`, ns.
    pub time: u64,
    /// Ordinal of the connection within the capture.
    pub connection: u32,
    /// Ordinal, within the connection, of the server's read in which the request starts.
    pub batch: u32,
    /// Ordinal of the request within its connection.
    pub request: u32,
    /// The command.
    pub command: Command,
    /// The protocol.
    pub protocol: Protocol,
    /// Keyed id of the key; `None` if the command has no key.
    pub key: Option<u64>,
    /// Size of the decoded key, bytes.
    pub key_size: Option<u8>,
    /// Size of the value stored, or returned by a hit, bytes.
    pub value_size: Option<u32>,
    /// Size of the request on the wire, value included, bytes; only on the first event of the request.
    pub request_size: Option<u32>,
    /// Expiry as sent, s. An absolute time is made relative to the request and marked `A` in `options`.
    pub ttl: Option<i32>,
    /// Client flags as sent.
    pub flags: Option<u32>,
    /// Ordinal, within the capture, of the cas value sent or returned: equal values have equal ordinals.
    pub cas: Option<u32>,
    /// Digits of the amount of an arithmetic command. The amount itself is content.
    pub delta_size: Option<u8>,
    /// Digits of the initial value of a counter that does not exist yet (meta `J`, binary arithmetic).
    pub initial_size: Option<u8>,
    /// Expiry of an item created on a miss (meta `N`, binary arithmetic), s.
    pub vivify_ttl: Option<i32>,
    /// Remaining expiry below which the client recaches the item (meta `R`), s.
    pub recache_ttl: Option<i32>,
    /// Size of the opaque token (meta `O`), bytes.
    pub opaque_size: Option<u8>,
    /// The flags and modes of the request.
    pub options: Options,
    /// The result; `None` if it was not observed.
    pub outcome: Option<Outcome>,
    /// From the return of the read that completed the request to the return of the send with the last byte of its
    /// response, ns.
    pub server_time: Option<u64>,
    /// From arrival to read, where known, µs.
    pub queue_time: Option<u64>,
}

impl Event {
    /// Creates an event of `command` in the text or meta protocol: the first request of connection 0, at time 0, with
    /// every other field unknown.
    pub const fn new(command: Command) -> Self {
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
            delta_size: None,
            initial_size: None,
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
