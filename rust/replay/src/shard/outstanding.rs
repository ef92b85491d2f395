//! Requests of one connection that await their answers, in the order they were sent; each answer finds its request here.

use std::collections::VecDeque;

use membench_event::answer::{fits, is_error as is_error_line, outcome};
use membench_event::aside::{Answered, Passed, Token};
use membench_event::{Command, Options, Outcome, Protocol};
use membench_protocol::{Key, Response, is_silent};

use crate::make::bytes::Sizes;
use crate::make::keys;
use crate::make::opaque::Opaque;
use crate::make::request::RequestWriter;
use crate::make::template::Templates;
use crate::measure::histogram::{MULTI_GET, class_of};
use crate::measure::{Arrival, Measures, Stamps, is_error};
use crate::operation::{Marks, Operation};

/// State that the answers of one read change, and the time of that read.
#[derive(Debug)]
pub(crate) struct Intake<'a> {
    /// Writer of later requests, which learns cas values from answers.
    pub(crate) requests: &'a mut RequestWriter,
    /// Measures that count the answers.
    pub(crate) measures: &'a mut Measures,
    /// Time of the read.
    pub(crate) arrival: Arrival,
}

/// Request that was appended to the outgoing bytes of its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRequest<'a> {
    /// Operations of the request; several for a multi-get.
    pub(crate) operations: &'a [Operation],
    /// Monotonic time of the schedule's start, ns.
    pub(crate) start: u64,
    /// Offset of the request's end among all bytes of the connection.
    pub(crate) end: u64,
    /// Token of the request.
    pub(crate) opaque: Opaque,
}

/// Request in the queue.
#[derive(Clone, Copy, Debug)]
struct Request {
    /// Intended time, monotonic ns.
    intended: u64,
    /// Time at which the last byte was sent, monotonic ns; 0 until then.
    sent: u64,
    /// Offset of the request's end among all bytes of the connection.
    end: u64,
    opaque: Opaque,
    sizes: Sizes,
    /// Keys whose outcome is not known yet.
    keys: u32,
    options: Options,
    command: Command,
    /// Class under which times are recorded.
    class: u8,
    /// True if memcached answers only some outcomes (quiet), or none (`noreply`, `quit`).
    quiet: bool,
}

impl Request {
    /// True for a quiet meta request without a token: an answer may fit several of those.
    fn is_anonymous(&self) -> bool {
        self.quiet && self.command.is_meta() && self.opaque.size == 0
    }

    /// Returns the number of the token that the answer repeats; `None` for an anonymous request.
    fn token(&self) -> Token {
        (!self.is_anonymous()).then_some(self.opaque.number)
    }
}

/// Operation of a queued request, whose outcome is not known yet.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    key: u64,
    cas: u32,
    key_size: u8,
    command: Command,
    recorded: Option<Outcome>,
    marks: Marks,
}

/// Answer that may belong to several requests.
#[derive(Clone, Copy, Debug)]
struct Reply {
    outcome: Outcome,
    cas: Option<u64>,
    arrival: Arrival,
}

/// Bytes that follow the line or header of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next line or header.
    Line,
    /// A value.
    Value {
        /// Bytes of the value with its line ending; in the binary protocol, of the rest of the body.
        left: u64,
        /// True if the end of the value completes the request.
        completes: bool,
    },
}

/// Queue of the requests of one connection.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    requests: VecDeque<Request>,
    /// Operations of all requests whose outcome is not known yet, in order.
    awaited: VecDeque<Awaited>,
    /// Number of requests at the back that are not sent yet.
    unsent: usize,
    /// Number of requests that memcached must answer.
    due: usize,
    /// Offset of the end of the last request.
    end: u64,
    /// Offset of the end of the last request that counts as sent.
    sent_end: u64,
    /// Answers that fit several quiet requests, kept until a later answer passes those.
    set_aside: Vec<(Token, Reply)>,
}

impl Outstanding {
    /// Returns the number of requests in the queue.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Returns the number of requests that memcached must still answer.
    pub(crate) fn due(&self) -> usize {
        self.due
    }

    /// True if an answer still to come may hold the cas value with this ordinal.
    pub(crate) fn awaits_cas(&self, ordinal: u32) -> bool {
        let returned = |awaited: &&Awaited| awaited.marks.has(Marks::CAS_RETURNED);
        self.awaited
            .iter()
            .filter(returned)
            .any(|awaited| awaited.cas == ordinal)
    }

