//! Requests in order, some of which may stay unanswered, and answers in order → the answers that each request can have.
//!
//! An assignment gives each answer to one request, in order, and leaves no request without one that must have one. A
//! forward and a backward pass over pairs of (requests passed, answers given) find the pairs that lie on a complete
//! assignment. Nothing is guessed: what no assignment allows is ruled out, everything else remains.

/// Most pairs looked at in one go. They suffice for 500 answers among 1,000 requests that all fit each other; larger
/// floods stay unsolved.
const MOST_PAIRS: usize = 1 << 19;

/// The pair lies on an assignment of the requests before it.
const FORWARD: u8 = 1;
/// The pair lies on an assignment of the requests after it.
const BACKWARD: u8 = 2;
/// The next request can have the next answer.
const ANSWERED: u8 = 4;
/// The next request can stay unanswered.
const SILENT: u8 = 8;

/// A question of which answers belong to which requests.
pub trait Question {
    /// Number of requests.
    fn requests(&self) -> usize;
    /// Number of answers.
    fn answers(&self) -> usize;
    /// Returns true if the request may stay unanswered.
    fn is_quiet(&self, request: usize) -> bool;
    /// Number of requests that had been sent before the answer came: only those can be its own.
    fn sent_before(&self, answer: usize) -> usize;
    /// Returns true if the answer can be that of the request.
    fn fits(&self, request: usize, answer: usize) -> bool;
}

/// State of the requests behind the last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Answers to them may still come.
    Open,
    /// No more answers come.
    Unanswered,
}

/// Reason why a question has no assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsolved {
    /// No assignment exists: an answer is missing, or one belongs to none of the requests.
    Impossible,
    /// More assignments than can be looked at.
    TooMany,
}

/// All assignments of a question's first requests.
#[derive(Debug)]
pub struct Assignment {
    /// Number of requests whose possible answers are known. No later answer changes them.
    pub requests: usize,
    /// Number of answers that belong to those requests.
    pub answers: usize,
    found: Found,
}

/// The assignments of a question.
#[derive(Debug)]
enum Found {
    /// A single one: the request of each answer.
    One(Vec<usize>),
    /// Any number, as pairs.
    Many(Rows),
}

/// Pairs of (requests passed, answers given), a row for each number of requests passed. A row holds only the numbers of
/// answers that the earliest and the latest place of each answer allow.
#[derive(Debug, Default)]
struct Rows {
    /// First number of answers and first cell of each row; one more row marks the end.
    starts: Vec<(usize, usize)>,
    cells: Vec<u8>,
}

impl Assignment {
    /// Finds all assignments of a question.
    ///
    /// If answers may still come, the assignment covers only the requests up to the last one that no assignment crosses
    /// with a later answer open.
    pub fn solve(question: &impl Question, rest: Rest) -> Result<Self, Unsolved> {
        let (earliest, latest) = bounds(question, rest).ok_or(Unsolved::Impossible)?;
        let last = match rest {
            Rest::Open => latest.last().map_or(0, |last| last + 1),
            Rest::Unanswered => question.requests(),
        };
        if earliest == latest {
            return Self::one(question, earliest, last);
        }
        let mut rows = Rows::new(&earliest, &latest, last).ok_or(Unsolved::TooMany)?;
        rows.pass_forward(question, last);
        let is_possible = rows.pass_backward(question.answers(), last, rest);
        if !is_possible {
            return Err(Unsolved::Impossible);
        }
        let (requests, answers) = match rest {
            Rest::Unanswered => (last, question.answers()),
            Rest::Open => rows.last_crossing(question.answers(), last),
        };
        Ok(Self {
            requests,
            answers,
            found: Found::Many(rows),
        })
    }

    /// Makes the only assignment of the first `last` requests, in which each answer has one place.
    fn one(question: &impl Question, places: Vec<usize>, last: usize) -> Result<Self, Unsolved> {
        let mut left = places.iter().peekable();
        for request in 0..last {
            let is_answered = left.next_if(|place| **place == request).is_some();
            if !is_answered && !question.is_quiet(request) {
                return Err(Unsolved::Impossible);
            }
        }
        Ok(Self {
            requests: last,
            answers: places.len(),
            found: Found::One(places),
        })
    }

