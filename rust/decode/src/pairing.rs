//! Requests and responses of a connection → events with outcomes, paired in order.
//!
//! While the oldest request must be answered, each response is its answer, and settles it at once. While it is quiet,
//! responses wait until every way to pair them says the same about a request, or no more can come.

use smallvec::SmallVec;

use membench_protocol::response::Response;
use membench_protocol::{Follows, Form, Key, Request};

use membench_event::answer::{Asked, Forms, is_retrieval};
use membench_event::assignment::{Assignment, Rest, Unsolved};
use membench_event::backlog::{Backlog, only_place};
use membench_event::{Event, Outcome};

use super::context::Context;
use super::matching::{Candidate, Echo, Sent, Value, can_answer};
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
    /// Forms of the open requests, as far as responses wait.
    forms: Forms,
    /// Responses whose request is not certain yet.
    waiting: Backlog<Candidate>,
    /// A response of uncertain request whose end has not come yet, and the number of requests that were open when it began.
    unfinished: Option<(Candidate, usize)>,
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
        self.give_up(context);
    }

    /// Finishes all open requests without outcome, and those up to the next barrier.
    fn give_up(&mut self, context: &mut Context) {
        self.lost += self.open.iter().filter(|open| !open.is_quiet()).count() as u64;
        self.forget(context);
        self.suspend();
    }

    /// Finishes all open requests without outcome.
    fn forget(&mut self, context: &mut Context) {
        self.waiting.clear();
        self.unfinished = None;
        while !self.open.is_empty() {
            self.open.finish(context, None, None);
        }
    }

    /// The oldest open request.
    pub(super) fn oldest(&self) -> Option<&Open> {
        self.open.get(0)
    }

    /// True if every open request gets a response of its own: none is quiet.
    pub(super) fn all_answered(&self) -> bool {
        self.open.iter().all(|open| !open.is_quiet())
    }

    /// True if a response is due: an open request is not quiet.
    pub(super) fn owes(&self) -> bool {
        self.open.iter().any(|open| !open.is_quiet())
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
        if !self.open.is_empty() && context.responses == Responses::Bytes {
            self.settle_rest(context);
        }
        self.lose_open(context, totals);
    }

    /// Settles the open requests when no more responses come to them. Leaves all open if a response is missing.
    pub(super) fn settle_rest(&mut self, context: &mut Context) {
        if self.unfinished.is_some() {
            return;
        }
        if self.waiting.is_empty() {
            if self.open.iter().all(Open::is_quiet) {
                while !self.open.is_empty() {
                    self.open.finish(context, Some(Outcome::Suppressed), None);
                }
            }
            return;
        }
        if let Ok(assignment) = self.waiting.solve(&self.open, Rest::Unanswered) {
            self.settle(context, &assignment);
        }
    }

    /// Finishes all open requests without outcome. Those that must be answered are unpaired.
    fn lose_open(&mut self, context: &mut Context, totals: &mut Totals) {
        if !self.open.is_empty() {
            if context.responses == Responses::Bytes {
                let due = self.open.iter().filter(|open| !open.is_quiet());
                totals.unpaired += due.count() as u64;
            }
            self.forget(context);
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
        self.lose_open(context, totals);
        self.suspend();
    }

    /// Finishes all open requests at the end of the connection or the recording. Those whose response has not come for
    /// certain have no outcome; this is no loss.
    pub(super) fn end(&mut self, context: &mut Context) {
        if !self.waiting.is_empty() {
            // An error says that nothing is certain.
            let _ = self.settle_certain(context);
        }
        self.forget(context);
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
        let form = self.current().map(Asked::form);
        matches!(form, Some(Form::Dump | Form::Names | Form::Log)) || self.streaming()
    }

    /// Request that the response begun last answers, or one of them if it waits; without such a response the oldest.
    pub(super) fn current(&self) -> Option<&Asked> {
        match &self.unfinished {
            Some((candidate, _)) => candidate.asked(&self.forms).next(),
            None => self.oldest().map(|oldest| &oldest.asked),
        }
    }

    /// Ends the response begun last, which belongs to the oldest request or waits: its last byte was sent at `time`.
    /// `outcome` is that of a list.
    pub(super) fn finish(&mut self, context: &mut Context, outcome: Option<Outcome>, time: u64) {
        let Some((mut candidate, sent_before)) = self.unfinished.take() else {
            return self.finish_oldest(context, outcome, time);
        };
        if let Some(outcome) = outcome {
            candidate.end_list(outcome);
        }
        candidate.time = time;
        if !self.wait(context, candidate, sent_before) {
            self.give_up(context);
        }
    }

    fn finish_oldest(&mut self, context: &mut Context, outcome: Option<Outcome>, time: u64) {
        self.note_finish();
        self.open.finish(context, outcome, Some(time));
    }

    /// Notes that the oldest request was answered.
    fn note_finish(&mut self) {
        self.streaming = self
            .oldest()
            .is_some_and(|oldest| oldest.asked.form() == Form::Log);
    }

    /// Applies one response line or binary header to the request it answers. Returns the framing of what follows it.
    pub(super) fn answer(
        &mut self,
        context: &mut Context,
        response: &Response<'_>,
        time: u64,
    ) -> Next {
        if self.unfinished.is_some() {
            return self.continue_candidate(context, response, time);
        }
        let Some(oldest) = self.oldest() else {
            return Next::Unmatched;
        };
        let echo = Echo::new(context, response);
        if oldest.is_quiet() || !self.waiting.is_empty() {
            if !self.skip_silent(context, &Sent { response, echo }) {
                return self.add_candidate(context, response, echo, time);
            }
        } else if !can_answer(oldest, response, &echo) {
            return Next::Unmatched;
        }
        self.answer_oldest(context, response, time)
    }

    /// Finishes the quiet requests before the only one that `sent` can answer: their silence is certain.
    ///
    /// Returns false and changes nothing if other responses wait, if `sent` can answer several requests, or if it is a
    /// value, whose key must be compared first.
    fn skip_silent(&mut self, context: &mut Context, sent: &Sent<'_>) -> bool {
        if !self.waiting.is_empty() || matches!(sent.response, Response::Value { .. }) {
            return false;
        }
        let Some(place) = only_place(&self.open, sent) else {
            return false;
        };
        for _ in 0..place {
            self.open.finish(context, Some(Outcome::Suppressed), None);
        }
        self.waiting.forget(&self.open, place + 1, 0);
        true
    }

    fn answer_oldest(&mut self, context: &mut Context, response: &Response<'_>, time: u64) -> Next {
        let Some(oldest) = self.oldest() else {
            return Next::Unmatched;
        };
        let asked = oldest.asked;
        match response {
            Response::Value { key, size, cas, .. } => self.value(context, key, *size, *cas),
            Response::End if is_retrieval(asked.command) => {
                self.finish_oldest(context, Some(Outcome::Miss), time);
                Next::Line
            }
            _ => {
                let next = following(&asked, response);
                if next == Next::List {
                    return next;
                }
                let reply = Reply::new(asked.command, response);
                let cas = reply.cas.map(|cas| context.cas.ordinal(cas));
                self.open.settle(reply, cas);
                if next == Next::Line {
                    self.finish_oldest(context, reply.outcome, time);
                }
                next
            }
        }
    }

    /// Takes the first line or header of a response that may be the answer to several requests.
    fn add_candidate(
        &mut self,
        context: &mut Context,
        response: &Response<'_>,
        echo: Echo,
        time: u64,
    ) -> Next {
        let afresh = self.waiting.is_empty();
        if !self.open.number_forms(&mut self.forms, afresh) {
            self.give_up(context);
            return Next::Line;
        }
        let mut candidate = Candidate::new(&self.forms, response, echo, time);
        if let Some(value) = value_of(context, response) {
            candidate.add_value(value);
        }
        if !self.waiting.has_place(&self.open, &candidate) {
            return Next::Unmatched;
        }
        let next = following_all(&candidate, &self.forms, response);
        let sent_before = self.open.len();
        match next {
            Next::Unmatched => next,
            Next::Line => self.wait_or_fail(context, candidate, sent_before),
            Next::List | Next::Value { .. } => {
                self.unfinished = Some((candidate, sent_before));
                next
            }
        }
    }

    /// Takes the next line or header of a response that may be the answer to several requests.
    fn continue_candidate(
        &mut self,
        context: &mut Context,
        response: &Response<'_>,
        time: u64,
    ) -> Next {
        let Some((mut candidate, sent_before)) = self.unfinished.take() else {
            return Next::Unmatched;
        };
        if !candidate.continues_with(context, response) {
            return Next::Unmatched;
        }
        let next = following_all(&candidate, &self.forms, response);
        if let Some(value) = value_of(context, response) {
            if candidate.add_value(value) > self.open.event_count() {
                return Next::Unmatched;
            }
        } else if next != Next::List {
            candidate.end_with(&self.forms, response);
        }
        if next == Next::Line {
            candidate.time = time;
            return self.wait_or_fail(context, candidate, sent_before);
        }
        self.unfinished = Some((candidate, sent_before));
        next
    }

    fn wait_or_fail(
        &mut self,
        context: &mut Context,
        candidate: Candidate,
        sent_before: usize,
    ) -> Next {
        if self.wait(context, candidate, sent_before) {
            Next::Line
        } else {
            Next::Unmatched
        }
    }

    /// Adds a complete response to those that wait, and settles what has become certain. Returns false if the responses
    /// do not belong to the open requests.
    fn wait(&mut self, context: &mut Context, candidate: Candidate, sent_before: usize) -> bool {
        match self.waiting.add(&self.open, candidate, sent_before) {
            Some(true) => self.settle_certain(context),
            Some(false) => true,
            None => false,
        }
    }

    /// Settles the requests whose responses are certain, whatever comes later. Returns false if the responses do not
    /// belong to the open requests.
    fn settle_certain(&mut self, context: &mut Context) -> bool {
        match self.waiting.solve(&self.open, Rest::Open) {
            Ok(assignment) => self.settle(context, &assignment),
            Err(Unsolved::Impossible) => return false,
            Err(Unsolved::TooMany) => self.give_up(context),
        }
        true
    }

    /// Finishes the requests of an assignment. Each gets what all of its possible answers have in common.
    fn settle(&mut self, context: &mut Context, assignment: &Assignment) {
        for request in 0..assignment.requests {
            let Some(oldest) = self.open.get(0) else {
                break;
            };
            let mut found = assignment
                .may_be_silent(request)
                .then(|| (SmallVec::from_elem(Reply::SUPPRESSED, 1), None));
            let answers = assignment.answers_of(request);
            for candidate in answers.filter_map(|answer| self.waiting.get(answer)) {
                let replies = candidate.replies_to(oldest, &self.open);
                let time = Some(candidate.time);
                match &mut found {
                    None => found = Some((replies, time)),
                    Some((agreed, known)) => {
                        agree(agreed, &replies);
                        *known = known.filter(|known| Some(*known) == time);
                    }
                }
            }
            let (replies, time): (SmallVec<[Reply; 1]>, _) = found.unwrap_or_default();
            self.note_finish();
            self.open.finish_with(context, &replies, time);
        }
        self.waiting
            .forget(&self.open, assignment.requests, assignment.answers);
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
}

/// Keeps what two possible answers to a request have in common.
fn agree(replies: &mut [Reply], others: &[Reply]) {
    for (index, reply) in replies.iter_mut().enumerate() {
        reply.agree(others.get(index).unwrap_or(&Reply::default()));
    }
}

/// Returns the value of a retrieval that the line announces, if it does.
fn value_of(context: &Context, response: &Response<'_>) -> Option<Value> {
    match response {
        Response::Value { key, size, cas, .. } => Some(Value {
            key: context.key_id(key),
            size: *size,
            cas: *cas,
        }),
        _ => None,
    }
}

/// Returns the framing of what follows a line or header that answers any of the requests that `candidate` can answer;
/// [`Next::Unmatched`] if that differs among them.
fn following_all(candidate: &Candidate, forms: &Forms, response: &Response<'_>) -> Next {
    let mut all = candidate
        .asked(forms)
        .map(|asked| following(asked, response));
    let first = all.next().unwrap_or(Next::Unmatched);
    if all.all(|next| next == first) {
        first
    } else {
        Next::Unmatched
    }
}

/// Returns the framing of what follows a line or header that answers a request.
fn following(asked: &Asked, response: &Response<'_>) -> Next {
    let length = match response {
        _ if asked.form().after(response) == Follows::Lines => return Next::List,
        Response::Binary(answer) if answer.continues() => return Next::List,
        Response::Binary(answer) => answer.rest_size(),
        _ => response.value_size().map_or(0, |size| u64::from(size) + 2),
    };
    match length {
        0 => Next::Line,
        length => Next::Value {
            length,
            finishes: !matches!(response, Response::Value { .. }),
        },
    }
}
