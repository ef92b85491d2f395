//! Connections and the losses on them: the rows of a profile's small tables.

use crate::Direction;

/// Transport of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// A UNIX-domain socket.
    Unix,
    /// UDP: the datagrams of one peer.
    Udp,
}

/// Side that closed a connection first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseSide {
    /// The client.
    Client,
    /// The server.
    Server,
}

impl Transport {
    /// Every transport with its name in profiles, in the order of the variants.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Tcp4, "tcp4"),
        (Self::Tcp6, "tcp6"),
        (Self::Unix, "unix"),
        (Self::Udp, "udp"),
    ];

    /// Name used in profiles.
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl CloseSide {
    /// Both sides with their names in profiles, in the order of the variants.
    pub const ALL: [(Self, &'static str); 2] = [(Self::Client, "client"), (Self::Server, "server")];

    /// Returns the side that sends in a direction.
    pub const fn sending(direction: Direction) -> Self {
        match direction {
            Direction::Request => Self::Client,
            Direction::Response => Self::Server,
        }
    }

    /// Name used in profiles.
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// Row of the connection table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRow {
    /// Ordinal of the connection, as in events.
    pub connection: u32,
    /// Ordinal of the server: a listening socket and its network namespace.
    pub server: u32,
    /// Ordinal of the client's address.
    pub client: u32,
    /// Transport of the connection.
    pub transport: Transport,
    /// Time of opening, `CLOCK_MONOTONIC` ns; `None` if before the recording.
    pub opened: Option<u64>,
    /// Time of closing, `CLOCK_MONOTONIC` ns; `None` if the recording does not show it.
    pub closed: Option<u64>,
    /// Side that closed the connection first; `None` if unknown.
    pub close_side: Option<CloseSide>,
    /// Bytes lost on the connection, both directions.
    pub lost_bytes: u64,
    /// Number of times decoding had to search for the next message after a loss.
    pub resyncs: u32,
}

/// Row of the loss table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossRow {
    /// Time of the loss, `CLOCK_MONOTONIC` ns.
    pub time: u64,
    /// Connection that the bytes were lost on; `None` if unknown.
    pub connection: Option<u32>,
    /// Loss term, as the ledger names it.
    pub cause: String,
    /// Bytes lost.
    pub bytes: u64,
}
