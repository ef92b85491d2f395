//! Requests that await their answer, in the order they were sent; answers find theirs here.

mod owner;

use std::collections::VecDeque;

use membench_protocol::Response;

use membench_event::aside::Token;
use membench_event::{Command, Options, Outcome, Protocol};

use crate::make::bytes::Sizes;
use crate::make::keys;
use crate::make::opaque::Opaque;
use crate::make::request::Requests;
use crate::measure::histogram::{MULTI_GET, class_of};
use crate::measure::{Measures, Stamps};
use crate::operation::{Marks, Operation};
use crate::plan::template::Templates;
use membench_event::answer::{fits, outcome};

/// One request.
#[derive(Clone, Copy, Debug)]
struct Request {
    /// When to send it, monotonic ns.
    intended: u64,
    /// When it was sent; 0 before.
    sent: u64,
    /// Offset of its end among all bytes of the connection.
    end: u64,
    opaque: Opaque,
    sizes: Sizes,
    /// Keys whose outcome is not known.
    keys: u32,
    options: Options,
    command: Command,
    class: u8,
    /// Answered only if it goes wrong, or never.
    quiet: bool,
}

impl Request {
    /// Whether answers may leave open that they are its: a quiet one without a token of its own.
    fn is_anonymous(&self) -> bool {
        self.quiet && self.command.is_meta() && self.opaque.size == 0
    }

    /// What tells its answer from those of others.
    fn token(&self) -> Token {
        (!self.is_anonymous()).then_some(self.opaque.number)
    }
}

/// One of its operations.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    key: u64,
    cas: u32,
    key_size: u8,
    command: Command,
    recorded: Option<Outcome>,
    marks: Marks,
}

/// An answer without a request yet.
#[derive(Clone, Copy, Debug)]
struct Reply {
    outcome: Outcome,
    cas: Option<u64>,
    stamps: (Option<u64>, u64),
}

/// What follows an answer's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another line.
    Line,
    /// A value.
    Value {
        /// Its bytes, line end included; of a binary answer the rest of its body.
        left: u64,
        /// The request is answered when they are there.
        completes: bool,
    },
}

/// The requests of one connection.
#[derive(Debug, Default)]
pub struct Outstanding {
    requests: VecDeque<Request>,
    awaited: VecDeque<Awaited>,
    /// How many at the back are not sent yet.
    unsent: usize,
    /// How many must be answered.
    due: usize,
    /// Offset of the end of the last one.
    end: u64,
    /// The same of those that count as sent.
    sent_end: u64,
    /// Answers that fit several quiet requests, until a later one tells.
    set_aside: Vec<(Token, Reply)>,
}

impl Outstanding {
    /// How many requests.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// How many must still be answered.
    pub fn due(&self) -> usize {
        self.due
    }

    /// Whether an answer still to come may bring the cas value of `ordinal`.
    pub fn awaits_cas(&self, ordinal: u32) -> bool {
        let returned = |awaited: &&Awaited| awaited.marks.has(Marks::CAS_RETURNED);
        self.awaited
            .iter()
            .filter(returned)
            .any(|awaited| awaited.cas == ordinal)
    }