    /// Number of pairs that were compared.
    pub fn pairs(&self) -> usize {
        match &self.found {
            Found::One(places) => places.len(),
            Found::Many(rows) => rows.cells.len(),
        }
    }

    /// Answers that the request can have.
    pub fn answers_of(&self, request: usize) -> impl Iterator<Item = usize> {
        let (only, rows) = match &self.found {
            Found::One(places) => (places.binary_search(&request).ok(), None),
            Found::Many(rows) => (None, Some(rows)),
        };
        let many = rows
            .into_iter()
            .flat_map(move |rows| rows.answers_of(request));
        only.into_iter().chain(many)
    }

    /// Returns true if the request can have stayed unanswered.
    pub fn may_be_silent(&self, request: usize) -> bool {
        match &self.found {
            Found::One(places) => places.binary_search(&request).is_err(),
            Found::Many(rows) => rows.may_be_silent(request),
        }
    }
}

impl Rows {
    /// Makes the rows up to `end` requests passed; `None` if they hold too many pairs.
    fn new(earliest: &[usize], latest: &[usize], end: usize) -> Option<Self> {
        let mut rows = Self::default();
        let (mut low, mut high, mut size) = (0, 0, 0);
        for passed in 0..=end {
            while latest.get(low).is_some_and(|place| *place < passed) {
                low += 1;
            }
            while earliest.get(high).is_some_and(|place| *place < passed) {
                high += 1;
            }
            rows.starts.push((low, size));
            size += high + 1 - low;
            // A row each is no ambiguity: long pipelines whose answers have one place are always solved.
            if size > MOST_PAIRS + 2 * passed {
                return None;
            }
        }
        rows.starts.push((0, size));
        rows.cells = vec![0; size];
        Some(rows)
    }

    /// Returns the place of a pair among the cells; `None` if its row lacks it.
    fn place(&self, passed: usize, given: usize) -> Option<usize> {
        let (least, start) = *self.starts.get(passed)?;
        let (_, end) = *self.starts.get(passed + 1)?;
        let place = start + given.checked_sub(least)?;
        (place < end).then_some(place)
    }

    fn get(&self, passed: usize, given: usize) -> u8 {
        self.place(passed, given)
            .and_then(|place| self.cells.get(place))
            .copied()
            .unwrap_or(0)
    }

    /// Marks a pair. Returns false if its row lacks it.
    fn mark(&mut self, passed: usize, given: usize, mark: u8) -> bool {
        let place = self.place(passed, given);
        let cell = place.and_then(|place| self.cells.get_mut(place));
        cell.map(|cell| *cell |= mark).is_some()
    }

    /// Yields the numbers of answers given in a row, with their marks.
    fn row(&self, passed: usize) -> impl DoubleEndedIterator<Item = (usize, u8)> {
        let (least, start) = self.starts.get(passed).copied().unwrap_or_default();
        let end = self
            .starts
            .get(passed + 1)
            .map_or(start, |(_, start)| *start);
        let cells = self.cells.get(start..end).unwrap_or_default();
        cells
            .iter()
            .enumerate()
            .map(move |(index, cell)| (least + index, *cell))
    }

    /// Returns the numbers of answers that a row may hold.
    fn span(&self, passed: usize) -> std::ops::Range<usize> {
        let (least, start) = self.starts.get(passed).copied().unwrap_or_default();
        let end = self
            .starts
            .get(passed + 1)
            .map_or(start, |(_, start)| *start);
        least..least + (end - start)
    }

    fn answers_of(&self, request: usize) -> impl Iterator<Item = usize> {
        self.row(request).filter_map(move |(answer, cell)| {
            let follows = self.get(request + 1, answer + 1) & BACKWARD != 0;
            (cell & ANSWERED != 0 && follows).then_some(answer)
        })
    }

    fn may_be_silent(&self, request: usize) -> bool {
        self.row(request).any(|(answer, cell)| {
            cell & SILENT != 0 && self.get(request + 1, answer) & BACKWARD != 0
        })
    }

