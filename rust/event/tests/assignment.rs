//! Random questions → the same answers as by trying every assignment.

use std::collections::BTreeSet;

use membench_event::assignment::{Assignment, Question, Rest, Unsolved};
use proptest::prelude::*;

/// Most requests of a question, which bounds the number of assignments.
const MOST: usize = 8;

#[derive(Clone, Debug)]
struct Exchange {
    quiet: Vec<bool>,
    /// By answer and request.
    fits: Vec<Vec<bool>>,
    sent_before: Vec<usize>,
}

impl Question for Exchange {
    fn requests(&self) -> usize {
        self.quiet.len()
    }

    fn answers(&self) -> usize {
        self.fits.len()
    }

    fn is_quiet(&self, request: usize) -> bool {
        self.quiet[request]
    }

    fn sent_before(&self, answer: usize) -> usize {
        self.sent_before[answer]
    }

    fn fits(&self, request: usize, answer: usize) -> bool {
        self.fits[answer][request]
    }
}

impl Exchange {
    /// Returns every assignment: the answer of each request up to the last one with an answer, or of all.
    fn all(&self, rest: Rest) -> Vec<Vec<Option<usize>>> {
        let mut found = Vec::new();
        self.extend(rest, &mut Vec::new(), 0, &mut found);
        found
    }

    fn extend(
        &self,
        rest: Rest,
        chosen: &mut Vec<Option<usize>>,
        given: usize,
        found: &mut Vec<Vec<Option<usize>>>,
    ) {
        let request = chosen.len();
        if given == self.answers() && (rest == Rest::Open || request == self.requests()) {
            found.push(chosen.clone());
            return;
        }
        if request == self.requests() {
            return;
        }
        if self.quiet[request] {
            chosen.push(None);
            self.extend(rest, chosen, given, found);
            chosen.pop();
        }
        let is_next = given < self.answers()
            && request < self.sent_before[given]
            && self.fits[given][request];
        if is_next {
            chosen.push(Some(given));
            self.extend(rest, chosen, given + 1, found);
            chosen.pop();
        }
    }
}

fn exchanges() -> impl Strategy<Value = Exchange> {
    (0..=MOST, 0..=MOST, 0.2..0.95_f64).prop_flat_map(|(requests, answers, density)| {
        let fitting = prop::collection::vec(prop::bool::weighted(density), requests);
        let before = (0..=requests, 0..4_usize).prop_map(move |(sent, all)| {
            // Most often the answers come after all requests.
            if all > 0 { requests } else { sent }
        });
        (
            prop::collection::vec(prop::bool::weighted(0.7), requests),
            prop::collection::vec(fitting, answers),
            prop::collection::vec(before, answers),
        )
            .prop_map(|(quiet, fits, mut sent_before)| {
                sent_before.sort_unstable();
                Exchange {
                    quiet,
                    fits,
                    sent_before,
                }
            })
    })
}

/// Asserts that the possible answers of the first requests are those of `all`.
fn assert_same(found: &Assignment, all: &[Vec<Option<usize>>]) {
    for request in 0..found.requests {
        let expected: BTreeSet<Option<usize>> =
            all.iter().map(|assignment| assignment[request]).collect();
        let silent = found.may_be_silent(request).then_some(None);
        let actual = found.answers_of(request).map(Some).chain(silent).collect();
        assert_eq!(expected, actual, "request {request}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn without_more_answers_every_request_gets_exactly_its_possible_ones(exchange in exchanges()) {
        let all = exchange.all(Rest::Unanswered);
        match Assignment::solve(&exchange, Rest::Unanswered) {
            Ok(found) => {
                prop_assert!(!all.is_empty());
                prop_assert_eq!(found.requests, exchange.requests());
                prop_assert_eq!(found.answers, exchange.answers());
                assert_same(&found, &all);
            }
            Err(error) => {
                prop_assert_eq!(error, Unsolved::Impossible);
                prop_assert!(all.is_empty());
            }
        }
    }

    #[test]
    fn while_answers_may_come_requests_are_settled_up_to_where_all_assignments_meet(
        exchange in exchanges(),
    ) {
        let all = exchange.all(Rest::Open);
        match Assignment::solve(&exchange, Rest::Open) {
            Ok(found) => {
                prop_assert!(!all.is_empty());
                let given = |assignment: &Vec<Option<usize>>, request: usize| {
                    assignment.get(..request).map(|start| start.iter().flatten().count())
                };
                let shortest = all.iter().map(Vec::len).min().unwrap_or(0);
                let meeting = |request: &usize| {
                    all.iter().all(|one| given(one, *request) == given(&all[0], *request))
                };
                let expected = (0..=shortest).rev().find(meeting);
                prop_assert_eq!(Some(found.requests), expected);
                prop_assert_eq!(Some(found.answers), given(&all[0], found.requests));
                assert_same(&found, &all);
            }
            Err(error) => {
                prop_assert_eq!(error, Unsolved::Impossible);
                prop_assert!(all.is_empty());
            }
        }
    }
}

/// A flood: every answer fits every request, and all requests are quiet.
struct Flood {
    requests: usize,
    answers: usize,
}

impl Question for Flood {
    fn requests(&self) -> usize {
        self.requests
    }

    fn answers(&self) -> usize {
        self.answers
    }

    fn is_quiet(&self, _: usize) -> bool {
        true
    }

    fn sent_before(&self, _: usize) -> usize {
        self.requests
    }

    fn fits(&self, _: usize, _: usize) -> bool {
        true
    }
}

#[test]
fn floods_are_solved_up_to_a_bound_and_long_pipelines_with_one_assignment_always() {
    let solve = |requests, answers| {
        let flood = Flood { requests, answers };
        Assignment::solve(&flood, Rest::Unanswered).map(|found| {
            let middle = found.requests / 2;
            (
                found.answers_of(middle).count(),
                found.may_be_silent(middle),
            )
        })
    };
    assert_eq!(solve(1_000, 500), Ok((500, true)));
    assert_eq!(solve(10_000, 5_000), Err(Unsolved::TooMany));
    assert_eq!(solve(200_000, 200_000), Ok((1, false)));
    assert_eq!(solve(200_000, 0), Ok((0, true)));
    assert_eq!(solve(10, 11), Err(Unsolved::Impossible));
}