    /// Adds the request made of `operations`, whose bytes end at `end`.
    pub fn push(
        &mut self,
        operations: &[Operation],
        start: u64,
        end: u64,
        opaque: Opaque,
        templates: &Templates,
    ) {
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

    /// Stamps what is among the first `written` bytes of the connection as sent at `now`.
    pub fn stamp_sent(&mut self, written: u64, now: u64, measures: &mut Measures) {
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

    /// Takes one line of an answer.
    pub fn answer(
        &mut self,
        response: &Response<'_>,
        makes: &mut Requests,
        measures: &mut Measures,
        stamps: (Option<u64>, u64),
    ) -> Next {
        let Some(owner) = self.owner(response, makes.templates()) else {
            measures.counts.unexpected += 1;
            return value_of(response, false);
        };
        if self.is_ambiguous(response, owner, makes.templates()) {
            return self.put_aside(owner, response, stamps);
        }
        self.pass_quiet(owner, makes, measures);
        let Some(front) = self.requests.front().copied() else {
            return Next::Line;
        };
        if !fits(front.command, response) {
            measures.counts.unexpected += 1;
        }
        match response {
            Response::Value { key, cas, .. } => {
                self.hit(key.raw(), *cas, makes, measures);
                value_of(response, false)
            }
            Response::Stat(_) => Next::Line,
            Response::Binary(answer) if answer.continues() => value_of(response, false),
            _ => self.conclude(front, response, makes, measures, stamps),
        }
    }

    /// The oldest request is answered.
    pub fn complete(&mut self, measures: &mut Measures, (received, parsed): (Option<u64>, u64)) {
        let Some(request) = self.requests.pop_front() else {
            return;
        };
        self.due -= usize::from(!request.quiet);
        self.count_sent(&request, parsed, measures);
        let sent = if request.sent == 0 {
            parsed
        } else {
            request.sent
        };
        let stamps = Stamps {
            intended: request.intended,
            sent,
            received,
            parsed,
        };
        measures.answered(request.class, &stamps);
    }

    /// memcached may refuse a request, just taken from the front, before the last of its value has left.
    fn count_sent(&mut self, request: &Request, now: u64, measures: &mut Measures) {
        if self.unsent > self.requests.len() {
            self.unsent = self.requests.len();
            self.sent_end = request.end;
            let lag = now.saturating_sub(request.intended);
            measures.sent(request.class, lag, request.sizes);
        }
    }

    /// Gives up after `written` bytes: what was due an answer has none, for this cause.
    pub fn abandon(&mut self, cause: &'static str, written: u64, measures: &mut Measures) {
        measures.counts.bytes.cut_off(written, self.sent_end);
        let told = std::mem::take(&mut self.set_aside).is_empty();
        while let Some(request) = self.requests.front().copied() {
            let was_sent = self.unsent < self.requests.len();
            if was_sent && request.quiet {
                let known = told || !request.is_anonymous();
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

    /// A value of the oldest request arrived: the keys before it are misses.
    fn hit(&mut self, key: &[u8], cas: Option<u64>, makes: &mut Requests, measures: &mut Measures) {
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
            measures.counts.unexpected += 1;
            return;
        };
        front.keys -= u32::try_from(place + 1).unwrap_or(front.keys);
        for _ in 0..place {
            if let Some(passed) = self.awaited.pop_front() {
                measures.outcome(passed.command, passed.recorded, Outcome::Miss);
            }
        }
        if let Some(found) = self.awaited.pop_front() {
            measures.outcome(found.command, found.recorded, Outcome::Hit);
            learn(&found, cas, makes);
        }
    }

    /// The line that ends (but for a value) the oldest request's answer.
    fn conclude(
        &mut self,
        front: Request,
        response: &Response<'_>,
        makes: &mut Requests,
        measures: &mut Measures,
        stamps: (Option<u64>, u64),
    ) -> Next {
        let outcome = outcome(front.command, response);
        self.end_operations(outcome, returned_cas(response), makes, measures);
        let next = value_of(response, true);
        if next == Next::Line {
            self.complete(measures, stamps);
        }
        next
    }

    /// The oldest request's operations that are left end like this.
    fn end_operations(
        &mut self,
        outcome: Outcome,
        cas: Option<u64>,
        makes: &mut Requests,
        measures: &mut Measures,
    ) {
        let Some(front) = self.requests.front_mut() else {
            return;
        };
        let keys = std::mem::take(&mut front.keys) as usize;
        for awaited in self.awaited.drain(..keys) {
            measures.outcome(awaited.command, awaited.recorded, outcome);
            learn(&awaited, cas, makes);
        }
    }

    /// The oldest request, sent, gets no answer: none was due, or it cannot be told whether one was its.
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
}

fn value_of(response: &Response<'_>, completes: bool) -> Next {
    let left = match response {
        Response::Binary(answer) => answer.rest_size(),
        _ => response.value_size().map_or(0, |size| u64::from(size) + 2),
    };
    match left {
        0 => Next::Line,
        left => Next::Value { left, completes },
    }
}

fn is_key(awaited: &Awaited, key: &[u8]) -> bool {
    if key.len() != usize::from(awaited.key_size) {
        return false;
    }
    let mut rendered = Vec::with_capacity(key.len());
    keys::append(&mut rendered, awaited.key, key.len());
    rendered == key
}

fn learn(awaited: &Awaited, cas: Option<u64>, makes: &mut Requests) {
    if let Some(value) = cas
        && awaited.marks.has(Marks::CAS_RETURNED)
    {
        makes.learn_cas(awaited.cas, value);
    }
}

fn returned_cas(response: &Response<'_>) -> Option<u64> {
    match response {
        Response::Meta { flags, .. } => number(flags.token(b'c')?),
        Response::Binary(answer) => Some(answer.cas).filter(|cas| *cas != 0),
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.parse().ok()
}
