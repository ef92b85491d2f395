//! Random pipelines to a real memcached → the outcomes that a second one, asked the same without quiet flags, gives.
//!
//! `MEMBENCH_PIPELINES` is their number, which the installed memcached and those of `MEMBENCH_SERVERS` share;
//! `MEMBENCH_SEED` is that of the first.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "figures of a long run")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use membench_decode::privacy::KeyHasher;
use membench_decode::{Decoder, Responses};
use membench_event::answer::outcome;
use membench_event::{Command, Direction, Event, Outcome, Piece, Segment, Totals};
use membench_protocol::binary::parse_response;
use membench_protocol::{Dialect, Response, Status, is_silent, response};

use generator::{Random, Request};

mod assignments;
#[path = "../memcached/end.rs"]
mod end;
mod generator;
#[path = "../memcached/mod.rs"]
mod memcached;
#[path = "../memcached/programs.rs"]
mod programs;

use end::{END_OF_LINES, END_OF_MESSAGES, End};
use memcached::Memcached;
use programs::{INSTALLED, programs, version};

/// Longest wait for an answer, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Pipelines on one connection.
const PER_CONNECTION: u64 = 200;
/// Number of pipelines after which the cas values that they compare are asked for again.
const CAS_PERIOD: u64 = 4;
/// Most requests of a pipeline whose assignments are all tried.
const MOST_TRIED: usize = 7;

/// Returns the end of a pipeline of lines. Early releases add a space before its flags.
const fn end_of_lines(dialect: Dialect) -> End {
    match dialect {
        Dialect::Early => End {
            answer: b"NF  O!end\r\n",
            ..END_OF_LINES
        },
        Dialect::Classic | Dialect::Shared => END_OF_LINES,
    }
}

const fn end_of_messages(_: Dialect) -> End {
    END_OF_MESSAGES
}

/// A connection to a memcached, whose bytes are also decoded.
struct Talk {
    stream: TcpStream,
    decoder: Decoder,
    offsets: [u64; 2],
    call: u32,
}

impl Talk {
    fn new(server: &Memcached, has_reads: bool) -> Self {
        let mut decoder = Decoder::new(KeyHasher::random().unwrap(), Responses::Bytes, 0);
        if has_reads {
            decoder.open(0, false);
        } else {
            decoder.open_without_reads(0, false);
            decoder.expect_barrier(0);
        }
        Self {
            stream: connect(server),
            decoder,
            offsets: [0; 2],
            call: 0,
        }
    }

    fn push(&mut self, direction: Direction, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.call += 1;
        let offset = self.offsets[direction as usize];
        let segment = Segment {
            connection: 0,
            direction,
            offset,
            time: u64::from(self.call) * 1_000,
            arrival: None,
            filled: false,
            call: self.call,
            pieces: &[Piece::Bytes(bytes)],
        };
        self.offsets[direction as usize] += segment.length();
        self.decoder.push(&segment, false);
    }

    /// Takes the events since the last call, in the order of their requests.
    fn events(&mut self) -> Vec<Event> {
        let mut events = self.decoder.events().to_vec();
        self.decoder.clear_events();
        events.sort_by_key(|event| event.request);
        events
    }
}

fn connect(server: &Memcached) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes, then reads up to the answer that ends them. Returns the answers without that one.
fn ask(stream: &mut TcpStream, bytes: &[u8], end: End) -> Vec<u8> {
    stream.write_all(&[bytes, end.request].concat()).unwrap();
    let mut answers = Vec::new();
    let mut part = [0; 8_192];
    while !answers.ends_with(end.answer) {
        let length = stream.read(&mut part).unwrap_or(0);
        assert!(length > 0, "no answer: {}", bytes.escape_ascii());
        answers.extend_from_slice(&part[..length]);
    }
    answers.truncate(answers.len() - end.answer.len());
    answers
}

/// Parses the answer at the start of `bytes` and returns its length with it.
fn next_answer(bytes: &[u8]) -> (Response<'_>, usize) {
    let parsed = match bytes.first() {
        Some(0x81) => parse_response(bytes).map(|status| match status {
            Status::Complete { value, consumed } => Status::Complete {
                value: Response::Binary(value),
                consumed,
            },
            Status::Partial => Status::Partial,
        }),
        _ => response::parse(bytes),
    };
    let Ok(Status::Complete { value, consumed }) = parsed else {
        panic!("{}", bytes.escape_ascii());
    };
    let rest = match &value {
        Response::Binary(answer) => usize::try_from(answer.rest_size()).unwrap(),
        _ => value.value_size().map_or(0, |size| size as usize + 2),
    };
    (value, consumed + rest)
}

/// Command, keys of a text retrieval, and true if an answer is due.
type Asked = (Command, Vec<Vec<u8>>, bool);

/// Returns what a request asks for. If memcached refuses its line, it reads the value as another request.
fn asked(bytes: &[u8], dialect: Dialect) -> Vec<Asked> {
    let all = assignments::requests(bytes, dialect).into_iter();
    all.map(|request| {
        let keys = request.keys.clone().map(|key| key.raw().to_vec()).collect();
        (request.command, keys, request.is_answered())
    })
    .collect()
}

