//! Complete requests → events, once their outcomes are known: the queue of requests that await their response.

use std::collections::VecDeque;

use smallvec::SmallVec;

use membench_protocol::Request;
use membench_protocol::binary::Opcode;

use membench_event::answer::{Asked, FormNumber, Forms};
use membench_event::{Command, Event, Outcome, Protocol};

use super::context::Context;
use super::reply::Reply;

/// A request that memcached has read completely and whose response is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    /// The facts that decide which responses it can get.
    pub(super) asked: Asked,
    /// True if memcached answers nothing, not even an error.
    pub(super) unanswered: bool,
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
    /// Number of events of the connection opened before its own; set by [`OpenRequests::push`].
    pub(super) first_event: u64,
    /// Number of `asked` among the connection's [`Forms`]; set when an answer first waits.
    pub(super) form: Option<FormNumber>,
}

impl Open {
    /// Opens a request that the server's read at `time` completed.
    pub(super) fn new(context: &Context, request: &Request<'_>, time: u64) -> Self {
        Self {
            asked: Asked::new(request),
            unanswered: !request.is_answered(),
            key: None,
            opaque: request.opaque.map(|token| match request.opcode {
                Some(opcode) => tag(opcode, opaque_number(token)),
                None => context.hasher.id(token),
            }),
            events: 1,
            settled: 0,
            completed: time,
            first_event: 0,
            form: None,
        }
    }

    /// True if memcached does not answer the ordinary outcome.
    pub(super) fn is_quiet(&self) -> bool {
        self.asked.is_quiet()
    }

    pub(super) fn command(&self) -> Command {
        self.asked.command
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
    /// Number of events that belonged to requests which are finished.
    finished_events: u64,
    /// Number of the oldest requests that have a form.
    formed: usize,
}

impl OpenRequests {
    pub(super) fn push_event(&mut self, event: &Event) {
        self.events.push_back(*event);
    }

    /// Opens a request that owns the last `events` events pushed.
    pub(super) fn push(&mut self, request: Open) {
        let events = self.finished_events + self.events.len() as u64;
        self.requests.push_back(Open {
            first_event: events.saturating_sub(request.events.into()),
            ..request
        });
    }

    /// Numbers the forms of all requests that have none. If `afresh`, older numbers may be forgotten. Returns false if
    /// the requests have too many forms.
    pub(super) fn number_forms(&mut self, forms: &mut Forms, afresh: bool) -> bool {
        if afresh && forms.are_many() {
            forms.clear();
            self.formed = 0;
        }
        while let Some(request) = self.requests.get_mut(self.formed) {
            request.form = forms.number(&request.asked);
            if request.form.is_none() {
                return false;
            }
            self.formed += 1;
        }
        true
    }

    /// Events of a request.
    pub(super) fn events_of(&self, request: &Open) -> impl Iterator<Item = &Event> + Clone {
        let start = request.first_event.saturating_sub(self.finished_events);
        let start = usize::try_from(start)
            .unwrap_or(usize::MAX)
            .min(self.events.len());
        let end = (start + request.events as usize).min(self.events.len());
        self.events.range(start..end)
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
        self.finish_each(context, answered, |index, request, event| {
            if index >= request.settled {
                event.outcome = outcome;
            }
        });
    }

    /// Finishes the oldest request with a reply for each of its events.
    pub(super) fn finish_with(
        &mut self,
        context: &mut Context,
        replies: &[Reply],
        answered: Option<u64>,
    ) {
        let mut replies = replies.iter();
        let cas: SmallVec<[Option<u32>; 1]> = replies
            .clone()
            .map(|reply| reply.cas.map(|cas| context.cas.ordinal(cas)))
            .collect();
        let mut ordinals = cas.into_iter();
        self.finish_each(context, answered, |_, _, event| {
            let reply = replies.next().copied().unwrap_or_default();
            set_reply(event, reply, ordinals.next().flatten());
        });
    }

    fn finish_each(
        &mut self,
        context: &mut Context,
        answered: Option<u64>,
        mut change: impl FnMut(u32, &Open, &mut Event),
    ) {
        let Some(request) = self.requests.pop_front() else {
            return;
        };
        self.formed = self.formed.saturating_sub(1);
        self.finished_events += u64::from(request.events);
        let server_time = answered.map(|time| time.saturating_sub(request.completed));
        for index in 0..request.events {
            let Some(event) = self.events.front_mut() else {
                return;
            };
            change(index, &request, event);
            event.server_time = server_time;
            context.events.push(*event);
            self.events.pop_front();
        }
    }

    /// Settles the only event of the oldest request, which stays open.
    pub(super) fn settle(&mut self, reply: Reply, cas: Option<u32>) {
        if let (Some(request), Some(event)) = (self.requests.front_mut(), self.events.front_mut()) {
            request.settled = 1;
            set_reply(event, reply, cas);
        }
    }
}

/// Sets the fields of a reply on an event; `cas` is the ordinal of its cas value.
fn set_reply(event: &mut Event, reply: Reply, cas: Option<u32>) {
    event.outcome = reply.outcome;
    event.value_size = reply.value_size.or(event.value_size);
    // Replay compares the cas value that was sent, so a binary request keeps it.
    event.cas = match event.protocol {
        Protocol::Binary => event.cas.or(cas),
        Protocol::Text | Protocol::Meta => cas.or(event.cas),
    };
}
