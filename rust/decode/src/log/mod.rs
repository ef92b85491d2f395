//! Bytes of memcached's log → events, one per operation: the state of one recording, without threads or clocks.

mod clock;
mod descriptors;
mod line;
mod operations;
mod order;
#[cfg(test)]
mod tests;

use crate::privacy::KeyHasher;
use crate::{Addresses, Connections};
use membench_event::{Anchor, Command, ConnectionRow, Event};

pub use descriptors::LEFT_OUT;
use descriptors::{Peer, close_side};
pub use line::{Action, Entry, KEY_ROOM, Line, decode_key, parse};
use operations::{HashedAction, Logged, Operations, Stored};
use order::Order;

/// Longest line that is kept, bytes; memcached's own limit is 4096.
const LINE_MAX: usize = 8192;

/// Counts of the lines of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines read; `skipped` lines are not among them.
    pub lines: u64,
    /// Lines that memcached says it did not hand out.
    pub skipped: u64,
    /// Lines that are not memcached's.
    pub unparsed: u64,
    /// Times memcached's clock was set back.
    pub clock_steps: u64,
    /// Bytes of an incomplete line at the end.
    pub boundary: u64,
}

/// The decoder of one server's log.
///
/// ```
/// use membench_decode::{log::Log, privacy::KeyHasher};
/// use membench_event::{Anchor, Command, Outcome};
///
/// let mut log = Log::new(KeyHasher::random()?, Anchor::default(), 0);
/// log.take(b"ts=5.17 gid=1 type=item_get key=user%3A42 sta", 0);
/// log.take(b"tus=found clsid=1 cfd=9 size=3\n", 0);
/// log.finish();
///
/// let [event] = log.events() else { panic!("one operation") };
/// assert_eq!((event.command, event.outcome), (Command::Get, Some(Outcome::Hit)));
/// assert_eq!((event.key_size, event.value_size), (Some(7), Some(3)));
/// assert_eq!(event.time, 5_000_017_000);
/// # Ok::<(), membench_decode::privacy::KeyError>(())
/// ```
pub struct Log {
    hasher: KeyHasher,
    /// The incomplete line at the end of the bytes taken.
    held: Vec<u8>,
    /// True while a line is read that is too long to be memcached's; its bytes are dropped.
    overlong: bool,
    order: Order<Logged>,
    operations: Operations,
    counts: Counts,
    /// Latest time of a line that has arrived, by memcached's clock, µs.
    latest: u64,
    /// Latest time in a stored log, ns: the clock by which its lines wait for earlier ones. `None` for a live log.
    stored_clock: Option<u64>,
}

impl Log {
    /// Creates the decoder for a server whose clock is ahead of the anchor's by `ahead_s` seconds.
    pub fn new(hasher: KeyHasher, anchor: Anchor, ahead_s: i64) -> Self {
        Self {
            hasher,
            held: Vec::new(),
            overlong: false,
            order: Order::default(),
            operations: Operations::new(anchor, ahead_s),
            counts: Counts::default(),
            latest: 0,
            stored_clock: None,
        }
    }

    /// Follows one connection in `number`, in the order in which connections appear; 0 and 1 are all. Events of the others
    /// carry [`LEFT_OUT`] as their connection.
    #[must_use]
    pub fn with_one_connection_in(mut self, number: u32) -> Self {
        self.operations.connections().follow_one_in(number);
        self
    }

    /// Reads a stored log, all of which has arrived: its own times tell how long a line has waited for earlier ones.
    #[must_use]
    pub fn stored(mut self) -> Self {
        self.stored_clock = Some(0);
        self
    }

    /// Remembers the clients' addresses in `addresses`, if given.
    #[must_use]
    pub fn with_addresses(mut self, addresses: Option<Addresses>) -> Self {
        self.operations.connections().remember(addresses);
        self
    }

    /// Notes the client's address of a connection that was opened before the log.
    pub fn note_connection(&mut self, descriptor: u32, address: &str) {
        self.operations
            .connections()
            .note_before(descriptor, address);
    }

