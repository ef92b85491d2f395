//! Responses → outcomes of open requests, in order; quiet requests are passed over only where that is certain.

use membench_protocol::response::Response;
use membench_protocol::{Key, Request};

use membench_event::answer::is_retrieval;
use membench_event::aside::{Answered, Passed, Token};
use membench_event::{Command, Event, Outcome, Protocol};

use super::context::Context;
use super::fits::{Names, fits};
use super::open::{Open, OpenRequests};
use super::reply::{Reply, reply};
use super::{Responses, Totals};

/// Most events that wait for responses on one connection: far more than a server or client lets wait.
const MOST_WAITING: usize = 1 << 18;

/// What follows a response line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another line.
    Line,
    /// A value of this many bytes with its line end, or the rest of a binary response; with `finishes`, it ends the
    /// oldest request's response.
    Value {
        /// Line end included.
        length: u64,
        /// Whether its last byte ends the response.
        finishes: bool,
    },
    /// The rest of a list.
    List,
    /// It fits no open request.
    Unmatched,
}

/// Pairs one connection's responses with its requests.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    open: OpenRequests,
    /// Replies that fit several quiet requests, with the opaque token they repeat, until a later response tells.
    ambiguous: Vec<(Token, Reply)>,
    /// Responses cannot be told apart until the next barrier: requests end at once, without outcome.
    suspended: bool,
    /// Requests that ended without outcome while suspended after a loss.
    lost: u64,
    /// A barrier has been passed with both streams known.
    started: bool,
    /// The last request answered was one whose reply may go on (`watch`).
    streaming: bool,
}

impl Pairing {
    /// Opens a request with any number of keys. One that makes memcached drop answers it owes leaves no telling which:
    /// those requests end without outcome, and pairing rests until the next barrier.
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

    /// Whether responses can be paired at all.
    fn waits(&self, context: &Context) -> bool {
        !self.suspended && context.responses != Responses::None
    }

    /// Opens a request with one event; one that will not be answered (or not seen answered) ends at once.
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

    /// Bounds memory: where too much waits, all of it ends without outcome, and so does what follows up to the next
    /// barrier.
    fn bound(&mut self, context: &mut Context) {
        if self.open.event_count() <= MOST_WAITING {
            return;
        }
        self.lost += self.open.iter().filter(|open| !open.quiet).count() as u64;
        self.ambiguous.clear();
        self.end(context);
        self.suspend();
    }

    /// The oldest open request; none when all are settled.
    pub(super) fn oldest(&self) -> Option<&Open> {
        self.open.get(0)
    }

    /// Whether every open request must have been answered by a response of its own.
    pub(super) fn all_answered(&self) -> bool {
        self.open.iter().all(|open| !open.quiet)
    }

    /// Whether an answer is due.
    pub(super) fn owes(&self) -> bool {
        self.open.iter().any(|open| !open.quiet)
    }

    /// The open requests, oldest first.
    pub(super) fn open_requests(&self) -> impl Iterator<Item = &Open> {
        self.open.iter()
    }

    /// How many requests are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Everything due has been sent: what is still open was quiet, or was not seen.
    pub(super) fn barrier(&mut self, context: &mut Context, totals: &mut Totals) {
        // Lengths do not tell which of the quiet requests were answered.
        let known = self.ambiguous.is_empty() && context.responses == Responses::Bytes;
        self.ambiguous.clear();
        while let Some(oldest) = self.oldest() {
            let outcome = (oldest.quiet && known).then_some(Outcome::Suppressed);
            totals.unpaired += u64::from(!oldest.quiet && context.responses == Responses::Bytes);
            self.open.finish(context, outcome, None);
        }
        totals.unpaired += std::mem::take(&mut self.lost);
    }

    /// From here on responses belong to the requests that are opened from here on.
    pub(super) fn resume(&mut self) {
        self.suspended = false;
        self.started = true;
    }

    /// Until the next barrier no response can be told apart.
    pub(super) fn suspend(&mut self) {
        self.suspended = true;
    }

    /// Responses were lost: what is open ends without outcome, and so does what follows up to the next barrier.
    pub(super) fn lose(&mut self, context: &mut Context, totals: &mut Totals) {
        self.ambiguous.clear();
        while let Some(oldest) = self.oldest() {
            totals.unpaired += u64::from(!oldest.quiet && context.responses == Responses::Bytes);
            self.open.finish(context, None, None);
        }
        totals.unpaired += std::mem::take(&mut self.lost);
        self.suspend();
    }