/// Returns the true outcomes of a pipeline: those of the same requests asked on a server without quiet flags.
fn truth(stream: &mut TcpStream, pipeline: &[Request], dialect: Dialect, end: End) -> Vec<Outcome> {
    let mut bytes = Vec::new();
    for request in pipeline {
        bytes.extend(request.probe.iter().flatten());
        bytes.extend(&request.loud);
    }
    let answers = ask(stream, &bytes, end);
    let mut left = &answers[..];
    let mut outcomes = Vec::new();
    for request in pipeline {
        let mut is_new = false;
        if request.probe.is_some() {
            let (answer, length) = next_answer(left);
            is_new = matches!(answer, Response::Meta { .. });
            left = &left[length..];
        }
        for (place, asked) in asked(&request.loud, dialect).iter().enumerate() {
            let is_quiet = request.quiet && place == 0;
            let (found, rest) = outcomes_of(asked, left, is_quiet, is_new);
            outcomes.extend(found);
            left = rest;
        }
    }
    assert!(
        left.is_empty(),
        "answers are left: {}\n  → {}",
        bytes.escape_ascii(),
        answers.escape_ascii()
    );
    outcomes
}

/// Returns the true outcomes of one request, whose answer begins `left`, and the answers behind that.
fn outcomes_of<'b>(
    (command, keys, is_answered): &Asked,
    mut left: &'b [u8],
    is_quiet: bool,
    is_new: bool,
) -> (Vec<Outcome>, &'b [u8]) {
    let mut outcomes = Vec::new();
    if !is_answered {
        return (vec![Outcome::Suppressed], left);
    }
    loop {
        let (answer, length) = next_answer(left);
        left = &left[length..];
        if let Response::Value { key, .. } = &answer {
            let place = keys[outcomes.len()..]
                .iter()
                .position(|asked| asked == key.raw())
                .unwrap();
            outcomes.extend(vec![Outcome::Miss; place]);
            outcomes.push(Outcome::Hit);
            continue;
        }
        let is_created = *command == Command::MetaArithmetic && is_new;
        let ordinary = is_silent(*command, &answer)
            || *command == Command::MetaArithmetic && is_done(&answer) && !is_created;
        let found = if is_quiet && ordinary {
            Outcome::Suppressed
        } else {
            outcome(*command, &answer)
        };
        outcomes.resize(keys.len().max(1), found);
        return (outcomes, left);
    }
}

fn is_done(answer: &Response<'_>) -> bool {
    use membench_protocol::response::Kind;
    matches!(
        answer,
        Response::Ok
            | Response::Meta {
                kind: Kind::Hd | Kind::Va,
                ..
            }
    )
}

/// Returns the cas values of the server's items.
fn cas_values(stream: &mut TcpStream, dialect: Dialect) -> Vec<u64> {
    let answers = ask(stream, b"gets a b c d\r\n", end_of_lines(dialect));
    let mut left = &answers[..];
    let mut found = Vec::new();
    while !left.is_empty() {
        let (answer, length) = next_answer(left);
        left = &left[length..];
        if let Response::Value { cas, .. } = answer {
            found.extend(cas);
        }
    }
    found
}

/// Counts over many pipelines.
#[derive(Debug, Default)]
struct Figures {
    pipelines: u64,
    events: u64,
    /// Events whose outcome the answers leave open.
    open: u64,
    /// Pipelines all of whose assignments were tried.
    tried: u64,
    /// Events without outcome on a connection without barriers.
    open_without_reads: u64,
}

