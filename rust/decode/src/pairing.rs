//! Requests and responses of a connection → events with outcomes, paired in order.
//!
//! A quiet request is passed over only where memcached certainly did not answer it.

use membench_protocol::response::Response;
use membench_protocol::{Follows, Form, Key, Request};

use membench_event::{
    Event, Outcome, Protocol,
    answer::is_retrieval,
    aside::{Answered, Passed, Token},
};

use super::context::Context;
use super::matching::{Echo, fits};
use super::open_requests::{Open, OpenRequests};
use super::reply::Reply;
use super::{Responses, Totals};

/// Most events of one connection that wait for responses: far more than a server or client lets wait.
const MOST_WAITING: usize = 1 << 18;

/// Framing of the bytes that follow a response line or binary header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another line or header.
    Line,
    /// A value, or the rest of a binary response.
    Value {
        /// Bytes, the line end included.
        length: u64,
        /// True if the last byte ends the response to the oldest request.
        finishes: bool,
    },
    /// The rest of a list.
    List,
    /// Unknown: the response fits no open request.
    Unmatched,
}

/// Pairs the responses of one connection with its requests.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    open: OpenRequests,
    /// Replies that fit several quiet requests, each with the opaque token it echoes. A later response decides.
    ambiguous: Vec<(Token, Reply)>,
    /// True while responses cannot be paired, until the next barrier: requests finish at once without outcome.
    suspended: bool,
    /// Requests that finished without outcome while suspended after a loss.
    lost: u64,
    /// True after the first barrier with both streams framed.
    started: bool,
    /// True if the last request answered was one whose reply may continue (`watch`).
    streaming: bool,
}

impl Pairing {
    /// Opens a request with any number of keys.
    ///
    /// A request that makes memcached drop answers it owes does not show which: requests that are open finish without
    /// outcome, and pairing is suspended until the next barrier.
    pub(super) fn open_keys(
        &mut self,
        context: &mut Context,
        open: &Open,
        event: &mut Event,
        request: &Request<'_>,
    ) {
        if request.drops_answers() && !self.open.is_empty() {
            self.end(context);
            self.suspend();
        }
        let mut keys = request.keys.clone();
        let Some(first) = keys.next() else {
            return self.open(context, open, event);
        };
        context.set_key(event, &first);
        if request.keys.len() == 1 || open.unanswered || !self.waits(context) {
            self.open(context, open, event);
            event.request_size = None;
            for key in keys {
                context.set_key(event, &key);
                self.open(context, open, event);
            }
            return;
        }
        let mut events = 0;
        self.open.push_event(event);
        event.request_size = None;
        for key in keys {
            context.set_key(event, &key);
            self.open.push_event(event);
            events += 1;
        }
        self.open.push(Open {
            events: events + 1,
            key: event.key,
            ..*open
        });
        self.bound(context);
    }

    /// True if requests wait for responses: the source delivers them and pairing is not suspended.
    fn waits(&self, context: &Context) -> bool {
        !self.suspended && context.responses != Responses::None
    }

    /// Opens a request with one event. A request whose answer cannot come or cannot be seen finishes at once.
    pub(super) fn open(&mut self, context: &mut Context, open: &Open, event: &Event) {
        self.streaming = false;
        if open.unanswered {
            context.events.push(Event {
                outcome: Some(Outcome::Suppressed),
                ..*event
            });
        } else if !self.waits(context) {
            self.lost += u64::from(self.suspended && self.started);
            context.events.push(*event);
        } else {
            self.open.push_event(event);
            self.open.push(Open {
                key: event.key,
                ..*open
            });
            self.bound(context);
        }
    }

    /// Bounds memory: if too many events wait, their requests and those up to the next barrier finish without outcome.
    fn bound(&mut self, context: &mut Context) {
        if self.open.event_count() <= MOST_WAITING {
            return;
        }
        self.lost += self.open.iter().filter(|open| !open.quiet).count() as u64;
        self.ambiguous.clear();
        self.end(context);
        self.suspend();
    }

    /// The oldest open request.
    pub(super) fn oldest(&self) -> Option<&Open> {
        self.open.get(0)
    }

