//! Parsed requests → events without their place in the capture.
//!
//! The context holds the state that all connections share: key hasher, options, cas ordinals, dialects, decoded events.

use std::collections::{BTreeMap, BTreeSet};

use membench_protocol::request::Request;
use membench_protocol::{Dialect, Key};

use crate::privacy::KeyHasher;
use membench_event::{Event, Options, OptionsTable, Protocol, digits};

use super::Responses;
use super::cas;
use crate::numbering::Numbering;

/// Longest relative expiry time, s: memcached takes larger ones as UNIX times (its `REALTIME_MAXDELTA`).
const LONGEST_RELATIVE_TTL: i64 = 60 * 60 * 24 * 30;

/// Different options strings that are stored as sent. Beyond them only [`ESSENTIAL`] flags are kept, so that a client which
/// permutes its flags cannot make the table grow for ever.
const MOST_AS_SENT: usize = 4_096;
/// Letters of the flags that decide what memcached does, whether it answers, and whether it returns the value. `M` and its
/// mode, and `A`, go with them: 9,216 combinations in all.
const ESSENTIAL: &str = "AbCDIMNqTv";

/// State shared by all connections of a [`super::Decoder`].
pub(super) struct Context {
    pub(super) hasher: KeyHasher,
    pub(super) options: OptionsTable,
    /// Options of a classic request with `noreply`.
    pub(super) noreply: Options,
    /// Requests whose options are not stored as sent, because the table was full.
    pub(super) options_cut: u64,
    pub(super) cas: Numbering<u64>,
    pub(super) responses: Responses,
    /// True if segments come from clients' sockets: a client may send before earlier requests are answered.
    pub(super) client_side: bool,
    /// True while the source is detaching. It stops seeing sends first, so later reads are not decoded: their answers
    /// may go unseen.
    pub(super) is_detaching: bool,
    /// UTC minus the clock of segment times, ns.
    utc_offset: i128,
    pub(super) events: Vec<Event>,
    /// Dialect of each server whose version is known.
    dialects: BTreeMap<u32, Dialect>,
    /// Servers that a client had set their counters to 0.
    pub(super) resets: BTreeSet<u32>,
    /// Bytes of responses that each server does not count as written.
    pub(super) uncounted: BTreeMap<u32, u64>,
    /// Scratch space for an options string.
    text: String,
}

impl Context {
    pub(super) fn new(hasher: KeyHasher, responses: Responses, utc_offset: i128) -> Self {
        let mut options = OptionsTable::default();
        let noreply = options.intern("noreply").unwrap_or_default();
        Self {
            hasher,
            options,
            noreply,
            options_cut: 0,
            cas: cas::ordinals(),
            responses,
            client_side: false,
            is_detaching: false,
            utc_offset,
            events: Vec::new(),
            dialects: BTreeMap::new(),
            resets: BTreeSet::new(),
            uncounted: BTreeMap::new(),
            text: String::new(),
        }
    }

    /// Dialect of a server; `None` until its version is known.
    pub(super) fn dialect(&self, server: u32) -> Option<Dialect> {
        self.dialects.get(&server).copied()
    }

    /// Records the dialect of a server's version. An unknown version changes nothing.
    pub(super) fn learn_version(&mut self, server: u32, version: &[u8]) {
        if let Some(dialect) = Dialect::from_version(version) {
            self.dialects.insert(server, dialect);
        }
    }

    /// Returns the id of a key as memcached stores it: a key sent in base64 is decoded first.
    #[inline]
    pub(super) fn key_id(&self, key: &Key<'_>) -> u64 {
        self.identify(key).0
    }

    /// Returns id and size of a key as memcached stores it.
    #[inline]
    fn identify(&self, key: &Key<'_>) -> (u64, usize) {
        if !key.is_base64() {
            return (self.hasher.id(key.raw()), key.raw().len());
        }
        let mut scratch = [0; 256];
        let decoded = key.decode(&mut scratch);
        (self.hasher.id(decoded), decoded.len())
    }

    /// Sets the event's key id and key size.
    #[inline]
    pub(super) fn set_key(&self, event: &mut Event, key: &Key<'_>) {
        let (id, size) = self.identify(key);
        event.key = Some(id);
        event.key_size = Some(u8::try_from(size).unwrap_or(u8::MAX));
    }

    /// Returns the event of a request read at `time`, without its place in the capture and its key.
    pub(super) fn event(&mut self, request: &Request<'_>, time: u64) -> Event {
        let (ttl, absolute) = self.relative_ttl(request.ttl, time);
        Event {
            time,
            protocol: match request.opcode {
                Some(_) => Protocol::Binary,
                None if request.meta => Protocol::Meta,
                None => Protocol::Text,
            },
            value_size: request.value_size,
            ttl,
            flags: request.client_flags,
            cas: request.cas.map(|cas| self.cas.ordinal(cas)),
            delta_size: request.delta.map(digits),
            initial_size: request.initial.map(digits),
            vivify_ttl: request.vivify_ttl,
            recache_ttl: request.recache_ttl,
            opaque_size: request
                .opaque
                .filter(|_| request.opcode.is_none())
                .map(|token| u8::try_from(token.len()).unwrap_or(u8::MAX)),
            options: self.intern_options(request, absolute),
            ..Event::new(request.command)
        }
    }

    /// Converts an expiry time as sent to seconds from `time`. The flag is true if it was sent as a UNIX time.
    fn relative_ttl(&self, ttl: Option<i32>, time: u64) -> (Option<i32>, bool) {
        let Some(sent) = ttl else {
            return (None, false);
        };
        if i64::from(sent) <= LONGEST_RELATIVE_TTL {
            return (Some(sent), false);
        }
        let now = (i128::from(time) + self.utc_offset) / 1_000_000_000;
        let relative = i128::from(sent) - now;
        (Some(i32::try_from(relative).unwrap_or(i32::MAX)), true)
    }

    /// Interns the options of a request; `absolute` adds the mark of a UNIX expiry time. No string is built for a
    /// classic request without that mark, which has at most `noreply`.
    fn intern_options(&mut self, request: &Request<'_>, absolute: bool) -> Options {
        if !request.meta && request.opcode.is_none() && !absolute {
            return if request.noreply {
                self.noreply
            } else {
                Options::default()
            };
        }
        self.text.clear();
        let written = request.options(&mut self.text);
        debug_assert!(written.is_ok(), "a String takes any text");
        if absolute {
            let space = if self.text.is_empty() { "" } else { " " };
            self.text.push_str(space);
            self.text.push('A');
        }
        self.intern_text()
    }

    /// Interns the options in `text`; only the essential ones if they are new and the table is full.
    fn intern_text(&mut self) -> Options {
        if let Some(known) = self.options.get(&self.text) {
            return known;
        }
        if self.options.names().len() >= MOST_AS_SENT {
            let mut kept: Vec<&str> = self.text.split(' ').collect();
            kept.retain(|word| word.starts_with(|letter| ESSENTIAL.contains(letter)));
            kept.sort_unstable();
            let kept = kept.join(" ");
            self.options_cut += u64::from(kept != self.text);
            self.text = kept;
        }
        self.options.intern(&self.text).unwrap_or_default()
    }
}
