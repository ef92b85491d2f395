//! Quiet and loud requests in one pipeline: the outcomes that the answers determine, and no others.

use std::collections::BTreeSet;

use membench_event::answer::{Asked, fits, outcome};
use membench_protocol::{Response, Status, request, response};
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

use Outcome::{ClientError, Deleted, Hit, Miss, NotFound, Stored, Suppressed};

/// Expected outcomes; `None` is one that the answers do not tell.
type Expected<'a> = &'a [Option<Outcome>];

const OK: Option<Outcome> = Some(Outcome::Ok);
const REFUSED: &[u8] = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";

/// Asserts the outcomes of requests read in one call and answered before the server reads again.
fn assert_outcomes(requests: &[u8], answers: &[u8], expected: Expected<'_>) -> Vec<Event> {
    let (mut events, totals) = exchange()
        .reads(requests)
        .sends(answers)
        .reads(b"version\r\n")
        .sends(b"VERSION 1.6.18\r\n")
        .end();
    let version = events.pop().expect("the version");
    assert_eq!((version.command, version.outcome), (Command::Version, OK));
    let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
    assert_eq!(found, expected, "{}", requests.escape_ascii());
    let lost = (totals.unpaired, totals.unmatched, totals.response.unsynced);
    assert_eq!(lost, (0, 0, 0), "{}", requests.escape_ascii());
    events
}