    /// Appends a request to the queue.
    pub(crate) fn push(&mut self, request: NewRequest<'_>, templates: &Templates) {
        let NewRequest {
            operations,
            start,
            end,
            opaque,
        } = request;
        let Some(first) = operations.first() else {
            return;
        };
        let template = templates.get(first.options);
        let quits = first.command == Command::Quit && first.protocol != Protocol::Binary;
        let quiet = template.noreply || template.quiet || quits;
        self.due += usize::from(!quiet);
        self.unsent += 1;
        let sizes = Sizes::new(operations, end - self.end, template);
        self.end = end;
        self.requests.push_back(Request {
            intended: start + first.intended,
            sent: 0,
            end,
            opaque,
            sizes,
            keys: u32::try_from(operations.len()).unwrap_or(u32::MAX),
            options: first.options,
            command: first.command,
            class: if operations.len() > 1 {
                MULTI_GET
            } else {
                class_of(first.command)
            },
            quiet,
        });
        self.awaited
            .extend(operations.iter().map(|operation| Awaited {
                key: operation.key,
                cas: operation.cas,
                key_size: operation.key_size,
                command: operation.command,
                recorded: operation.recorded,
                marks: operation.marks,
            }));
    }

    /// Stamps the requests that end within the first `written` bytes of the connection as sent at `now`.
    pub(crate) fn stamp_sent(&mut self, written: u64, now: u64, measures: &mut Measures) {
        let first = self.requests.len() - self.unsent;
        for request in self.requests.range_mut(first..) {
            if request.end > written {
                break;
            }
            request.sent = now;
            self.unsent -= 1;
            self.sent_end = request.end;
            let lag = now.saturating_sub(request.intended);
            measures.sent(request.class, lag, request.sizes);
        }
    }

    /// Takes one line or header of an answer.
    pub(crate) fn answer(&mut self, response: &Response<'_>, intake: &mut Intake<'_>) -> Next {
        let templates = intake.requests.templates();
        let Some(owner) = self.owner(response, templates) else {
            intake.measures.counts.unexpected += 1;
            return value_after(response, false);
        };
        if self.is_ambiguous(response, owner, templates) {
            return self.put_aside(owner, response, intake.arrival);
        }
        self.pass_quiet(owner, intake);
        let Some(front) = self.requests.front().copied() else {
            return Next::Line;
        };
        if !fits(front.command, response) {
            intake.measures.counts.unexpected += 1;
        }
        match response {
            Response::Value { key, cas, .. } => {
                self.hit(key.raw(), *cas, intake);
                value_after(response, false)
            }
            Response::Stat(_) => Next::Line,
            Response::Binary(answer) if answer.continues() => value_after(response, false),
            _ => self.conclude(front.command, response, intake),
        }
    }

    /// Removes the oldest request, whose answer is complete.
    pub(crate) fn complete(&mut self, measures: &mut Measures, arrival: Arrival) {
        let Some(request) = self.requests.pop_front() else {
            return;
        };
        self.due -= usize::from(!request.quiet);
        self.count_sent(&request, arrival.parsed, measures);
        let sent = if request.sent == 0 {
            arrival.parsed
        } else {
            request.sent
        };
        let stamps = Stamps {
            intended: request.intended,
            sent,
            arrival,
        };
        measures.answered(request.class, &stamps);
    }

    /// Counts `request`, just removed from the front, as sent at `now` unless it counts already: memcached may refuse
    /// a request before the last byte of its value has left.
    fn count_sent(&mut self, request: &Request, now: u64, measures: &mut Measures) {
        if self.unsent > self.requests.len() {
            self.unsent = self.requests.len();
            self.sent_end = request.end;
            let lag = now.saturating_sub(request.intended);
            measures.sent(request.class, lag, request.sizes);
        }
    }

    /// Empties the queue when the connection ends after `written` bytes. Requests due an answer count as unanswered,
    /// those not sent as unsent, for this cause.
    pub(crate) fn abandon(&mut self, cause: &'static str, written: u64, measures: &mut Measures) {
        measures.counts.bytes.cut_off(written, self.sent_end);
        let unambiguous = std::mem::take(&mut self.set_aside).is_empty();
        while let Some(request) = self.requests.front().copied() {
            let was_sent = self.unsent < self.requests.len();
            if was_sent && request.quiet {
                let known = unambiguous || !request.is_anonymous();
                self.settle(known.then_some(Outcome::Suppressed), measures);
                continue;
            }
            if was_sent {
                measures.unanswered(cause);
            } else {
                measures.unsent(cause, request.sizes.recorded);
                self.unsent -= 1;
            }
            self.requests.pop_front();
            for awaited in self.awaited.drain(..request.keys as usize) {
                measures
                    .transitions
                    .record(awaited.command, awaited.recorded, None);
            }
        }
        self.due = 0;
    }

