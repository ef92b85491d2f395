//! Requests of one connection that await their answers, in the order they were sent; each answer finds its request here.

use membench_event::answer::{Asked, Forms, fits, outcome};
use membench_event::assignment::{Assignment, Rest, Unsolved};
use membench_event::backlog::Backlog;
use membench_event::{Command, Lookup, Outcome};
use membench_protocol::{Answers, Response};

use crate::make::bytes::Sizes;
use crate::make::opaque::Opaque;
use crate::make::request::RequestWriter;
use crate::make::template::Templates;
use crate::measure::histogram::class_of_request;
use crate::measure::{Arrival, Measures, Stamps, cause};
use crate::operation::{Marks, Operation};
use crate::shard::candidate::Candidate;
use crate::shard::queue::{Awaited, Queue, Request, is_key};

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

/// Outstanding requests of one connection.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    queue: Queue,
    /// Number of requests at the back that are not sent yet.
    unsent: usize,
    /// Number of requests that memcached must answer.
    due: usize,
    /// Offset of the end of the last request.
    end: u64,
    /// Offset of the end of the last request that counts as sent.
    sent_end: u64,
    /// Forms of the requests, as far as answers wait.
    forms: Forms,
    /// Answers whose request is not certain yet.
    waiting: Backlog<Candidate>,
    /// Such an answer whose end has not come yet.
    unfinished: Option<Candidate>,
}

impl Outstanding {
    /// Returns the number of requests in the queue.
    pub(crate) fn len(&self) -> usize {
        self.queue.requests.len()
    }

    /// Returns the number of requests that memcached must still answer.
    pub(crate) fn due(&self) -> usize {
        self.due
    }

    /// Returns the number of requests that memcached must still answer if every waiting answer belongs to one of them.
    pub(crate) fn least_due(&self) -> usize {
        self.due.saturating_sub(self.waiting.len())
    }

    /// True if an answer still to come may hold the cas value with this ordinal.
    pub(crate) fn awaits_cas(&self, ordinal: u32) -> bool {
        let returned = |awaited: &&Awaited| awaited.marks.has(Marks::CAS_RETURNED);
        self.queue
            .awaited
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
        let unanswered = template.is_unanswered(first);
        let quiet = template.is_quiet(first);
        self.due += usize::from(!quiet);
        self.unsent += 1;
        let sizes = Sizes::new(operations, end - self.end, template);
        self.end = end;
        self.queue.requests.push_back(Request {
            intended: start.saturating_add(first.intended),
            sent: 0,
            end,
            opaque,
            sizes,
            keys: u32::try_from(operations.len()).unwrap_or(u32::MAX),
            first: self.queue.ended + self.queue.awaited.len() as u64,
            asked: Asked {
                command: first.command,
                protocol: first.protocol,
                refused: false,
                letters: template.letters(),
                answers: Answers::of(first.command),
            },
            form: None,
            class: class_of_request(operations),
            quiet,
            unanswered,
        });
        self.queue
            .awaited
            .extend(operations.iter().map(|operation| Awaited {
                key: operation.key,
                cas: operation.cas,
                key_size: operation.key_size,
                key_prefix: operation.key_prefix,
                fill: operation.fill,
                command: operation.command,
                recorded: operation.recorded,
                marks: operation.marks,
            }));
    }

    /// Stamps the requests that end within the first `written` bytes of the connection as sent at `now`.
    pub(crate) fn stamp_sent(&mut self, written: u64, now: u64, measures: &mut Measures) {
        let first = self.queue.requests.len() - self.unsent;
        for request in self.queue.requests.range_mut(first..) {
            if request.end > written {
                break;
            }
            request.sent = now;
            self.unsent -= 1;
            self.sent_end = request.end;
            let lag = now.saturating_sub(request.intended);
            measures.sent(request.class, lag, request.sizes);
        }
        self.settle_unanswered(measures);
    }

    /// Settles the oldest requests that are sent and get no answer. A connection that sends nothing else would keep them
    /// until its end.
    fn settle_unanswered(&mut self, measures: &mut Measures) {
        if !self.waiting.is_empty() || self.unfinished.is_some() {
            return;
        }
        while self.unsent < self.queue.requests.len()
            && self
                .queue
                .requests
                .front()
                .is_some_and(|front| front.unanswered)
        {
            self.settle(Some(Outcome::Suppressed), measures);
        }
    }

