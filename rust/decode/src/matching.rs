//! An open request and a response → whether the response can be its answer: by form, opaque token and key.

use smallvec::SmallVec;

use membench_event::answer::{Asked, FormNumber, Forms, fits, is_error};
use membench_event::{Outcome, backlog};
use membench_protocol::response::Response;
use membench_protocol::{Key, MetaFlag, MetaFlags};

use super::context::Context;
use super::open_requests::{Open, OpenRequests, tag};
use super::reply::Reply;

/// The fields of its request that a response echoes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Echo {
    /// Keyed id of the opaque token; for a binary response its [`tag`].
    opaque: Option<u64>,
    /// Keyed id of the key.
    key: Option<u64>,
}

impl Echo {
    #[inline]
    pub(super) fn new(context: &Context, response: &Response<'_>) -> Self {
        match response {
            Response::Meta { flags, letters, .. } if letters.has(b'O') || letters.has(b'k') => {
                Self::from_flags(context, flags)
            }
            Response::Binary(answer) => Self {
                opaque: Some(tag(answer.opcode, answer.opaque)),
                key: answer
                    .key
                    .filter(|key| answer.opcode.returns_key() && !key.is_empty())
                    .map(|key| context.hasher.id(key)),
            },
            _ => Self::default(),
        }
    }

    fn from_flags(context: &Context, flags: &MetaFlags<'_>) -> Self {
        let (mut echo, mut key, mut is_base64) = (Self::default(), None, false);
        for MetaFlag { letter, token } in flags.clone() {
            match letter {
                b'O' => echo.opaque = Some(context.hasher.id(token)),
                b'k' => key = Some(token),
                b'b' => is_base64 = true,
                _ => {}
            }
        }
        echo.key = key.map(|word| context.key_id(&Key::new(word, is_base64)));
        echo
    }

    /// True if the repeated token and key, where there are any, are the request's own.
    fn repeats(&self, open: &Open) -> bool {
        (self.opaque.is_none() || self.opaque == open.opaque)
            && (self.key.is_none() || self.key == open.key)
    }
}

/// True if `response`, which echoes `echo`, can be the answer to `open`.
pub(super) fn can_answer(open: &Open, response: &Response<'_>, echo: &Echo) -> bool {
    echo.repeats(open) && fits(&open.asked, response)
}

/// A value of a retrieval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    /// Keyed id of the value's key.
    pub(super) key: u64,
    pub(super) size: u32,
    pub(super) cas: Option<u64>,
}

/// A response whose request is not certain yet.
#[derive(Debug)]
pub(super) struct Candidate {
    echo: Echo,
    /// Forms of request that the response can answer, each with the reply that the response is to it.
    replies: SmallVec<[(FormNumber, Reply); 2]>,
    /// Values of a retrieval. The reply to its form is that of the keys without a value.
    values: Vec<Value>,
    /// Time of the send that ended the response, ns.
    pub(super) time: u64,
}

impl Candidate {
    pub(super) fn new(forms: &Forms, response: &Response<'_>, echo: Echo, time: u64) -> Self {
        Self {
            echo,
            replies: forms
                .fitting(response)
                .map(|(form, asked)| (form, Reply::new(asked.command, response)))
                .collect(),
            values: Vec::new(),
            time,
        }
    }

    /// True if a line or header can be the next part of the response.
    pub(super) fn continues_with(&self, context: &Context, response: &Response<'_>) -> bool {
        match response {
            Response::Value { .. } | Response::End => true,
            Response::Binary(_) => self.echo == Echo::new(context, response),
            _ => is_error(response),
        }
    }

    /// The forms of request that the response can answer.
    pub(super) fn asked<'f>(&self, forms: &'f Forms) -> impl Iterator<Item = &'f Asked> {
        self.replies.iter().filter_map(|(form, _)| forms.get(*form))
    }

    /// Takes the line or header that ends the response.
    pub(super) fn end_with(&mut self, forms: &Forms, response: &Response<'_>) {
        for (form, reply) in &mut self.replies {
            if let Some(asked) = forms.get(*form) {
                *reply = Reply::new(asked.command, response);
            }
        }
    }

    /// Takes the end of a list, which has this outcome.
    pub(super) fn end_list(&mut self, outcome: Outcome) {
        for (_, reply) in &mut self.replies {
            reply.outcome = Some(outcome);
        }
    }

    /// Takes a value of a retrieval. Returns the number of values so far.
    pub(super) fn add_value(&mut self, value: Value) -> usize {
        self.values.push(value);
        self.values.len()
    }

    fn reply_to(&self, open: &Open) -> Option<Reply> {
        let form = open.form?;
        let found = self.replies.iter().find(|(fitting, _)| *fitting == form);
        found.map(|(_, reply)| *reply)
    }

    /// True if the response can be the answer to `open`.
    fn can_answer(&self, open: &Open, requests: &OpenRequests) -> bool {
        self.echo.repeats(open)
            && self.reply_to(open).is_some()
            && (self.values.is_empty() || self.places(open, requests).is_some())
    }

    /// Returns the place of each value among the request's keys; `None` if they do not all follow each other there.
    fn places(&self, open: &Open, requests: &OpenRequests) -> Option<SmallVec<[usize; 4]>> {
        let mut keys = requests.events_of(open).map(|event| event.key).enumerate();
        self.values
            .iter()
            .map(|value| {
                let found = keys.find(|(_, key)| *key == Some(value.key));
                found.map(|(place, _)| place)
            })
            .collect()
    }

    /// Returns the reply to each event of a request that the response can answer.
    pub(super) fn replies_to(&self, open: &Open, requests: &OpenRequests) -> SmallVec<[Reply; 1]> {
        let rest = self.reply_to(open).unwrap_or_default();
        let mut replies = SmallVec::from_elem(rest, open.events as usize);
        let places = self.places(open, requests).unwrap_or_default();
        for (place, value) in places.iter().zip(&self.values) {
            if let Some(reply) = replies.get_mut(*place) {
                *reply = Reply {
                    outcome: Some(Outcome::Hit),
                    value_size: Some(value.size),
                    cas: value.cas,
                };
            }
        }
        replies
    }
}

impl backlog::OpenRequests<Candidate> for OpenRequests {
    fn count(&self) -> usize {
        self.len()
    }

    fn is_quiet(&self, request: usize) -> bool {
        self.get(request).is_some_and(Open::is_quiet)
    }

    fn fits(&self, request: usize, answer: &Candidate) -> bool {
        self.get(request)
            .is_some_and(|open| answer.can_answer(open, self))
    }
}

/// The first line or header of a response.
pub(super) struct Sent<'a> {
    pub(super) response: &'a Response<'a>,
    pub(super) echo: Echo,
}

impl backlog::OpenRequests<Sent<'_>> for OpenRequests {
    fn count(&self) -> usize {
        self.len()
    }

    fn is_quiet(&self, request: usize) -> bool {
        self.get(request).is_some_and(Open::is_quiet)
    }

    fn fits(&self, request: usize, answer: &Sent<'_>) -> bool {
        self.get(request)
            .is_some_and(|open| can_answer(open, answer.response, &answer.echo))
    }
}
