//! Answers that wait until it is certain which of the open requests they belong to.
//!
//! An answer waits if a quiet request before the first one that must be answered may be its own. Decoding and replay
//! share these rules, so they leave the same outcomes open.

use crate::assignment::{Assignment, Question, Rest, Unsolved};

/// Number of pairs that [`Backlog::solve`] may compare for each answer added since it was called last.
const PAIRS_PER_ANSWER: usize = 64;
/// Most requests searched for a second one that an answer can belong to.
const NEAR: usize = 64;

/// Number of answers whose memory is kept for the next ones.
const KEPT: usize = 64;

/// Open requests of one connection, oldest first, as answers of type `A` find them.
pub trait OpenRequests<A> {
    /// Number of requests.
    fn count(&self) -> usize;
    /// Returns true if the request may stay unanswered.
    fn is_quiet(&self, request: usize) -> bool;
    /// Returns true if the answer can be that of the request.
    fn fits(&self, request: usize, answer: &A) -> bool;
}

/// An answer and the number of requests that were open when it came.
#[derive(Clone, Copy, Debug)]
struct Waited<A> {
    answer: A,
    sent_before: usize,
}

/// Waiting answers of one connection, in the order received.
#[derive(Debug)]
pub struct Backlog<A> {
    answers: Vec<Waited<A>>,
    /// Number of the oldest requests that are known to be quiet.
    quiet: usize,
    /// Number of the oldest requests that the next answer cannot belong to. They end with the request of the last waiting
    /// answer if each answer takes the first request that it can.
    passed: usize,
    /// Number of waiting answers below which solving again is not worth its cost, unless it is sure to settle some.
    patience: usize,
}

/// The open requests with the answers that wait for them.
struct Pending<'a, A, R> {
    requests: &'a R,
    answers: &'a [Waited<A>],
}

impl<A> Default for Backlog<A> {
    fn default() -> Self {
        Self {
            answers: Vec::new(),
            quiet: 0,
            passed: 0,
            patience: 0,
        }
    }
}

impl<A> Backlog<A> {
    /// Returns true if no answer waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Number of answers that wait.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Number of the oldest requests that the next answer cannot belong to, because the waiting answers belong to them or
    /// to later ones.
    pub fn passed(&self) -> usize {
        self.passed
    }

    /// Returns a waiting answer.
    pub fn get(&self, answer: usize) -> Option<&A> {
        self.answers.get(answer).map(|waited| &waited.answer)
    }

    /// Returns true if a new answer can belong to one of the requests behind those that the waiting answers take.
    pub fn has_place(&self, requests: &impl OpenRequests<A>, answer: &A) -> bool {
        let mut left = self.passed..requests.count();
        left.any(|request| requests.fits(request, answer))
    }

    /// Adds an answer that began when `sent_before` requests were open.
    ///
    /// Returns `None` if none of these is left that it can belong to; else returns true if the answers may have become
    /// certain, so that [`solve`](Self::solve) is worth its cost.
    pub fn add(
        &mut self,
        requests: &impl OpenRequests<A>,
        answer: A,
        sent_before: usize,
    ) -> Option<bool> {
        let count = requests.count();
        let sent_before = sent_before.min(count);
        let mut left = self.passed..sent_before;
        let place = left.find(|request| requests.fits(*request, &answer))?;
        self.answers.push(Waited {
            answer,
            sent_before,
        });
        self.passed = place + 1;
        while self.quiet < count && requests.is_quiet(self.quiet) {
            self.quiet += 1;
        }
        let is_ripe = place >= self.quiet || self.answers.len() == count;
        let is_worth = self.answers.len() >= self.patience || self.is_only_place(requests, place);
        Some(is_ripe && is_worth)
    }

    /// Returns true if the answer added last can belong to no request behind `place`: it then settles all before it.
    fn is_only_place(&self, requests: &impl OpenRequests<A>, place: usize) -> bool {
        let Some(last) = self.answers.last() else {
            return false;
        };
        let mut behind = place + 1..last.sent_before;
        behind.len() <= NEAR && !behind.any(|request| requests.fits(request, &last.answer))
    }

    /// Finds the possible assignments of the waiting answers.
    pub fn solve(
        &mut self,
        requests: &impl OpenRequests<A>,
        rest: Rest,
    ) -> Result<Assignment, Unsolved> {
        let asked = Pending {
            requests,
            answers: &self.answers,
        };
        let found = Assignment::solve(&asked, rest)?;
        self.patience = self.answers.len() + found.pairs() / PAIRS_PER_ANSWER;
        Ok(found)
    }

    /// Forgets the oldest `answers`, which belong to the oldest `gone` requests. Those are no longer among `requests`.
    pub fn forget(&mut self, requests: &impl OpenRequests<A>, gone: usize, answers: usize) {
        self.answers.drain(..answers.min(self.answers.len()));
        for waited in &mut self.answers {
            waited.sent_before = waited.sent_before.saturating_sub(gone);
        }
        self.quiet = self.quiet.saturating_sub(gone);
        self.patience = self.patience.saturating_sub(answers);
        self.passed = 0;
        for waited in &self.answers {
            let place = (self.passed..waited.sent_before)
                .find(|request| requests.fits(*request, &waited.answer));
            self.passed = place.map_or(waited.sent_before, |place| place + 1);
        }
    }

    /// Forgets all answers, and the requests they wait for.
    pub fn clear(&mut self) {
        self.answers.clear();
        self.answers.shrink_to(KEPT);
        (self.quiet, self.passed, self.patience) = (0, 0, 0);
    }
}

/// Returns the only request that an answer can belong to while no other answer waits. Returns `None` if it can belong to
/// several or to none, if there are too many to compare, or if a request before it must be answered.
pub fn only_place<A>(requests: &impl OpenRequests<A>, answer: &A) -> Option<usize> {
    let count = requests.count();
    let fits = |request: &usize| requests.fits(*request, answer);
    let place = (0..count).take(NEAR).find(fits)?;
    let mut behind = place + 1..count;
    let is_only = behind.len() <= NEAR
        && (0..place).all(|request| requests.is_quiet(request))
        && !behind.any(|request| fits(&request));
    is_only.then_some(place)
}

impl<A, R: OpenRequests<A>> Question for Pending<'_, A, R> {
    fn requests(&self) -> usize {
        self.requests.count()
    }

    fn answers(&self) -> usize {
        self.answers.len()
    }

    fn is_quiet(&self, request: usize) -> bool {
        self.requests.is_quiet(request)
    }

    fn sent_before(&self, answer: usize) -> usize {
        self.answers
            .get(answer)
            .map_or(0, |waited| waited.sent_before)
    }

    fn fits(&self, request: usize, answer: usize) -> bool {
        self.answers
            .get(answer)
            .is_some_and(|waited| self.requests.fits(request, &waited.answer))
    }
}