    /// Takes one line or header of an answer.
    pub(crate) fn answer(&mut self, response: &Response<'_>, intake: &mut Intake<'_>) -> Next {
        if let Response::Binary(answer) = response {
            return self.answer_by_opaque(answer.opaque, response, intake);
        }
        let may_wait = !self.waiting.is_empty() || self.unfinished.is_some();
        match self.queue.requests.front() {
            None => unexpected(response, intake.measures),
            Some(front) if front.quiet || may_wait => self.add_candidate(response, intake),
            Some(_) => self.answer_oldest(response, intake),
        }
    }

    /// Takes an answer of the binary protocol, where no two requests of a connection share an opaque value. Those passed
    /// over are quiet and get no answer.
    fn answer_by_opaque(
        &mut self,
        opaque: u32,
        response: &Response<'_>,
        intake: &mut Intake<'_>,
    ) -> Next {
        let is_own = |request: &Request| request.opaque.word() == opaque;
        let requests = &self.queue.requests;
        let found = requests
            .iter()
            .position(|request| is_own(request) || !request.quiet)
            .filter(|found| requests.get(*found).is_some_and(is_own));
        let Some(found) = found else {
            return unexpected(response, intake.measures);
        };
        for _ in 0..found {
            self.settle(Some(Outcome::Suppressed), intake.measures);
        }
        self.answer_oldest(response, intake)
    }

    /// Takes an answer to the oldest request.
    fn answer_oldest(&mut self, response: &Response<'_>, intake: &mut Intake<'_>) -> Next {
        let Some(front) = self.queue.requests.front().copied() else {
            return Next::Line;
        };
        if !fits(&front.asked, response) {
            intake.measures.counts.unexpected += 1;
        }
        match response {
            Response::Value { key, cas, .. } => {
                self.hit(key.raw(), *cas, intake);
                value_after(response, false)
            }
            Response::Stat(_) => Next::Line,
            Response::Binary(answer) if answer.continues() => value_after(response, false),
            _ => self.conclude(front.asked.command, response, intake),
        }
    }

    /// Takes a line that may answer several requests.
    fn add_candidate(&mut self, response: &Response<'_>, intake: &mut Intake<'_>) -> Next {
        if let Some(mut candidate) = self.unfinished.take() {
            if candidate.continue_with(&self.forms, response) {
                candidate.arrival = intake.arrival;
                self.wait(candidate, intake);
            } else {
                self.unfinished = Some(candidate);
            }
            return value_after(response, false);
        }
        let afresh = self.waiting.is_empty();
        self.queue.number_forms(&mut self.forms, afresh);
        let candidate = Candidate::new(&self.forms, response, intake.arrival);
        if !self.waiting.has_place(&self.queue, &candidate) {
            return unexpected(response, intake.measures);
        }
        match response {
            Response::Value { .. } | Response::Stat(_) => self.unfinished = Some(candidate),
            _ => self.wait(candidate, intake),
        }
        value_after(response, false)
    }

    /// Adds an answer to those that wait, and settles what has become certain.
    fn wait(&mut self, candidate: Candidate, intake: &mut Intake<'_>) {
        // memcached may refuse a request whose last bytes are still to be sent, but none behind it.
        let sent = self.queue.requests.len() - self.unsent;
        match self.waiting.add(&self.queue, candidate, sent + 1) {
            Some(true) => self.settle_certain(intake),
            Some(false) => {}
            None => intake.measures.counts.unexpected += 1,
        }
    }

    /// Settles the requests whose answers are certain, whatever comes later.
    pub(crate) fn settle_certain(&mut self, intake: &mut Intake<'_>) {
        if !self.waiting.is_empty() {
            self.settle_waiting(Rest::Open, intake);
        }
    }

    fn settle_waiting(&mut self, rest: Rest, intake: &mut Intake<'_>) {
        match self.waiting.solve(&self.queue, rest) {
            Ok(assignment) => self.settle_all(&assignment, intake),
            Err(error) => {
                intake.measures.counts.unexpected += u64::from(error == Unsolved::Impossible);
                for _ in 0..self.waiting.passed() {
                    self.settle(None, intake.measures);
                }
                self.waiting.clear();
            }
        }
    }

