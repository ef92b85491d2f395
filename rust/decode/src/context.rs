//! What every connection shares while decoding: key ids, options, cas ordinals, and the events found.

use std::collections::BTreeMap;

use membench_protocol::request::Request;
use membench_protocol::{Dialect, Key};

use crate::privacy::KeyHasher;
use membench_event::{Event, Options, OptionsTable, Protocol};

use super::Responses;
use super::cas::CasOrdinals;

/// Expiry times beyond this are UNIX times (memcached's `REALTIME_MAXDELTA`), s.
const LONGEST_RELATIVE_TTL: i64 = 60 * 60 * 24 * 30;

/// The shared state of a [`super::Decoder`].
pub(super) struct Context {
    pub(super) hasher: KeyHasher,
    pub(super) options: OptionsTable,
    /// The options of a classic request with `noreply`.
    pub(super) noreply: Options,
    pub(super) cas: CasOrdinals,
    pub(super) responses: Responses,
    /// Segments come from clients' sockets: requests may be sent before earlier ones are answered.
    pub(super) of_clients: bool,
    /// The source is being detached, sends first: what is read from here on is not recorded, as answers may not be seen.
    pub(super) is_ending: bool,
    /// Added to a segment's time gives UTC, ns.
    utc_offset: i128,
    pub(super) events: Vec<Event>,
    /// Of each server whose version is known.
    dialects: BTreeMap<u32, Dialect>,
    text: String,
}

impl Context {
    pub(super) fn new(hasher: KeyHasher, responses: Responses, utc_offset: i128) -> Self {
        let mut options = OptionsTable::default();
        let noreply = options.intern("noreply");
        Self {
            hasher,
            options,
            noreply,
            cas: CasOrdinals::default(),
            responses,
            of_clients: false,
            is_ending: false,
            utc_offset,
            events: Vec::new(),
            dialects: BTreeMap::new(),
            text: String::new(),
        }
    }

    /// How a server reads requests, if its version is known.
    pub(super) fn dialect(&self, server: u32) -> Option<Dialect> {
        self.dialects.get(&server).copied()
    }

    /// Takes note of a server's version; one that tells nothing changes nothing.
    pub(super) fn learn_version(&mut self, server: u32, version: &[u8]) {
        if let Some(dialect) = Dialect::from_version(version) {
            self.dialects.insert(server, dialect);
        }
    }

    /// The id of a key as memcached stores it: decoded, if it was sent in base64.
    #[inline]
    pub(super) fn key_id(&self, key: &Key<'_>) -> u64 {
        self.hasher.id(key.decode(&mut [0; 256]))
    }

    /// Names the event's key.
    #[inline]
    pub(super) fn set_key(&self, event: &mut Event, key: &Key<'_>) {
        let mut scratch = [0; 256];
        let decoded = key.decode(&mut scratch);
        event.key = Some(self.hasher.id(decoded));
        event.key_size = Some(u8::try_from(decoded.len()).unwrap_or(u8::MAX));
    }

    /// The event of a request that was read at `time`, without its place and its key.
    pub(super) fn event_of(&mut self, request: &Request<'_>, time: u64) -> Event {
        let (ttl, absolute) = self.relative(request.ttl, time);
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
            delta: request.delta,
            initial: request.initial,
            vivify_ttl: request.vivify_ttl,
            recache_ttl: request.recache_ttl,
            opaque_size: request
                .opaque
                .filter(|_| request.opcode.is_none())
                .map(|token| u8::try_from(token.len()).unwrap_or(u8::MAX)),
            options: self.options_of(request, absolute),
            ..Event::new(request.command)
        }
    }

    /// Seconds from the request's time, and whether they were sent as a UNIX time.
    fn relative(&self, ttl: Option<i32>, time: u64) -> (Option<i32>, bool) {
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

    fn options_of(&mut self, request: &Request<'_>, absolute: bool) -> Options {
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
        self.options.intern(&self.text)
    }
}