    /// Takes a value of the oldest request. Values come in the order of the keys, so the keys before its own are
    /// misses.
    fn hit(&mut self, key: &[u8], cas: Option<u64>, intake: &mut Intake<'_>) {
        let Some(front) = self.requests.front_mut() else {
            return;
        };
        let count = front.keys as usize;
        let place = if count == 1 {
            Some(0)
        } else {
            self.awaited
                .range(..count.min(self.awaited.len()))
                .position(|awaited| is_key(awaited, key))
        };
        let Some(place) = place else {
            intake.measures.counts.unexpected += 1;
            return;
        };
        front.keys -= u32::try_from(place + 1).unwrap_or(front.keys);
        for _ in 0..place {
            if let Some(passed) = self.awaited.pop_front() {
                intake
                    .measures
                    .outcome(passed.command, passed.recorded, Outcome::Miss);
            }
        }
        if let Some(found) = self.awaited.pop_front() {
            intake
                .measures
                .outcome(found.command, found.recorded, Outcome::Hit);
            learn(&found, cas, intake.requests);
        }
    }

    /// Takes the last line or header of the oldest request's answer; a value may still follow.
    fn conclude(
        &mut self,
        command: Command,
        response: &Response<'_>,
        intake: &mut Intake<'_>,
    ) -> Next {
        let outcome = outcome(command, response);
        self.end_operations(outcome, returned_cas(response), intake);
        let next = value_after(response, true);
        if next == Next::Line {
            self.complete(intake.measures, intake.arrival);
        }
        next
    }

    /// Ends the remaining operations of the oldest request with `outcome`.
    fn end_operations(&mut self, outcome: Outcome, cas: Option<u64>, intake: &mut Intake<'_>) {
        let Some(front) = self.requests.front_mut() else {
            return;
        };
        let keys = std::mem::take(&mut front.keys) as usize;
        for awaited in self.awaited.drain(..keys) {
            intake
                .measures
                .outcome(awaited.command, awaited.recorded, outcome);
            learn(&awaited, cas, intake.requests);
        }
    }

    /// Removes the oldest request, which was sent and gets no answer. `None` is an outcome that is not known, because
    /// an answer set aside may have been its own.
    fn settle(&mut self, outcome: Option<Outcome>, measures: &mut Measures) {
        let Some(request) = self.requests.pop_front() else {
            return;
        };
        self.count_sent(&request, request.intended, measures);
        measures.counts.suppressed += 1;
        for awaited in self.awaited.drain(..request.keys as usize) {
            match outcome {
                Some(outcome) => measures.outcome(awaited.command, awaited.recorded, outcome),
                None => measures.unseen(awaited.command, awaited.recorded),
            }
        }
    }

    /// Returns the place of the request that an answer belongs to: the first that must be answered, or a quiet one
    /// before it that the answer fits. In the binary protocol, it is the request whose opaque value the answer repeats,
    /// if all before it are quiet.
    fn owner(&self, response: &Response<'_>, templates: &Templates) -> Option<usize> {
        if let Response::Binary(answer) = response {
            let found = self.position(answer.opaque)?;
            let mut passed = self.requests.iter().take(found);
            return passed.all(|request| request.quiet).then_some(found);
        }
        if self.requests.front().is_some_and(|front| !front.quiet) {
            return Some(0);
        }
        let error = is_error_line(response);
        self.each().position(|(request, awaited)| {
            if !request.quiet {
                return true;
            }
            if error {
                let recorded = awaited.and_then(|awaited| awaited.recorded);
                return recorded.is_some_and(is_error);
            }
            can_answer(response, request, awaited, templates)
        })
    }

    /// Returns the place of the binary request with this opaque value; no two of a connection share one.
    fn position(&self, opaque: u32) -> Option<usize> {
        self.requests
            .iter()
            .position(|request| request.opaque.word() == opaque)
    }

    /// Yields each request with its first operation.
    fn each(&self) -> impl Iterator<Item = (&Request, Option<&Awaited>)> {
        self.requests.iter().scan(0, |next, request| {
            let awaited = self.awaited.get(*next);
            *next += request.keys as usize;
            Some((request, awaited))
        })
    }