/// Joins lines that are answers.
fn lines(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn requests_of_the_same_key_are_told_apart_by_what_they_can_answer() {
    let events = assert_outcomes(
        b"mg a k q v\r\nms a 1 q\r\nx\r\nmg a k q v\r\nmn\r\n",
        b"VA 1 ka\r\nx\r\nMN\r\n",
        &[None, Some(Suppressed), None, OK],
    );
    assert_eq!(events[0].value_size, None);
    assert_outcomes(
        b"md a k q\r\nmd a k q\r\nmn\r\n",
        b"NF ka\r\nMN\r\n",
        &[None, None, OK],
    );
    assert_outcomes(
        b"ms a 1 q k MA\r\ny\r\nms a 1 q k C1\r\nz\r\nmn\r\n",
        b"NS ka\r\nMN\r\n",
        &[None, None, OK],
    );
}

#[test]
fn an_outcome_is_one_of_its_own_command() {
    assert_outcomes(
        b"ma a q\r\nmg a q\r\nmn\r\n",
        &lines(&[REFUSED, b"HD\r\nMN\r\n"]),
        &[Some(ClientError), Some(Hit), OK],
    );
    assert_outcomes(
        b"md a q\r\nma a q\r\nmg b q\r\nmn\r\n",
        b"NF\r\nNF\r\nHD\r\nMN\r\n",
        &[Some(NotFound), Some(NotFound), Some(Hit), OK],
    );
    let events = assert_outcomes(
        b"ma a q v\r\nmg a q v\r\nmn\r\n",
        &lines(&[REFUSED, b"VA 3\r\nval\r\nMN\r\n"]),
        &[Some(ClientError), Some(Hit), OK],
    );
    assert_eq!(events[1].value_size, Some(3));
}

#[test]
fn an_error_repeats_no_token_and_may_answer_any_request() {
    assert_outcomes(
        b"ma a O1 q\r\nma a O2 q\r\nmn\r\n",
        &lines(&[REFUSED, REFUSED, b"MN\r\n"]),
        &[Some(ClientError), Some(ClientError), OK],
    );
    assert_outcomes(
        b"ma a O1 q\r\nma a O2 q\r\nmn\r\n",
        &lines(&[REFUSED, b"MN\r\n"]),
        &[None, None, OK],
    );
    assert_outcomes(
        b"mg a O1 q\r\nma b O2 q\r\nma a O1 q\r\nmn\r\n",
        b"CLIENT_ERROR no\r\nNF O1\r\nMN\r\n",
        &[None, None, Some(NotFound), OK],
    );
    // This one tells that a counter was asked for.
    assert_outcomes(
        b"mg a O1 q\r\nma b O2 q\r\nma a O1 q\r\nmn\r\n",
        &lines(&[REFUSED, b"NF O1\r\nMN\r\n"]),
        &[Some(Suppressed), Some(ClientError), Some(NotFound), OK],
    );
}

#[test]
fn a_loud_request_behind_quiet_ones_is_settled_by_those_that_follow() {
    let table: &[(&[u8], &[u8], Expected<'_>)] = &[
        (
            b"mg a q k\r\nms a 1 k\r\nx\r\nmn\r\n",
            b"HD ka\r\nMN\r\n",
            &[Some(Suppressed), Some(Stored), OK],
        ),
        (
            b"mg b q\r\nmd a\r\nmd a\r\nmn\r\n",
            b"HD\r\nNF\r\nMN\r\n",
            &[Some(Suppressed), Some(Deleted), Some(NotFound), OK],
        ),
        (
            b"mg a q\r\nmd a\r\nma a\r\nmn\r\n",
            b"HD\r\nHD\r\nNF\r\nMN\r\n",
            &[Some(Hit), Some(Deleted), Some(NotFound), OK],
        ),
        (
            b"mg c q v\r\nmg b v\r\nmg a v\r\nmn\r\n",
            b"VA 1\r\n5\r\nEN\r\nMN\r\n",
            &[Some(Suppressed), Some(Hit), Some(Miss), OK],
        ),
        (
            b"mg k1 v q\r\nms m1 2\r\nab\r\nmn\r\n",
            b"HD\r\nMN\r\n",
            &[Some(Suppressed), Some(Stored), OK],
        ),
        (
            b"mg a q v\r\nmg b v\r\n",
            b"VA 1\r\n5\r\nVA 1\r\n6\r\n",
            &[Some(Hit), Some(Hit)],
        ),
        (
            b"mg z q v\r\nmg b v\r\n",
            b"VA 1\r\n6\r\n",
            &[Some(Suppressed), Some(Hit)],
        ),
    ];
    for (requests, answers, expected) in table {
        assert_outcomes(requests, answers, expected);
    }
    assert_outcomes(
        b"ms b 2 q\r\nxx\r\nma a\r\nmd a\r\nmn\r\n",
        &lines(&[REFUSED, b"HD\r\nMN\r\n"]),
        &[Some(Suppressed), Some(ClientError), Some(Deleted), OK],
    );
    assert_outcomes(
        b"ms b 1 q\r\nx\r\nma a\r\n",
        REFUSED,
        &[Some(Suppressed), Some(ClientError)],
    );
}

#[test]
fn a_read_settles_the_quiet_requests_before_it() {
    let table: &[(&[u8], &[u8], Expected<'_>)] = &[
        (
            b"mg a q\r\nmg b q\r\n",
            b"HD\r\nHD\r\n",
            &[Some(Hit), Some(Hit)],
        ),
        (b"mg a q\r\nmg b q\r\n", b"HD\r\n", &[None, None]),
        (
            b"mg b q\r\nma z q\r\n",
            b"HD\r\nNF\r\n",
            &[Some(Hit), Some(NotFound)],
        ),
        (
            b"mg a q O1\r\nmg b q O2\r\nms c 1 q\r\nx\r\n",
            b"HD O2\r\n",
            &[Some(Suppressed), Some(Hit), Some(Suppressed)],
        ),
    ];
    for (requests, answers, expected) in table {
        assert_outcomes(requests, answers, expected);
    }
}

#[test]
fn what_all_possible_answers_have_in_common_is_settled() {
    // The middle one was answered by either line: both are hits with the same cas value, of values of other sizes.
    let events = assert_outcomes(
        b"mg a q s c\r\nmg b s c\r\nmg c q s c\r\nmn\r\n",
        b"HD s3 c7\r\nHD s4 c7\r\nMN\r\n",
        &[None, Some(Hit), None, OK],
    );
    assert_eq!((events[1].value_size, events[1].cas), (None, Some(0)));
    assert_eq!(events[1].server_time, Some(1_000));
    let (events, _) = exchange()
        .reads(b"mg a q s\r\nmg b s\r\nmg c q s\r\nmn\r\n")
        .sends(b"HD s3\r\n")
        .sends(b"HD s3\r\nMN\r\n")
        .end();
    let middle = (
        events[1].outcome,
        events[1].value_size,
        events[1].server_time,
    );
    assert_eq!(middle, (Some(Hit), Some(3), None));
}

#[test]
fn values_behind_quiet_requests_belong_to_the_retrieval_that_asked_for_them() {
    let events = assert_outcomes(
        b"ms q 1 q\r\nx\r\nget a b\r\nms q 1 q\r\nx\r\nget b c\r\n",
        &lines(&[
            b"SERVER_ERROR out of memory storing object\r\n",
            b"VALUE b 0 2\r\nbb\r\nEND\r\n",
            b"VALUE c 0 3\r\nccc\r\nEND\r\n",
        ]),
        &[
            Some(Outcome::ServerError),
            Some(Miss),
            Some(Hit),
            Some(Suppressed),
            Some(Miss),
            Some(Hit),
        ],
    );
    assert_eq!(
        (events[2].value_size, events[5].value_size),
        (Some(2), Some(3))
    );
    let (events, totals) = exchange()
        .reads(b"mg a q\r\nstats\r\nmg a q\r\nget b\r\n")
        .sends(b"HD\r\nSTAT pid 1\r\nEND\r\n")
        .sends(b"VALUE b 0 1\r\n")
        .sends(b"x\r\nEN")
        .sends(b"D\r\n")
        .end();
    let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
    assert_eq!(found, [Some(Hit), OK, Some(Suppressed), Some(Hit)]);
    assert_eq!(totals.unmatched, 0);
}

#[test]
fn without_a_barrier_requests_are_settled_as_soon_as_they_are_certain() {
    let mut exchange = exchange();
    exchange.decoder.open_without_reads(0, false);
    exchange.decoder.expect_barrier(0);
    exchange
        .reads(b"mg a q v\r\nmg b v\r\n")
        .sends(b"VA 1\r\nx\r\n");
    assert!(exchange.events.is_empty(), "the answer fits both");
    exchange
        .reads(b"mg c q v\r\nmg d v\r\n")
        .sends(b"VA 2\r\nyy\r\n");
    assert!(
        exchange.events.is_empty(),
        "it may be the first of the second pair"
    );
    exchange.sends(b"EN\r\n");
    let (events, totals) = exchange.end();
    let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
    assert_eq!(found, [None, Some(Hit), None, Some(Miss)]);
    assert_eq!(totals.unmatched, 0);
}

#[test]
fn quiet_requests_are_settled_when_the_server_has_read_to_the_end() {
    let ends = |requests: &[u8], is_read_to_end: bool| {
        let mut exchange = exchange();
        exchange.reads(requests).sends(b"HD O2\r\n");
        if is_read_to_end {
            exchange.decoder.close_read_to_end(0);
        } else {
            exchange.decoder.close(0);
        }
        let events = exchange.events.iter().chain(exchange.decoder.events());
        events.map(|event| event.outcome).collect::<Vec<_>>()
    };
    let pipeline = b"mg a q O1\r\nmg b q O2\r\nmg c q O3\r\n";
    // What follows an answer is settled by the end only.
    assert_eq!(
        ends(pipeline, true),
        [Some(Suppressed), Some(Hit), Some(Suppressed)]
    );
    assert_eq!(ends(pipeline, false), [Some(Suppressed), Some(Hit), None]);
    let in_value = [&pipeline[..], b"set v 0 0 5\r\nab"].concat();
    assert_eq!(ends(&in_value, true), [Some(Suppressed), Some(Hit), None]);
}

#[test]
fn a_missing_answer_leaves_its_pipeline_without_outcomes_and_is_counted() {
    let (events, totals) = exchange()
        .reads(b"mg a q\r\nmg b\r\nmg c\r\n")
        .sends(b"HD\r\n")
        .reads(b"mg d\r\n")
        .sends(b"EN\r\n")
        .end();
    let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
    assert_eq!(found, [None, None, None, Some(Miss)]);
    assert_eq!((totals.unpaired, totals.unmatched), (2, 0));
    let (events, totals) = exchange()
        .reads(b"mg a q\r\nmg b\r\n")
        .sends(b"HD\r\nHD\r\nHD\r\n")
        .reads(b"mg d\r\n")
        .sends(b"EN\r\n")
        .end();
    let found: Vec<_> = events.iter().map(|event| event.outcome).collect();
    assert_eq!(found, [Some(Hit), Some(Hit), Some(Miss)]);
    assert_eq!((totals.unpaired, totals.unmatched), (0, 1));
}

#[test]
fn a_flood_of_ambiguous_requests_ends_without_outcomes() {
    let requests = [b"mg a q v\r\n".repeat(4_000), b"mn\r\n".to_vec()].concat();
    let answers = [b"VA 1\r\nx\r\n".repeat(2_000), b"MN\r\n".to_vec()].concat();
    let (events, totals) = exchange()
        .reads(&requests)
        .sends(&answers)
        .reads(b"mn\r\n")
        .end();
    assert_eq!(events.len(), 4_002);
    assert!(events.iter().all(|event| event.outcome.is_none()));
    // The `mn` behind them was answered, but not for certain.
    assert_eq!((totals.unpaired, totals.unmatched), (1, 0));
}

/// Requests that random pipelines are made of.
const REQUESTS: &[&str] = &[
    "mg a q\r\n",
    "mg a q v\r\n",
    "mg b v\r\n",
    "mg a k q v\r\n",
    "mg b k q v\r\n",
    "mg a k\r\n",
    "mg a q v O1\r\n",
    "mg b q v O2\r\n",
    "mg b v O1\r\n",
    "mg a s c q\r\n",
    "ms a 1 q\r\nx\r\n",
    "ms b 2 q k\r\nxy\r\n",
    "ms a 1\r\nx\r\n",
    "ms a 1 q ME O1\r\nx\r\n",
    "md a q\r\n",
    "md a k q\r\n",
    "md b\r\n",
    "ma a q\r\n",
    "ma a q v O2\r\n",
    "ma b v\r\n",
    "mn\r\n",
    "get a b\r\n",
    "get b\r\n",
    "set a 0 0 1\r\nx\r\n",
    "delete a\r\n",
];

/// Answers that random pipelines get, as far as their requests can have them.
const ANSWERS: &[&str] = &[
    "HD\r\n",
    "HD ka\r\n",
    "HD kb\r\n",
    "HD O1\r\n",
    "HD s1 c5\r\n",
    "HD s2 c5\r\n",
    "VA 1\r\nx\r\n",
    "VA 2\r\nxy\r\n",
    "VA 1 ka\r\nx\r\n",
    "VA 1 kb\r\nx\r\n",
    "VA 1 O1\r\nx\r\n",
    "VA 2 O2\r\nxy\r\n",
    "VA 1 W\r\nx\r\n",
    "EN\r\n",
    "EN O1\r\n",
    "NF\r\n",
    "NF ka\r\n",
    "NF O2\r\n",
    "NS O1\r\n",
    "NS\r\n",
    "CLIENT_ERROR no\r\n",
    "SERVER_ERROR no\r\n",
    "MN\r\n",
    "END\r\n",
    "VALUE a 0 1\r\nx\r\nEND\r\n",
    "VALUE b 0 2\r\nxy\r\nEND\r\n",
    "STORED\r\n",
    "DELETED\r\n",
    "NOT_FOUND\r\n",
];

/// Outcome, value size, cas ordinal and server time of an event.
type Facts = (Option<Outcome>, Option<u32>, Option<u32>, Option<u64>);

fn parsed_request(text: &str) -> membench_protocol::Request<'_> {
    match request::parse(text.as_bytes()) {
        Ok(Status::Complete { value, .. }) => value,
        other => panic!("{other:?}"),
    }
}

fn parsed_answer(text: &str) -> Response<'_> {
    match response::parse(text.as_bytes()) {
        Ok(Status::Complete { value, .. }) => value,
        other => panic!("{other:?}"),
    }
}

/// True if the request can have the answer, judged by its text.
fn can_have(request: &str, answer: &str) -> bool {
    let (asked, given) = (parsed_request(request), parsed_answer(answer));
    if !fits(&Asked::new(&asked), &given) {
        return false;
    }
    let keys: Vec<&[u8]> = asked.keys.clone().map(|key| key.raw()).collect();
    match given {
        Response::Meta { flags, .. } => {
            let key_fits = flags.token(b'k').is_none_or(|key| keys.contains(&key));
            let token_fits = flags
                .token(b'O')
                .is_none_or(|token| asked.opaque == Some(token));
            key_fits && token_fits
        }
        Response::Value { key, .. } => keys.contains(&key.raw()),
        _ => true,
    }
}

/// Facts that an answer sent in a call gives to each event of a request.
fn facts(request: &str, answer: Option<(&str, usize)>) -> Vec<Facts> {
    let asked = parsed_request(request);
    let Some((answer, call)) = answer else {
        return vec![(Some(Suppressed), asked.value_size, None, None)];
    };
    let time = u64::try_from((call + 1) * 1_000).ok();
    let given = parsed_answer(answer);
    let number = |letter| match &given {
        Response::Meta { flags, .. } => flags
            .token(letter)
            .and_then(|digits| str::from_utf8(digits).ok()?.parse::<u32>().ok()),
        _ => None,
    };
    let cas = number(b'c').map(|_| 0);
    if let Response::Value { key, size, .. } = &given {
        return asked
            .keys
            .map(|asked| {
                if asked.raw() == key.raw() {
                    (Some(Hit), Some(*size), None, time)
                } else {
                    (Some(Miss), None, None, time)
                }
            })
            .collect();
    }
    let size = match asked.command {
        Command::MetaGet => given.value_size().or(number(b's')),
        _ => asked.value_size,
    };
    let one = (Some(outcome(asked.command, &given)), size, cas, time);
    vec![one; asked.keys.len().max(1)]
}

/// Returns what every assignment of the answers says about the events.
fn common(requests: &[&str], answers: &[(&str, usize)]) -> Vec<Facts> {
    let mut found: Option<Vec<Vec<Facts>>> = None;
    let mut chosen = Vec::new();
    each_assignment(requests, answers, &mut chosen, &mut |assignment| {
        let all = requests.iter().zip(assignment);
        let all: Vec<Vec<Facts>> = all
            .map(|(request, answer)| facts(request, *answer))
            .collect();
        match &mut found {
            None => found = Some(all),
            Some(found) => agree(requests, found, &all),
        }
    });
    found.expect("the real assignment").concat()
}

fn agree(requests: &[&str], found: &mut [Vec<Facts>], others: &[Vec<Facts>]) {
    for ((request, found), others) in requests.iter().zip(found).zip(others) {
        let sent = parsed_request(request).value_size;
        for (found, other) in found.iter_mut().zip(others) {
            found.0 = found.0.filter(|_| found.0 == other.0);
            found.1 = if found.1 == other.1 { found.1 } else { sent };
            found.2 = found.2.filter(|_| found.2 == other.2);
            found.3 = found.3.filter(|_| found.3 == other.3);
        }
    }
}

fn each_assignment<'a>(
    requests: &[&str],
    answers: &[(&'a str, usize)],
    chosen: &mut Vec<Option<(&'a str, usize)>>,
    take: &mut impl FnMut(&[Option<(&'a str, usize)>]),
) {
    let Some(request) = requests.get(chosen.len()) else {
        if answers.is_empty() {
            take(chosen);
        }
        return;
    };
    if parsed_request(request).quiet() {
        chosen.push(None);
        each_assignment(requests, answers, chosen, take);
        chosen.pop();
    }
    if let Some((first, rest)) = answers.split_first()
        && can_have(request, first.0)
    {
        chosen.push(Some(*first));
        each_assignment(requests, rest, chosen, take);
        chosen.pop();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn every_event_gets_exactly_what_all_assignments_have_in_common(
        picks in prop::collection::vec((any::<Index>(), any::<Index>(), any::<bool>()), 1..=8),
        is_split in any::<bool>(),
    ) {
        let requests: Vec<&str> = picks.iter().map(|(request, ..)| *request.get(REQUESTS)).collect();
        let (mut answers, mut call) = (Vec::new(), 0);
        for (request, (_, answer, silent)) in requests.iter().zip(&picks) {
            let possible: Vec<&str> = ANSWERS
                .iter()
                .copied()
                .filter(|answer| can_have(request, answer))
                .collect();
            let is_silent = *silent && parsed_request(request).quiet();
            if !is_silent && !possible.is_empty() {
                answers.push((*answer.get(&possible), call));
                call += usize::from(is_split);
            }
        }
        let mut exchange = exchange();
        exchange.reads(requests.concat().as_bytes());
        if is_split {
            for (answer, _) in &answers {
                exchange.sends(answer.as_bytes());
            }
        } else {
            let all: Vec<&str> = answers.iter().map(|(answer, _)| *answer).collect();
            exchange.sends(all.concat().as_bytes());
        }
        let (mut events, totals) = exchange.reads(b"version\r\n").sends(b"VERSION 1\r\n").end();
        events.pop();
        events.sort_by_key(|event| event.request);
        let found: Vec<Facts> = events
            .iter()
            .map(|event| (event.outcome, event.value_size, event.cas, event.server_time))
            .collect();
        prop_assert_eq!(found, common(&requests, &answers), "{:?} {:?}", requests, answers);
        prop_assert_eq!(totals.unpaired + totals.unmatched, 0);
    }
}

#[test]
fn the_pool_of_answers_has_one_for_every_request() {
    let requests: BTreeSet<&str> = REQUESTS.iter().copied().collect();
    for request in requests {
        let possible = ANSWERS.iter().filter(|answer| can_have(request, answer));
        assert!(possible.count() > 0, "{request}");
    }
}
