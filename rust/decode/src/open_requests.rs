//! Complete requests → events, once their outcomes are known: the queue of requests that await their response.

use std::collections::VecDeque;

use membench_protocol::binary::Opcode;
use membench_protocol::{Answers, Request};

use membench_event::{Command, Event, Outcome};

use super::context::Context;

/// A request that memcached has read completely and whose response is due.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of one request, each asked by name"
)]
pub(super) struct Open {
    pub(super) command: Command,
    /// The responses that memcached can give.
    pub(super) answers: Answers,
    /// True if memcached answers nothing, not even an error.
    pub(super) unanswered: bool,
    /// True if memcached does not answer the ordinary outcome.
    pub(super) quiet: bool,
    /// True if every version of memcached answers an error. Never set for a meta request: some versions know more
    /// flags.
    pub(super) refused: bool,
    /// True for a request of the binary protocol.
    pub(super) is_binary: bool,
    /// True if the response echoes the key.
    pub(super) returns_key: bool,
    /// Key id of the only or last key.
    pub(super) key: Option<u64>,
    /// Keyed id of the opaque token that the response echoes; for a binary request its [`tag`].
    pub(super) opaque: Option<u64>,
    /// Number of events: one for each key of a multi-get, else one.
    pub(super) events: u32,
    /// Number of events whose outcome is known.
    pub(super) settled: u32,
    /// Return of the read that completed the request, ns.
    pub(super) completed: u64,
}

impl Open {
    /// Opens a request that the server's read at `time` completed.
    pub(super) fn new(context: &Context, request: &Request<'_>, time: u64) -> Self {
        Self {
            command: request.command,
            answers: request.answers(),
            unanswered: !request.is_answered(),
            quiet: request.quiet(),
            refused: request.refused && !request.meta,
            is_binary: request.opcode.is_some(),
            returns_key: request.returns_key(),
            key: None,
            opaque: request.opaque.map(|token| match request.opcode {
                Some(opcode) => tag(opcode, opaque_number(token)),
                None => context.hasher.id(token),
            }),
            events: 1,
            settled: 0,
            completed: time,
        }
    }
}

/// Combines opcode and opaque value, both of which a binary response echoes.
pub(super) fn tag(opcode: Opcode, opaque: u32) -> u64 {
    u64::from(opcode.0) << 32 | u64::from(opaque)
}

fn opaque_number(token: &[u8]) -> u32 {
    token.first_chunk().copied().map_or(0, u32::from_be_bytes)
}

/// Open requests of a connection and their events, oldest first.
#[derive(Debug, Default)]
pub(super) struct OpenRequests {
    requests: VecDeque<Open>,
    /// Events of all requests; each request owns the next `events` of them.
    events: VecDeque<Event>,
}

impl OpenRequests {
    pub(super) fn push_event(&mut self, event: &Event) {
        self.events.push_back(*event);
    }

    pub(super) fn push(&mut self, request: Open) {
        self.requests.push_back(request);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Number of events of all open requests.
    pub(super) fn event_count(&self) -> usize {
        self.events.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Open> {
        self.requests.get(index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Open> {
        self.requests.iter()
    }

    /// Returns the event of the oldest request that its next value belongs to: the first unsettled one with this key.
    /// Marks the events before it as misses. Returns `None` and changes nothing if no key fits.
    pub(super) fn next_hit(&mut self, key: u64) -> Option<&mut Event> {
        let front = self.requests.front_mut()?;
        let unsettled = front.settled as usize..front.events as usize;
        let found = self
            .events
            .range(unsettled.clone())
            .position(|event| event.key == Some(key))?;
        for event in self
            .events
            .range_mut(unsettled.start..unsettled.start + found)
        {
            event.outcome = Some(Outcome::Miss);
        }
        let hit = unsettled.start + found;
        front.settled = u32::try_from(hit + 1).unwrap_or(u32::MAX);
        self.events.get_mut(hit)
    }

    /// Finishes the oldest request: its unsettled events get `outcome`. If `answered`, the time of the send that ended
    /// its response, is known, all its events get a server time.
    pub(super) fn finish(
        &mut self,
        context: &mut Context,
        outcome: Option<Outcome>,
        answered: Option<u64>,
    ) {
        let Some(request) = self.requests.pop_front() else {
            return;
        };
        let server_time = answered
            .map(|time| u32::try_from(time.saturating_sub(request.completed)).unwrap_or(u32::MAX));
        for index in 0..request.events {
            let Some(event) = self.events.front_mut() else {
                return;
            };
            if index >= request.settled {
                event.outcome = outcome;
            }
            event.server_time = server_time;
            context.events.push(*event);
            self.events.pop_front();
        }
    }

    /// Settles the only event of the oldest request before that is finished.
    pub(super) fn settle(&mut self, change: impl FnOnce(&mut Event)) {
        if let (Some(request), Some(event)) = (self.requests.front_mut(), self.events.front_mut()) {
            request.settled = 1;
            change(event);
        }
    }
}