    /// True if an answer that fits the quiet request at `owner` may belong to a later quiet one: because it fits that
    /// one, too, or because an earlier answer is still set aside. Looks no further than the next request that must be
    /// answered, as no later answer is sure to come that decides. Decoding applies the same rule, so recording and
    /// replay leave the same outcomes open.
    fn is_ambiguous(&self, response: &Response<'_>, owner: usize, templates: &Templates) -> bool {
        let Response::Meta { flags, .. } = response else {
            return false;
        };
        let mut candidates = self.each().skip(owner);
        let Some((found, _)) = candidates.next() else {
            return false;
        };
        let names_key = templates.get(found.options).returns_key && flags.has(b'k');
        if !found.is_anonymous() || names_key {
            return false;
        }
        let mut later = candidates.take_while(|(request, _)| request.quiet);
        !self.set_aside.is_empty()
            || later.any(|(request, awaited)| can_answer(response, request, awaited, templates))
    }

    /// Keeps an ambiguous answer until a later one passes the requests that it fits.
    fn put_aside(&mut self, owner: usize, response: &Response<'_>, arrival: Arrival) -> Next {
        if let Some(request) = self.requests.get(owner) {
            let reply = Reply {
                outcome: outcome(request.command, response),
                cas: returned_cas(response),
                arrival,
            };
            self.set_aside.push((request.token(), reply));
        }
        value_after(response, false)
    }

    /// Removes the quiet requests before `owner`, which get no more answers. If as many answers were set aside as
    /// requests with that token are passed, each gets its own; if the numbers differ, their outcomes stay unknown.
    fn pass_quiet(&mut self, owner: usize, intake: &mut Intake<'_>) {
        if owner == 0 {
            return;
        }
        let requests: Vec<Token> = self
            .requests
            .iter()
            .take(owner)
            .map(Request::token)
            .collect();
        let mut passed = Passed::new(&requests, std::mem::take(&mut self.set_aside));
        for token in requests {
            match passed.next(token) {
                Answered::No => self.settle(Some(Outcome::Suppressed), intake.measures),
                Answered::Yes(reply) => {
                    self.end_operations(reply.outcome, reply.cas, intake);
                    self.complete(intake.measures, reply.arrival);
                }
                Answered::Unknown => self.settle(None, intake.measures),
            }
        }
    }
}

/// Returns what follows the line or header of `response`.
fn value_after(response: &Response<'_>, completes: bool) -> Next {
    let left = match response {
        Response::Binary(answer) => answer.rest_size(),
        _ => response.value_size().map_or(0, |size| u64::from(size) + 2),
    };
    match left {
        0 => Next::Line,
        left => Next::Value { left, completes },
    }
}

/// True if `key` is the key that was sent for `awaited`.
fn is_key(awaited: &Awaited, key: &[u8]) -> bool {
    if key.len() != usize::from(awaited.key_size) {
        return false;
    }
    let mut rendered = Vec::with_capacity(key.len());
    keys::append(&mut rendered, awaited.key, key.len());
    rendered == key
}

/// Remembers the cas value that an answer returned, if a later request compares with it.
fn learn(awaited: &Awaited, cas: Option<u64>, requests: &mut RequestWriter) {
    if let Some(value) = cas
        && awaited.marks.has(Marks::CAS_RETURNED)
    {
        requests.learn_cas(awaited.cas, value);
    }
}

/// Returns the cas value in the last line or header of an answer.
fn returned_cas(response: &Response<'_>) -> Option<u64> {
    match response {
        Response::Meta { flags, .. } => parse_number(flags.token(b'c')?),
        Response::Binary(answer) => Some(answer.cas).filter(|cas| *cas != 0),
        _ => None,
    }
}

fn parse_number(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.parse().ok()
}

/// True if a line other than an error can answer a quiet request.
fn can_answer(
    response: &Response<'_>,
    request: &Request,
    awaited: Option<&Awaited>,
    templates: &Templates,
) -> bool {
    let Response::Meta { flags, .. } = response else {
        return false;
    };
    let template = templates.get(request.options);
    let unanswered = template.noreply || template.quiet && is_silent(request.command, response);
    if unanswered || !fits(request.command, response) {
        return false;
    }
    if let Some(word) = flags.token(b'k') {
        let mut scratch = [0; 256];
        let key = Key::new(word, flags.has(b'b'));
        let key = key.decode(&mut scratch);
        if !awaited.is_some_and(|awaited| template.returns_key && is_key(awaited, key)) {
            return false;
        }
    }
    request.opaque.matches(flags.token(b'O'))
}
