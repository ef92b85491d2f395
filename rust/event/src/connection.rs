//! Connections and the losses on them: the rows of a profile's small tables.

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// A UNIX-domain socket.
    Unix,
    /// UDP: what one peer's datagrams make up.
    Udp,
}

/// Who closed a connection first.
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

    /// The name used in profiles.
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl CloseSide {
    /// Both sides with their names in profiles, in the order of the variants.
    pub const ALL: [(Self, &'static str); 2] = [(Self::Client, "client"), (Self::Server, "server")];

    /// The name used in profiles.
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRow {
    /// Its ordinal, as in events.
    pub connection: u32,
    /// Ordinal of the server: a listening socket and its network namespace.
    pub server: u32,
    /// Ordinal of the client's address.
    pub client: u32,
    /// What carries it.
    pub transport: Transport,
    /// When it was opened, `CLOCK_MONOTONIC`, ns; none if before the recording.
    pub opened: Option<u64>,
    /// When it was closed, ns; none if after the recording.
    pub closed: Option<u64>,
    /// Who closed it.
    pub close_side: Option<CloseSide>,
    /// Bytes lost on it.
    pub lost_bytes: u64,
    /// How often decoding had to find the next message after a loss.
    pub resyncs: u32,
}

/// One loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossRow {
    /// When, `CLOCK_MONOTONIC`, ns.
    pub time: u64,
    /// On which connection, where known.
    pub connection: Option<u32>,
    /// The loss term, as the ledger names it.
    pub cause: String,
    /// How much.
    pub bytes: u64,
}
