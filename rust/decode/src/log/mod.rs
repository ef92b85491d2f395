//! Bytes of memcached's log → events, one an operation: one recording's state, without threads or clocks.

mod clock;
mod connections;
mod line;
mod operations;
mod order;
#[cfg(test)]
mod tests;

use crate::privacy::KeyHasher;
use membench_event::{Anchor, Command, ConnectionRow, Event, OptionsTable};

use connections::{Peer, close_side};
pub use line::{Action, Entry, KEY_ROOM, Line, decode_key, parse};
use operations::{Logged, Operations, Stored, What};
use order::Order;

/// Longest line worth keeping; memcached's own limit is 4096.
const LINE_MAX: usize = 8192;

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines read, `skipped` ones not among them.
    pub lines: u64,
    /// Lines that memcached says it did not hand out.
    pub skipped: u64,
    /// Lines that are none of memcached's log.
    pub unparsed: u64,
    /// Times memcached's clock was set back.
    pub clock_steps: u64,
    /// Bytes of a line that the end cut short.
    pub boundary: u64,
}

/// Turns a log into events.
pub struct Log {
    hasher: KeyHasher,
    held: Vec<u8>,
    /// What is held began a line too long to be one.
    overlong: bool,
    order: Order<Logged>,
    operations: Operations,
    options: OptionsTable,
    counts: Counts,
}

impl Log {
    /// An empty log of a server whose clock is ahead of the anchor's by so many seconds.
    pub fn new(hasher: KeyHasher, anchor: Anchor, ahead_s: i64) -> Self {
        Self {
            hasher,
            held: Vec::new(),
            overlong: false,
            order: Order::default(),
            operations: Operations::new(anchor, ahead_s),
            options: OptionsTable::default(),
            counts: Counts::default(),
        }
    }

    /// Notes from where a connection came that is there already.
    pub fn note_connection(&mut self, descriptor: u32, address: &str) {
        self.operations
            .connections()
            .note_before(descriptor, address);
    }

    /// Takes the next bytes of the log, cut anywhere, that arrived at `now`, ns.
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

    /// Lets go of what has waited long enough by `now`.
    pub fn release(&mut self, now: u64) {
        while let Some(logged) = self.order.pop(now) {
            self.operations.settle(logged);
        }
        self.operations.sweep(now);
    }

    /// Ends the log: whatever waits becomes events. A line cut short by the end is none.
    pub fn finish(&mut self) {
        self.counts.boundary += self.held.len() as u64;
        self.held.clear();
        while let Some(logged) = self.order.pop_first() {
            self.operations.settle(logged);
        }
        self.operations.finish();
    }

    /// The events so far.
    pub fn events(&self) -> &[Event] {
        self.operations.events()
    }

    /// Forgets them.
    pub fn clear_events(&mut self) {
        self.operations.clear_events();
    }

    /// Their options: none.
    pub fn options(&self) -> &OptionsTable {
        &self.options
    }

    /// The connections so far.
    pub fn connections(&self) -> &[ConnectionRow] {
        self.operations.rows()
    }

    /// How many connections there were, and how many are open.
    pub fn connection_counts(&mut self) -> (usize, usize) {
        self.operations.connections().counts()
    }

    /// What became of the lines so far.
    pub fn counts(&self) -> Counts {
        Counts {
            clock_steps: self.operations.clock_steps(),
            ..self.counts
        }
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
        let logged = Logged {
            micros: entry.micros,
            arrived: now,
            what: self.hide(entry.action)?,
        };
        self.order.push(entry.gid, now, logged);
        while let Some(logged) = self.order.pop(now) {
            self.operations.settle(logged);
        }
        Some(())
    }

    /// A line without its key; none if the key is not one.
    fn hide(&self, action: Action<'_>) -> Option<What> {
        let mut room = [0; KEY_ROOM];
        Some(match action {
            Action::Lookup {
                key,
                found,
                descriptor,
                size,
            } => {
                let (key, key_size) = self.id(key, &mut room)?;
                What::Lookup {
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
                What::Store(Stored {
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
                What::Deletion {
                    key,
                    key_size,
                    command,
                }
            }
            Action::Open {
                address,
                descriptor,
            } => What::Open {
                descriptor,
                peer: Peer::of(address),
            },
            Action::Close { descriptor, reason } => What::Close {
                descriptor,
                side: close_side(reason),
            },
            Action::Other => What::Other,
        })
    }

    fn id(&self, encoded: &[u8], room: &mut [u8; KEY_ROOM]) -> Option<(u64, u8)> {
        let key = decode_key(encoded, room)?;
        Some((self.hasher.id(key), u8::try_from(key.len()).ok()?))
    }
}