    /// Marks the pairs that the requests before them can lead to, and the steps from them.
    fn pass_forward(&mut self, question: &impl Question, last: usize) {
        self.mark(0, 0, FORWARD);
        for request in 0..last {
            let quiet = question.is_quiet(request);
            for answer in self.span(request) {
                if self.get(request, answer) & FORWARD == 0 {
                    continue;
                }
                if quiet && self.mark(request + 1, answer, FORWARD) {
                    self.mark(request, answer, SILENT);
                }
                let may_be_next = answer < question.answers()
                    && self.place(request + 1, answer + 1).is_some()
                    && question.fits(request, answer);
                if may_be_next {
                    self.mark(request + 1, answer + 1, FORWARD);
                    self.mark(request, answer, ANSWERED);
                }
            }
        }
    }

    /// Marks the pairs from which the other requests and answers can be assigned. Returns false if there is none.
    fn pass_backward(&mut self, answers: usize, last: usize, rest: Rest) -> bool {
        for passed in (0..=last).rev() {
            let ends = rest == Rest::Open || passed == last;
            for given in self.span(passed) {
                let cell = self.get(passed, given);
                let by_silence = cell & SILENT != 0 && self.get(passed + 1, given) & BACKWARD != 0;
                let by_answer =
                    cell & ANSWERED != 0 && self.get(passed + 1, given + 1) & BACKWARD != 0;
                let at_end = cell & FORWARD != 0 && ends && given == answers;
                if by_silence || by_answer || at_end {
                    self.mark(passed, given, BACKWARD);
                }
            }
        }
        self.get(0, 0) & BACKWARD != 0
    }

    /// Returns the last pair that every assignment goes through before any can end.
    fn last_crossing(&self, answers: usize, last: usize) -> (usize, usize) {
        let mut crossing = (0, 0);
        for passed in 0..=last {
            let mut pairs = self
                .row(passed)
                .filter(|(_, cell)| cell & BACKWARD != 0)
                .map(|(given, _)| given);
            let first = pairs.next();
            let next = pairs.next();
            if let (Some(given), None) = (first, next) {
                crossing = (passed, given);
            }
            if first == Some(answers)
                || next == Some(answers)
                || pairs.any(|given| given == answers)
            {
                break;
            }
        }
        crossing
    }
}

/// Returns the earliest and the latest request that each answer can belong to, as far as order alone tells; `None` if an
/// answer has none.
fn bounds(question: &impl Question, rest: Rest) -> Option<(Vec<usize>, Vec<usize>)> {
    let count = question.answers();
    let loud = loud_requests(question, rest);
    if rest == Rest::Unanswered && loud.len() > count {
        return None;
    }
    // Every request that must be answered has one of the answers, so each answer bounds the place of the next.
    let last_for = |answer: usize| {
        let sent = question.sent_before(answer).min(question.requests());
        let due = loud.get(answer).map_or(sent, |place| place + 1);
        due.min(sent)
    };
    let first_for = |answer: usize| match rest {
        Rest::Open => 0,
        Rest::Unanswered => (loud.len() + answer)
            .checked_sub(count)
            .and_then(|due| loud.get(due))
            .copied()
            .unwrap_or(0),
    };
    let mut earliest = Vec::with_capacity(count);
    let mut next = 0;
    for answer in 0..count {
        let places = next.max(first_for(answer))..last_for(answer);
        let place = places
            .into_iter()
            .find(|request| question.fits(*request, answer))?;
        earliest.push(place);
        next = place + 1;
    }
    let mut latest = vec![0; count];
    let mut end = question.requests();
    for answer in (0..count).rev() {
        let places = 0..end.min(last_for(answer));
        let place = places
            .rev()
            .find(|request| question.fits(*request, answer))?;
        *latest.get_mut(answer)? = place;
        end = place;
    }
    Some((earliest, latest))
}

/// Returns the requests that must be answered. If answers may still come, those beyond the number of answers do not
/// matter.
fn loud_requests(question: &impl Question, rest: Rest) -> Vec<usize> {
    let most = match rest {
        Rest::Open => question.answers(),
        Rest::Unanswered => question.requests(),
    };
    (0..question.requests())
        .filter(|request| !question.is_quiet(*request))
        .take(most)
        .collect()
}
