//! Requests that await their response, with the events they will become.

use std::collections::VecDeque;

use membench_protocol::Request;
use membench_protocol::binary::Opcode;

use membench_event::{Command, Event, Outcome};

use super::context::Context;

/// One request that memcached has read completely and whose response is due.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of one request, each asked by name"
)]
pub(super) struct Open {
    pub(super) command: Command,
    /// Nothing is answered, whatever happens.
    pub(super) unanswered: bool,
    /// Its ordinary outcome is not answered.
    pub(super) quiet: bool,
    /// memcached will answer an error, whatever its version: of meta flags some know more.
    pub(super) refused: bool,
    /// It was asked in the binary protocol.
    pub(super) is_binary: bool,
    /// Its response repeats the key.
    pub(super) returns_key: bool,
    /// The id of its key, or of its last key.
    pub(super) key: Option<u64>,
    /// Keyed id of the opaque token its response repeats; of a binary request its [`tag`].
    pub(super) opaque: Option<u64>,
    /// How many events it has: one, or one a key of a multi-get.
    pub(super) events: u32,
    /// How many of them are settled.
    pub(super) settled: u32,
    /// Return of the read that completed it, ns.
    pub(super) completed: u64,
}

impl Open {
    /// What is remembered of a request that the server's read at `time` completed.
    pub(super) fn new(context: &Context, request: &Request<'_>, time: u64) -> Self {
        Self {
            command: request.command,
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

/// What a binary response repeats of its request: opcode and opaque value.
pub(super) fn tag(opcode: Opcode, opaque: u32) -> u64 {
    u64::from(opcode.0) << 32 | u64::from(opaque)
}

fn opaque_number(token: &[u8]) -> u32 {
    token.first_chunk().copied().map_or(0, u32::from_be_bytes)
}

/// Open requests of a connection, oldest first, and their events.
#[derive(Debug, Default)]
pub(super) struct OpenRequests {
    requests: VecDeque<Open>,
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

    /// How many events they will become.
    pub(super) fn event_count(&self) -> usize {
        self.events.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Open> {
        self.requests.get(index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Open> {
        self.requests.iter()
    }

    /// The oldest request's event that its next value belongs to: the first unsettled one with this key. Those passed
    /// over are misses. None when no key fits, and then nothing changes.
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

    /// Ends the oldest request: its unsettled events get `outcome`; with `answered`, the time of the send that
    /// ended its response, all get a server time.
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

    /// Settles the oldest request's only event before the request is finished.
    pub(super) fn settle(&mut self, change: impl FnOnce(&mut Event)) {
        if let (Some(request), Some(event)) = (self.requests.front_mut(), self.events.front_mut()) {
            request.settled = 1;
            change(event);
        }
    }
}