/// Sends one pipeline, decodes it twice (with and without barriers), and compares.
fn compare(
    servers: (&mut [Talk; 2], &mut TcpStream),
    pipeline: &[Request],
    random: &mut Random,
    end: End,
    figures: &mut Figures,
) {
    let ([with_reads, without], second) = servers;
    let sent: Vec<u8> = pipeline
        .iter()
        .flat_map(|request| request.sent.clone())
        .collect();
    let dialect = random.dialect;
    let truth = truth(second, pipeline, dialect, end);
    let answers = ask(&mut with_reads.stream, &sent, end);
    let shown = || format!("{}\n  → {}", sent.escape_ascii(), answers.escape_ascii());

    // memcached may read the pipeline and its end in one call or in two.
    let in_one_read = random.chance(50);
    if in_one_read {
        with_reads.push(Direction::Request, &[&sent, end.request].concat());
    } else {
        with_reads.push(Direction::Request, &sent);
    }
    let cut = random.below(answers.len() + 1);
    with_reads.push(Direction::Response, &answers[..cut]);
    with_reads.push(Direction::Response, &answers[cut..]);
    if !in_one_read {
        with_reads.push(Direction::Request, end.request);
    }
    with_reads.push(Direction::Response, end.answer);
    without.push(Direction::Request, &[&sent, end.request].concat());
    without.push(Direction::Response, &[&answers, end.answer].concat());

    for (place, talk) in [with_reads, without].into_iter().enumerate() {
        let mut events = talk.events();
        let last = events.pop().unwrap();
        assert_eq!(events.len(), truth.len(), "{}", shown());
        let expected = match end.answer[0] {
            0x81 => Outcome::Ok,
            _ => Outcome::NotFound,
        };
        assert_eq!(last.outcome, Some(expected), "{}", shown());
        let all = &truth;
        for (event, truth) in events.iter().zip(&truth) {
            let is_right = event.outcome.is_none_or(|outcome| outcome == *truth);
            assert!(is_right, "{event:?} is {truth:?} of {all:?}: {}", shown());
        }
        let open = events
            .iter()
            .filter(|event| event.outcome.is_none())
            .count() as u64;
        if place == 1 {
            figures.open_without_reads += open;
            continue;
        }
        figures.open += open;
        figures.events += events.len() as u64;
        if pipeline.len() <= MOST_TRIED {
            figures.tried += 1;
            let found: Vec<Option<Outcome>> = events.iter().map(|event| event.outcome).collect();
            let (pipeline, answers) = if in_one_read {
                (
                    [&sent, end.request].concat(),
                    [&answers, end.answer].concat(),
                )
            } else {
                (sent.clone(), answers.clone())
            };
            let common = assignments::common(&pipeline, &answers, dialect);
            let expected = common.as_ref().and_then(|common| common.get(..found.len()));
            assert_eq!(Some(&found[..]), expected, "{}", shown());
        }
    }
    figures.pipelines += 1;
}

/// Asserts that nothing is missing from the totals of a connection.
fn assert_complete(talk: &mut Talk) {
    let totals: Totals = talk.decoder.close(0).unwrap();
    assert_eq!(
        (totals.unpaired, totals.unmatched, totals.resyncs),
        (0, 0, 0)
    );
    for (flow, moved) in [totals.request, totals.response]
        .into_iter()
        .zip(talk.offsets)
    {
        assert_eq!((flow.seen, flow.accounted()), (moved, moved));
        let lost = flow.boundary + flow.unsynced + flow.truncated + flow.not_decoded;
        assert_eq!(lost, 0, "{flow:?}");
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Compares pipelines made by `make` on every memcached.
fn run(make: fn(&mut Random) -> Vec<Request>, end: fn(Dialect) -> End, name: &str) {
    let programs = programs();
    let count = number("MEMBENCH_PIPELINES", 4_000) / 2 / programs.len() as u64;
    for program in programs {
        let figures = run_with(&program, count, make, end);
        eprintln!("{name}, memcached {}: {figures:?}", version(&program));
    }
}

/// Compares this many pipelines on two servers of a program, from a seed of its own for each.
fn run_with(
    program: &str,
    count: u64,
    make: fn(&mut Random) -> Vec<Request>,
    end: fn(Dialect) -> End,
) -> Figures {
    let first = number("MEMBENCH_SEED", 1);
    let last = first + count;
    let dialect = Dialect::from_version(version(program).as_bytes()).unwrap();
    let end = end(dialect);
    let servers = [(); 2].map(|()| match program {
        INSTALLED => Memcached::start(),
        other => Memcached::start_with(other, ""),
    });
    let mut figures = Figures::default();
    let mut asking = connect(&servers[1]);
    let mut cas = Vec::new();
    let mut seed = first;
    while seed < last {
        let mut talks = [true, false].map(|has_reads| Talk::new(&servers[0], has_reads));
        let mut second = connect(&servers[1]);
        if end.answer[0] != 0x81 {
            learn_version(&mut talks);
        }
        for _ in 0..PER_CONNECTION.min(last - seed) {
            if seed.is_multiple_of(CAS_PERIOD) || cas.is_empty() {
                cas = cas_values(&mut asking, dialect);
            }
            let mut random = Random::new(seed, cas.clone(), dialect);
            let pipeline = make(&mut random);
            let talks = (&mut talks, &mut second);
            compare(talks, &pipeline, &mut random, end, &mut figures);
            seed += 1;
        }
        for talk in &mut talks {
            assert_complete(talk);
        }
    }
    assert_eq!(figures.pipelines, count);
    figures
}

/// Lets the decoders know the server's version, which decides how it reads refused lines.
fn learn_version(talks: &mut [Talk; 2]) {
    let [asking, other] = talks;
    asking.stream.write_all(b"version\r\n").unwrap();
    let mut answer = [0; 100];
    let length = asking.stream.read(&mut answer).unwrap();
    for talk in [asking, other] {
        talk.push(Direction::Request, b"version\r\n");
        talk.push(Direction::Response, &answer[..length]);
        talk.decoder.clear_events();
    }
}

#[test]
fn random_pipelines_of_lines_have_no_wrong_outcome_and_none_open_that_the_answers_tell() {
    run(generator::lines, end_of_lines, "lines");
}

#[test]
fn random_pipelines_of_messages_have_no_wrong_outcome_and_none_open_that_the_answers_tell() {
    run(generator::messages, end_of_messages, "messages");
}