    /// Takes the next bytes of the log, split anywhere, which arrived at `now`, ns.
    pub fn take(&mut self, bytes: &[u8], now: u64) {
        let mut rest = bytes;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let (line, others) = (&rest[..at], &rest[at + 1..]);
            rest = others;
            if self.held.is_empty() && !self.overlong {
                self.take_line(line, now);
            } else {
                self.hold(line);
                self.take_held(now);
            }
        }
        self.hold(rest);
        self.release(now);
    }

    /// Turns lines and look-ups that have waited long enough at `now`, ns, into events.
    pub fn release(&mut self, now: u64) {
        let now = self.stored_clock.unwrap_or(now);
        while let Some(logged) = self.order.pop(now) {
            self.operations.settle(logged);
        }
        self.operations.sweep(now);
    }

    /// Ends the log: lines and look-ups that still wait become events. An incomplete last line does not.
    pub fn finish(&mut self) {
        if self.overlong {
            self.take_held(u64::MAX);
        }
        self.counts.boundary += self.held.len() as u64;
        self.held.clear();
        while let Some(logged) = self.order.pop_first() {
            self.operations.settle(logged);
        }
        self.operations.finish();
    }

    /// Events since they were last cleared.
    pub fn events(&self) -> &[Event] {
        self.operations.events()
    }

    /// Forgets the events, and which connections were added.
    pub fn clear_events(&mut self) {
        self.operations.clear_events();
        self.operations.connections().table_mut().clear_added();
    }

    /// The table of connections.
    pub fn connections(&self) -> &Connections {
        self.operations.table()
    }

    /// Takes the rows of the connections that have ended since the last call.
    pub fn take_ended(&mut self) -> Vec<ConnectionRow> {
        self.operations.connections().table_mut().take_ended()
    }

    /// Counts of the lines so far.
    pub fn counts(&self) -> Counts {
        Counts {
            clock_steps: self.operations.clock_steps(),
            ..self.counts
        }
    }

    /// Returns the latest time of the lines that have arrived, `CLOCK_MONOTONIC`, ns.
    pub fn latest(&self) -> u64 {
        self.operations.place(self.latest)
    }

    fn hold(&mut self, part: &[u8]) {
        if self.overlong || self.held.len() + part.len() > LINE_MAX {
            self.overlong = true;
            self.held.clear();
        } else {
            self.held.extend_from_slice(part);
        }
    }

    fn take_held(&mut self, now: u64) {
        let line = std::mem::take(&mut self.held);
        if std::mem::take(&mut self.overlong) {
            self.counts.lines += 1;
            self.counts.unparsed += 1;
        } else {
            self.take_line(&line, now);
        }
    }

    fn take_line(&mut self, line: &[u8], now: u64) {
        let taken = match parse(line) {
            Some(Line::Blank) => return,
            Some(Line::Skipped(count)) => {
                self.counts.skipped = self.counts.skipped.saturating_add(count);
                return;
            }
            Some(Line::Entry(entry)) => self.take_entry(&entry, now),
            None => None,
        };
        self.counts.lines += 1;
        self.counts.unparsed += u64::from(taken.is_none());
    }

    fn take_entry(&mut self, entry: &Entry<'_>, now: u64) -> Option<()> {
        self.latest = self.latest.max(entry.micros);
        if let Some(clock) = &mut self.stored_clock {
            *clock = entry.micros.saturating_mul(1000).max(*clock);
        }
        let now = self.stored_clock.unwrap_or(now);
        let logged = Logged {
            micros: entry.micros,
            arrived: now,
            action: self.hide(entry.action)?,
        };
        self.order.push(entry.gid, now, logged);
        while let Some(logged) = self.order.pop(now) {
            self.operations.settle(logged);
        }
        Some(())
    }

    /// Replaces the key of an action by its id; `None` if the key is malformed.
    fn hide(&self, action: Action<'_>) -> Option<HashedAction> {
        let mut room = [0; KEY_ROOM];
        Some(match action {
            Action::Lookup {
                key,
                found,
                descriptor,
                size,
            } => {
                let (key, key_size) = self.id(key, &mut room)?;
                HashedAction::Lookup {
                    key,
                    key_size,
                    found,
                    descriptor,
                    size,
                }
            }
            Action::Store {
                key,
                outcome,
                command,
                ttl,
                descriptor,
                size,
            } => {
                let (key, key_size) = self.id(key, &mut room)?;
                HashedAction::Store(Stored {
                    key,
                    key_size,
                    outcome,
                    command: command.unwrap_or(Command::Other),
                    ttl,
                    descriptor,
                    size,
                })
            }
            Action::Deletion { key, command } => {
                let (key, key_size) = self.id(key, &mut room)?;
                HashedAction::Deletion {
                    key,
                    key_size,
                    command,
                }
            }
            Action::Open {
                address,
                descriptor,
            } => HashedAction::Open {
                descriptor,
                peer: Peer::parse(address),
            },
            Action::Close { descriptor, reason } => HashedAction::Close {
                descriptor,
                side: close_side(reason),
            },
            Action::Other => HashedAction::Other,
        })
    }

    fn id(&self, encoded: &[u8], room: &mut [u8; KEY_ROOM]) -> Option<(u64, u8)> {
        let key = decode_key(encoded, room)?;
        Some((self.hasher.id(key), u8::try_from(key.len()).ok()?))
    }
}
