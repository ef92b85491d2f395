//! A line → the request it answers; left open where it fits several quiet ones.

use membench_protocol::{Key, Response, is_silent};

use membench_event::Outcome;
use membench_event::aside::{Answered, Passed, Token};

use super::{Awaited, Next, Outstanding, Reply, Request, is_key, returned_cas, value_of};
use crate::make::request::Requests;
use crate::measure::{Measures, is_error};
use crate::plan::template::Templates;
use membench_event::answer::{fits, is_error as is_error_line, outcome};

impl Outstanding {
    /// The request an answer belongs to: the first that must be answered, or a quiet one before it that this line fits.
    pub(crate) fn owner(&self, response: &Response<'_>, templates: &Templates) -> Option<usize> {
        if let Response::Binary(answer) = response {
            let found = self.repeating(answer.opaque)?;
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
            speaks_of(request, awaited, response, templates)
        })
    }

    /// The first request whose opaque value a binary answer repeats; each has one of its own.
    fn repeating(&self, opaque: u32) -> Option<usize> {
        self.requests
            .iter()
            .position(|request| request.opaque.word() == opaque)
    }

    /// Requests with their first operation.
    fn each(&self) -> impl Iterator<Item = (&Request, Option<&Awaited>)> {
        self.requests.iter().scan(0, |next, request| {
            let awaited = self.awaited.get(*next);
            *next += request.keys as usize;
            Some((request, awaited))
        })
    }

    /// Whether an answer that could be the quiet request's at `owner` could as well be a later quiet one's: the rule by
    /// which recordings are decoded, so that both leave the same outcomes open. A request that must be answered and
    /// that it fits, too, is not awaited: nothing else might come that tells.
    pub(crate) fn is_ambiguous(
        &self,
        response: &Response<'_>,
        owner: usize,
        templates: &Templates,
    ) -> bool {
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
            || later.any(|(request, awaited)| speaks_of(request, awaited, response, templates))
    }

    pub(crate) fn put_aside(
        &mut self,
        owner: usize,
        response: &Response<'_>,
        stamps: (Option<u64>, u64),
    ) -> Next {
        if let Some(request) = self.requests.get(owner) {
            let reply = Reply {
                outcome: outcome(request.command, response),
                cas: returned_cas(response),
                stamps,
            };
            self.set_aside.push((request.token(), reply));
        }
        value_of(response, false)
    }

    /// Ends the quiet requests before `owner`. Answers put aside are theirs: all were answered, or none, or it is not
    /// known which.
    pub(crate) fn pass_quiet(
        &mut self,
        owner: usize,
        makes: &mut Requests,
        measures: &mut Measures,
    ) {
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
                Answered::No => self.settle(Some(Outcome::Suppressed), measures),
                Answered::Yes(reply) => {
                    self.end_operations(reply.outcome, reply.cas, makes, measures);
                    self.complete(measures, reply.stamps);
                }
                Answered::Unknown => self.settle(None, measures),
            }
        }
    }
}

/// Whether a line that is no error can answer a quiet request.
fn speaks_of(
    request: &Request,
    awaited: Option<&Awaited>,
    response: &Response<'_>,
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
    request.opaque.is(flags.token(b'O'))
}