    /// The connection or the recording ends: what is open keeps no outcome, and that is no loss.
    pub(super) fn end(&mut self, context: &mut Context) {
        while !self.open.is_empty() {
            self.open.finish(context, None, None);
        }
    }

    /// Whether responses are ignored until the next barrier.
    pub(super) fn suspended(&self) -> bool {
        self.suspended
    }

    /// Whether bytes without an open request are the tail of a stream that a command began.
    pub(super) fn streaming(&self) -> bool {
        self.streaming && self.open.is_empty()
    }

    /// Ends the oldest request as its response's last byte has been sent.
    pub(super) fn finish(&mut self, context: &mut Context, outcome: Option<Outcome>, time: u64) {
        self.streaming = self
            .oldest()
            .is_some_and(|oldest| oldest.command == Command::Other);
        self.open.finish(context, outcome, Some(time));
    }

    /// Settles what one response line says.
    pub(super) fn answer(
        &mut self,
        context: &mut Context,
        response: &Response<'_>,
        time: u64,
    ) -> Next {
        let names = Names::of(context, response);
        let Some(index) = self.position(response, &names) else {
            return Next::Unmatched;
        };
        if self.is_ambiguous(response, &names, index) {
            return self.set_aside(context, response, index);
        }
        self.pass_quiet(context, index);
        let Some(oldest) = self.oldest() else {
            return Next::Unmatched;
        };
        match response {
            Response::Value { key, size, cas, .. } => self.value(context, key, *size, *cas),
            Response::Stat(_) => Next::List,
            Response::Line(text) if oldest.command == Command::Other && continues(text) => {
                Next::List
            }
            Response::End if is_retrieval(oldest.command) => {
                self.finish(context, Some(Outcome::Miss), time);
                Next::Line
            }
            Response::Binary(answer) if answer.continues() => Next::List,
            _ => {
                let reply = reply(oldest.command, response);
                self.apply(context, reply);
                let next = following(response, true);
                if next == Next::Line {
                    self.finish(context, reply.outcome, time);
                }
                next
            }
        }
    }

    /// The open request a response belongs to: the first it fits, past quiet ones only.
    fn position(&self, response: &Response<'_>, names: &Names) -> Option<usize> {
        for (index, open) in self.open.iter().enumerate() {
            if fits(open, response, names) {
                return Some(index);
            }
            if !open.quiet {
                return None;
            }
        }
        None
    }

    /// Whether a reply that could be the quiet request's at `index` could as well be a later one's.
    fn is_ambiguous(&self, response: &Response<'_>, names: &Names, index: usize) -> bool {
        let mut open = self.open.iter().skip(index);
        let Some(found) = open.next() else {
            return false;
        };
        if !found.quiet || (found.returns_key && names.key.is_some()) {
            return false;
        }
        for later in open {
            if fits(later, response, names) {
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

    fn set_aside(&mut self, context: &Context, response: &Response<'_>, index: usize) -> Next {
        debug_assert!(context.responses == Responses::Bytes);
        if let Some(found) = self.open.get(index) {
            let reply = reply(found.command, response);
            self.ambiguous.push((found.opaque, reply));
        }
        following(response, false)
    }

    /// Ends the quiet requests before `index`. Replies set aside are theirs: of the requests with one opaque token all
    /// were answered, or none, or it is not known which.
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

    fn apply(&mut self, context: &mut Context, reply: Reply) {
        let cas = reply.cas.map(|cas| context.cas.ordinal(cas));
        self.open.settle(|event| {
            event.outcome = reply.outcome;
            event.value_size = reply.value_size.or(event.value_size);
            // Replay compares what was sent.
            event.cas = match event.protocol {
                Protocol::Binary => event.cas.or(cas),
                Protocol::Text | Protocol::Meta => cas.or(event.cas),
            };
        });
    }
}

/// What follows a response that is whole but for its value.
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

/// Lines with which a reply of unknown length begins.
fn continues(text: &[u8]) -> bool {
    [&b"key="[..], b"mg ", b"ITEM ", b"PREFIX ", b"STAT "]
        .iter()
        .any(|start| text.starts_with(start))
}