    /// True if every open request gets a response of its own: none is quiet.
    pub(super) fn all_answered(&self) -> bool {
        self.open.iter().all(|open| !open.quiet)
    }

    /// True if a response is due: an open request is not quiet.
    pub(super) fn owes(&self) -> bool {
        self.open.iter().any(|open| !open.quiet)
    }

    /// The open requests, oldest first.
    pub(super) fn open_requests(&self) -> impl Iterator<Item = &Open> {
        self.open.iter()
    }

    /// Number of open requests.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Finishes all open requests at a barrier. Every due response has been sent by then, so a request still open was
    /// quiet, or its response was not seen.
    pub(super) fn barrier(&mut self, context: &mut Context, totals: &mut Totals) {
        // Lengths do not show which quiet requests were answered.
        let known = self.ambiguous.is_empty() && context.responses == Responses::Bytes;
        self.ambiguous.clear();
        while let Some(oldest) = self.oldest() {
            let outcome = (oldest.quiet && known).then_some(Outcome::Suppressed);
            totals.unpaired += u64::from(!oldest.quiet && context.responses == Responses::Bytes);
            self.open.finish(context, outcome, None);
        }
        totals.unpaired += std::mem::take(&mut self.lost);
    }

    /// Resumes pairing: responses from now on belong to requests opened from now on.
    pub(super) fn resume(&mut self) {
        self.suspended = false;
        self.started = true;
    }

    /// Suspends pairing until the next barrier.
    pub(super) fn suspend(&mut self) {
        self.suspended = true;
    }

    /// Gives up after lost responses: open requests and those up to the next barrier finish without outcome.
    pub(super) fn lose(&mut self, context: &mut Context, totals: &mut Totals) {
        self.ambiguous.clear();
        while let Some(oldest) = self.oldest() {
            totals.unpaired += u64::from(!oldest.quiet && context.responses == Responses::Bytes);
            self.open.finish(context, None, None);
        }
        totals.unpaired += std::mem::take(&mut self.lost);
        self.suspend();
    }

    /// Finishes all open requests without outcome at the end of the connection or the recording. This is no loss.
    pub(super) fn end(&mut self, context: &mut Context) {
        while !self.open.is_empty() {
            self.open.finish(context, None, None);
        }
    }

    /// True while responses are ignored, until the next barrier.
    pub(super) fn suspended(&self) -> bool {
        self.suspended
    }

    /// True if response bytes without an open request continue the reply to the last one (`watch`).
    pub(super) fn streaming(&self) -> bool {
        self.streaming && self.open.is_empty()
    }

    /// True if response bytes belong to an answer that no worker of the server writes.
    pub(super) fn uncounted(&self) -> bool {
        let of = |open: &Open| matches!(open.answers.form(), Form::Dump | Form::Names | Form::Log);
        self.oldest().is_some_and(of) || self.streaming()
    }

    /// Finishes the oldest request: the last byte of its response was sent at `time`.
    pub(super) fn finish(&mut self, context: &mut Context, outcome: Option<Outcome>, time: u64) {
        self.streaming = self
            .oldest()
            .is_some_and(|oldest| oldest.answers.form() == Form::Log);
        self.open.finish(context, outcome, Some(time));
    }

    /// Applies one response line or binary header to the request it answers. Returns the framing of what follows it.
    pub(super) fn answer(
        &mut self,
        context: &mut Context,
        response: &Response<'_>,
        time: u64,
    ) -> Next {
        let echo = Echo::new(context, response);
        let Some(index) = self.position(response, &echo) else {
            return Next::Unmatched;
        };
        if self.is_ambiguous(response, &echo, index) {
            return self.set_aside(context, response, index);
        }
        self.pass_quiet(context, index);
        let Some(oldest) = self.oldest() else {
            return Next::Unmatched;
        };
        match response {
            Response::Value { key, size, cas, .. } => self.value(context, key, *size, *cas),
            _ if oldest.answers.form().after(response) == Follows::Lines => Next::List,
            Response::End if is_retrieval(oldest.command) => {
                self.finish(context, Some(Outcome::Miss), time);
                Next::Line
            }
            Response::Binary(answer) if answer.continues() => Next::List,
            _ => {
                let reply = Reply::new(oldest.command, response);
                self.apply(context, reply);
                let next = following(response, true);
                if next == Next::Line {
                    self.finish(context, reply.outcome, time);
                }
                next
            }
        }
    }

