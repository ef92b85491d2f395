//! Requests of one connection that await their answers, and the answers they can have.

use std::collections::VecDeque;

use membench_event::answer::{Asked, FormNumber, Forms};
use membench_event::backlog::OpenRequests;
use membench_event::{Command, Outcome};

use crate::make::bytes::Sizes;
use crate::make::keys;
use crate::make::opaque::Opaque;
use crate::operation::Marks;
use crate::shard::candidate::Candidate;

/// Request in the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Intended time, monotonic ns.
    pub(crate) intended: u64,
    /// Time at which the last byte was sent, monotonic ns; 0 until then.
    pub(crate) sent: u64,
    /// Offset of the request's end among all bytes of the connection.
    pub(crate) end: u64,
    pub(crate) opaque: Opaque,
    pub(crate) sizes: Sizes,
    /// Keys whose outcome is not known yet.
    pub(crate) keys: u32,
    /// Number of operations queued on the connection before its own.
    pub(crate) first: u64,
    pub(crate) asked: Asked,
    /// Number of `asked` among the forms of the queue; set when an answer first waits.
    pub(crate) form: Option<FormNumber>,
    /// Class under which times are recorded.
    pub(crate) class: u8,
    /// True if memcached answers only some outcomes (quiet), or none.
    pub(crate) quiet: bool,
    /// True if memcached answers nothing (`noreply`, `quit`).
    pub(crate) unanswered: bool,
}

/// Operation of a queued request, whose outcome is not known yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awaited {
    pub(crate) key: u64,
    pub(crate) cas: u32,
    pub(crate) key_size: u8,
    pub(crate) key_prefix: u8,
    pub(crate) fill: u32,
    pub(crate) command: Command,
    pub(crate) recorded: Option<Outcome>,
    pub(crate) marks: Marks,
}

/// Requests of one connection, oldest first, and their operations.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) requests: VecDeque<Request>,
    /// Operations of all requests whose outcome is not known yet, in order.
    pub(crate) awaited: VecDeque<Awaited>,
    /// Number of operations that are no longer among `awaited`.
    pub(crate) ended: u64,
    /// Number of the oldest requests that have a form.
    formed: usize,
}

impl Queue {
    /// Removes the oldest request.
    pub(crate) fn pop(&mut self) -> Option<Request> {
        self.formed = self.formed.saturating_sub(1);
        self.requests.pop_front()
    }

    /// Removes the oldest operations.
    pub(crate) fn end(&mut self, count: u32) -> impl Iterator<Item = Awaited> {
        let count = (count as usize).min(self.awaited.len());
        self.ended += count as u64;
        self.awaited.drain(..count)
    }

    /// Numbers the forms of all requests that have none. If `afresh`, older numbers may be forgotten. Requests beyond
    /// the most forms have none, and no answer fits them.
    pub(crate) fn number_forms(&mut self, forms: &mut Forms, afresh: bool) {
        if afresh && forms.are_many() {
            forms.clear();
            self.formed = 0;
        }
        for request in self.requests.range_mut(self.formed..) {
            request.form = forms.number(&request.asked);
        }
        self.formed = self.requests.len();
    }

    /// Operations of a request.
    fn operations(&self, request: &Request) -> impl Iterator<Item = &Awaited> {
        let start = usize::try_from(request.first.saturating_sub(self.ended));
        let start = start.unwrap_or(usize::MAX).min(self.awaited.len());
        let end = (start + request.keys as usize).min(self.awaited.len());
        self.awaited.range(start..end)
    }
}

impl OpenRequests<Candidate> for Queue {
    fn count(&self) -> usize {
        self.requests.len()
    }

    fn is_quiet(&self, request: usize) -> bool {
        self.requests.get(request).is_some_and(|found| found.quiet)
    }

    fn fits(&self, request: usize, answer: &Candidate) -> bool {
        let Some(request) = self.requests.get(request) else {
            return false;
        };
        if request.unanswered || answer.outcome(request.form).is_none() {
            return false;
        }
        if let Some(token) = &answer.opaque
            && !request.opaque.matches(Some(token))
        {
            return false;
        }
        let mut operations = self.operations(request);
        if let Some(key) = &answer.key {
            return operations.any(|awaited| is_key(awaited, key));
        }
        let mut values = answer.values.iter();
        values.all(|(key, _)| operations.any(|awaited| is_key(awaited, key)))
    }
}

/// Returns true if `key` is the key that was sent for `awaited`.
pub(crate) fn is_key(awaited: &Awaited, key: &[u8]) -> bool {
    let size = usize::from(awaited.key_size);
    // All keys of a replay begin alike.
    let Some((_, own)) = key.split_at_checked(usize::from(awaited.key_prefix)) else {
        return false;
    };
    if own.len() != size {
        return false;
    }
    let mut rendered = Vec::with_capacity(size);
    keys::append(&mut rendered, awaited.key, size);
    rendered == own
}