    /// Settles the requests of an assignment. Each gets what all of its possible answers have in common.
    fn settle_all(&mut self, assignment: &Assignment, intake: &mut Intake<'_>) {
        let waiting = std::mem::take(&mut self.waiting);
        for request in 0..assignment.requests {
            let answers = assignment.answers_of(request);
            let answers = answers.filter_map(|answer| waiting.get(answer));
            self.settle_oldest(answers, assignment.may_be_silent(request), intake);
        }
        self.waiting = waiting;
        self.waiting
            .forget(&self.queue, assignment.requests, assignment.answers);
    }

    /// Settles the oldest request, which has one of these answers or, if `may_be_silent`, none.
    fn settle_oldest<'a>(
        &mut self,
        mut answers: impl Iterator<Item = &'a Candidate>,
        may_be_silent: bool,
        intake: &mut Intake<'_>,
    ) {
        let answer = match answers.next() {
            None => return self.settle(Some(Outcome::Suppressed), intake.measures),
            Some(_) if may_be_silent => return self.settle(None, intake.measures),
            Some(answer) => answer,
        };
        let form = self.queue.requests.front().and_then(|front| front.form);
        let (mut outcome, mut cas) = (answer.outcome(form), answer.cas);
        let mut is_only = true;
        for other in answers {
            is_only = false;
            let differs = other.outcome(form) != outcome
                || !other.values.is_empty()
                || !answer.values.is_empty();
            outcome = outcome.filter(|_| !differs);
            cas = cas.filter(|cas| other.cas == Some(*cas));
        }
        if is_only {
            for (key, cas) in &answer.values {
                self.hit(key, *cas, intake);
            }
        }
        self.end_operations(outcome, cas, intake);
        self.complete(intake.measures, answer.arrival);
    }

    /// Removes the oldest request, whose answer is complete.
    pub(crate) fn complete(&mut self, measures: &mut Measures, arrival: Arrival) {
        let Some(request) = self.queue.pop() else {
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
        if self.unsent > self.queue.requests.len() {
            self.unsent = self.queue.requests.len();
            self.sent_end = request.end;
            let lag = now.saturating_sub(request.intended);
            measures.sent(request.class, lag, request.sizes);
        }
    }

    /// Empties the queue when the connection ends after `written` bytes. Requests due an answer count as unanswered by
    /// the time of `intake`, those not sent as unsent, for this cause.
    pub(crate) fn abandon(&mut self, cause: &'static str, written: u64, intake: &mut Intake<'_>) {
        // memcached had the time to answer, unless the run was stopped.
        let rest = match cause {
            cause::STOPPED => Rest::Open,
            _ => Rest::Unanswered,
        };
        intake.measures.counts.bytes.cut_off(written, self.sent_end);
        self.unfinished = None;
        if !self.waiting.is_empty() {
            self.settle_waiting(rest, intake);
        }
        let known = self.waiting.is_empty();
        self.waiting.clear();
        while let Some(request) = self.queue.requests.front().copied() {
            let was_sent = self.unsent < self.queue.requests.len();
            if was_sent && request.quiet {
                self.settle(known.then_some(Outcome::Suppressed), intake.measures);
                continue;
            }
            let measures = &mut *intake.measures;
            let arrival = intake.arrival;
            if was_sent {
                let stamps = Stamps {
                    intended: request.intended,
                    sent: request.sent,
                    arrival,
                };
                measures.unanswered(cause, request.class, &stamps);
            } else {
                let waited = arrival.parsed.saturating_sub(request.intended);
                let waited = (!request.quiet).then_some(waited);
                measures.unsent(cause, request.sizes.recorded, request.class, waited);
                self.unsent -= 1;
            }
            self.queue.pop();
            for awaited in self.queue.end(request.keys) {
                count_outcome(&awaited, None, measures);
            }
        }
        self.due = 0;
    }

    /// Takes a value of the oldest request. Values come in the order of the keys, so the keys before its own are
    /// misses.
    fn hit(&mut self, key: &[u8], cas: Option<u64>, intake: &mut Intake<'_>) {
        let Some(front) = self.queue.requests.front_mut() else {
            return;
        };
        let count = front.keys as usize;
        let place = if count == 1 {
            Some(0)
        } else {
            self.queue
                .awaited
                .range(..count.min(self.queue.awaited.len()))
                .position(|awaited| is_key(awaited, key))
        };
        let Some(place) = place else {
            intake.measures.counts.unexpected += 1;
            return;
        };
        front.keys -= u32::try_from(place + 1).unwrap_or(front.keys);
        let mut left = place;
        for passed in self.queue.end(u32::try_from(place + 1).unwrap_or(u32::MAX)) {
            let outcome = if left > 0 {
                Outcome::Miss
            } else {
                Outcome::Hit
            };
            count_outcome(&passed, Some(outcome), intake.measures);
            if left == 0 {
                learn(&passed, cas, intake.requests);
            }
            left = left.saturating_sub(1);
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
        self.end_operations(Some(outcome), returned_cas(response), intake);
        let next = value_after(response, true);
        if next == Next::Line {
            self.complete(intake.measures, intake.arrival);
        }
        next
    }

    /// Ends the remaining operations of the oldest request, which was answered. `None` is an outcome that is not known.
    fn end_operations(
        &mut self,
        outcome: Option<Outcome>,
        cas: Option<u64>,
        intake: &mut Intake<'_>,
    ) {
        let Some(front) = self.queue.requests.front_mut() else {
            return;
        };
        let keys = std::mem::take(&mut front.keys);
        for awaited in self.queue.end(keys) {
            count_outcome(&awaited, outcome, intake.measures);
            learn(&awaited, cas, intake.requests);
        }
    }

    /// Removes the oldest request, which was sent and got no answer. `None` is an outcome that is not known, because a
    /// waiting answer may be its own.
    fn settle(&mut self, outcome: Option<Outcome>, measures: &mut Measures) {
        let Some(request) = self.queue.pop() else {
            return;
        };
        self.due -= usize::from(!request.quiet);
        self.count_sent(&request, request.intended, measures);
        measures.counts.suppressed += 1;
        for awaited in self.queue.end(request.keys) {
            count_outcome(&awaited, outcome, measures);
        }
    }
}

/// Counts the outcome of an operation; `None` is one that is not known.
fn count_outcome(awaited: &Awaited, outcome: Option<Outcome>, measures: &mut Measures) {
    let (command, recorded) = (awaited.command, awaited.recorded);
    let creates = awaited.marks.has(Marks::VIVIFIES);
    if awaited.marks.has(Marks::FILL) {
        return measures.filled(outcome);
    }
    if awaited.fill != 0 && Lookup::new(command, outcome, creates, None) == Some(Lookup::Miss) {
        measures.missed(
            awaited.key,
            awaited.key_size,
            awaited.key_prefix,
            awaited.fill,
        );
    }
    match outcome {
        Some(outcome) => measures.outcome(command, creates, recorded, outcome),
        None => measures.unseen(command, creates, recorded),
    }
}

/// Counts an answer that belongs to no request, and returns what follows it.
fn unexpected(response: &Response<'_>, measures: &mut Measures) -> Next {
    measures.counts.unexpected += 1;
    value_after(response, false)
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

/// Remembers the cas value that an answer returned, if a later request compares with it.
fn learn(awaited: &Awaited, cas: Option<u64>, requests: &mut RequestWriter) {
    if let Some(value) = cas
        && awaited.marks.has(Marks::CAS_RETURNED)
    {
        requests.learn_cas(awaited.cas, value);
    }
}

/// Returns the cas value in the last line or header of an answer.
pub(crate) fn returned_cas(response: &Response<'_>) -> Option<u64> {
    match response {
        Response::Meta { flags, .. } => parse_number(flags.token(b'c')?),
        Response::Binary(answer) => Some(answer.cas).filter(|cas| *cas != 0),
        _ => None,
    }
}

fn parse_number(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use membench_event::OptionsTable;

    use super::*;
    use crate::operation::Kind;

    #[test]
    fn requests_that_get_no_answer_are_settled_once_they_are_sent() {
        let mut table = OptionsTable::default();
        let operation = Operation {
            options: table.intern("noreply").unwrap(),
            command: Command::Delete,
            ..Operation::new(Kind::Request, 0, 0)
        };
        let templates = Templates::new(&table);
        let (mut outstanding, mut measures) = (Outstanding::default(), Measures::default());
        for number in 1..=10 {
            let request = NewRequest {
                operations: &[operation],
                start: 0,
                end: number * 10,
                opaque: Opaque::default(),
            };
            outstanding.push(request, &templates);
        }
        outstanding.stamp_sent(75, 5, &mut measures);
        let Measures { counts, .. } = &measures;
        assert_eq!(
            (outstanding.len(), counts.sent, counts.suppressed),
            (3, 7, 7)
        );
    }
}