    /// Index of the open request that a response answers: the first that it fits, with only quiet ones before it.
    fn position(&self, response: &Response<'_>, echo: &Echo) -> Option<usize> {
        for (index, open) in self.open.iter().enumerate() {
            if fits(open, response, echo) {
                return Some(index);
            }
            if !open.quiet {
                return None;
            }
        }
        None
    }

    /// True if a response that fits the quiet request at `index` may as well answer a later one.
    fn is_ambiguous(&self, response: &Response<'_>, echo: &Echo, index: usize) -> bool {
        let mut open = self.open.iter().skip(index);
        let Some(found) = open.next() else {
            return false;
        };
        if !found.quiet || (found.returns_key && echo.key.is_some()) {
            return false;
        }
        for later in open {
            if fits(later, response, echo) {
                return true;
            }
            if !later.quiet {
                break;
            }
        }
        self.ambiguous
            .iter()
            .any(|(opaque, _)| *opaque == found.opaque)
    }

    /// Keeps the reply of an ambiguous response until a later one decides whose it is.
    fn set_aside(&mut self, context: &Context, response: &Response<'_>, index: usize) -> Next {
        debug_assert!(context.responses == Responses::Bytes);
        if let Some(found) = self.open.get(index) {
            let reply = Reply::new(found.command, response);
            self.ambiguous.push((found.opaque, reply));
        }
        following(response, false)
    }

    /// Finishes the quiet requests before `index`. The replies set aside belong to them: for each opaque token either
    /// all of its requests were answered, or none, or it stays unknown which.
    fn pass_quiet(&mut self, context: &mut Context, index: usize) {
        if index == 0 {
            return;
        }
        let requests: Vec<Token> = self
            .open
            .iter()
            .take(index)
            .map(|open| open.opaque)
            .collect();
        let mut passed = Passed::new(&requests, std::mem::take(&mut self.ambiguous));
        for token in requests {
            let outcome = match passed.next(token) {
                Answered::No => Some(Outcome::Suppressed),
                Answered::Yes(reply) => {
                    self.apply(context, reply);
                    reply.outcome
                }
                Answered::Unknown => None,
            };
            self.open.finish(context, outcome, None);
        }
    }

    /// Settles the event of one value of a retrieval as a hit.
    fn value(&mut self, context: &mut Context, key: &Key<'_>, size: u32, cas: Option<u64>) -> Next {
        let id = context.key_id(key);
        let cas = cas.map(|cas| context.cas.ordinal(cas));
        let Some(event) = self.open.next_hit(id) else {
            return Next::Unmatched;
        };
        event.outcome = Some(Outcome::Hit);
        event.value_size = Some(size);
        event.cas = cas;
        Next::Value {
            length: u64::from(size) + 2,
            finishes: false,
        }
    }

    /// Sets the fields of a reply on the only event of the oldest request.
    fn apply(&mut self, context: &mut Context, reply: Reply) {
        let cas = reply.cas.map(|cas| context.cas.ordinal(cas));
        self.open.settle(|event| {
            event.outcome = reply.outcome;
            event.value_size = reply.value_size.or(event.value_size);
            // Replay compares the cas value that was sent, so a binary request keeps it.
            event.cas = match event.protocol {
                Protocol::Binary => event.cas.or(cas),
                Protocol::Text | Protocol::Meta => cas.or(event.cas),
            };
        });
    }
}

/// Returns the framing of what follows a response line or header; `finishes` if its value ends the response.
fn following(response: &Response<'_>, finishes: bool) -> Next {
    let length = match response {
        Response::Binary(answer) => answer.rest_size(),
        _ => response.value_size().map_or(0, |size| u64::from(size) + 2),
    };
    match length {
        0 => Next::Line,
        length => Next::Value { length, finishes },
    }
}
