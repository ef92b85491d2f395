//! [`Connections`]: the table of a capture's connections, of which only those that are open are held.

use membench_event::{ConnectionRow, NumberMap, Transport};

/// Connections of a capture.
///
/// A row stays in the table until its connection has ended. It then waits for [`take_ended`](Self::take_ended), so that
/// memory is bounded by the connections that are open at a time.
///
/// ```
/// use membench_decode::Connections;
/// use membench_event::Transport;
///
/// let mut connections = Connections::default();
/// let first = connections.add(0, 7, Transport::Tcp4, Some(1_000));
/// let second = connections.add(0, 7, Transport::Tcp4, None);
/// connections.end(first);
/// assert_eq!(connections.take_ended().len(), 1);
/// assert_eq!(connections.get(second).map(|row| row.client), Some(7));
/// assert_eq!((connections.total(), connections.open()), (2, 1));
/// ```
#[derive(Debug, Default)]
pub struct Connections {
    open: NumberMap<u32, ConnectionRow>,
    ended: Vec<ConnectionRow>,
    /// Connection and client of those that were added since the last call to `clear_added`.
    added: Vec<(u32, u32)>,
    total: u64,
    /// Rows without a time of opening among those that have ended.
    ended_open_at_start: u64,
}

impl Connections {
    /// Adds a connection and returns its ordinal.
    pub fn add(
        &mut self,
        server: u32,
        client: u32,
        transport: Transport,
        opened: Option<u64>,
    ) -> u32 {
        // Ordinals start again after four billion connections.
        #[expect(clippy::cast_possible_truncation, reason = "it wraps around")]
        let connection = self.total as u32;
        self.total += 1;
        self.added.push((connection, client));
        self.open.insert(
            connection,
            ConnectionRow {
                connection,
                server,
                client,
                transport,
                opened,
                closed: None,
                close_side: None,
                lost_bytes: 0,
                resyncs: 0,
            },
        );
        connection
    }

    /// Returns the row of a connection that has not ended.
    #[inline]
    pub fn get(&self, connection: u32) -> Option<&ConnectionRow> {
        self.open.get(&connection)
    }

    /// Returns the row of a connection that has not ended, for changes.
    pub fn get_mut(&mut self, connection: u32) -> Option<&mut ConnectionRow> {
        self.open.get_mut(&connection)
    }

    /// Ends a connection: its row does not change any more.
    pub fn end(&mut self, connection: u32) {
        if let Some(row) = self.open.remove(&connection) {
            self.ended_open_at_start += u64::from(row.opened.is_none());
            self.ended.push(row);
        }
    }

    /// Takes the rows of the connections that have ended since the last call.
    pub fn take_ended(&mut self) -> Vec<ConnectionRow> {
        std::mem::take(&mut self.ended)
    }

    /// Returns the rows of the connections that have not ended, by their ordinals.
    pub fn open_rows(&self) -> Vec<ConnectionRow> {
        let mut rows: Vec<_> = self.open.values().cloned().collect();
        rows.sort_unstable_by_key(|row| row.connection);
        rows
    }

    /// Returns the rows that were not taken yet, of ended and of open connections, by their ordinals.
    pub fn rows(&self) -> Vec<ConnectionRow> {
        let mut rows = self.open_rows();
        rows.extend_from_slice(&self.ended);
        rows.sort_unstable_by_key(|row| row.connection);
        rows
    }

    /// Connection and client of those that were added since the last call to [`clear_added`](Self::clear_added).
    pub fn added(&self) -> &[(u32, u32)] {
        &self.added
    }

    /// Forgets which connections were added.
    pub fn clear_added(&mut self) {
        self.added.clear();
    }

    /// Number of connections so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Number of connections that have not ended.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Number of connections so far that were opened before the capture.
    pub fn open_at_start(&self) -> u64 {
        let open = self.open.values().filter(|row| row.opened.is_none());
        self.ended_open_at_start + open.count() as u64
    }
}
