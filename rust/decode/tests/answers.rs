//! Requests, the answers that releases of memcached give to them, and the outcomes of both.
//!
//! `answers/table.tsv` has a line for each: the patch releases of 1.6 that answer so, the request, the answer, the outcomes
//! of its events. `…` stands for any bytes, `{3000}` for a value of that size. A line in brackets gives the options of the
//! servers that follow; below `[source]` stand answers that a test cannot provoke, as memcached's source spells them.
//! `MEMBENCH_SERVERS` lists further memcacheds to ask.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use membench_decode::privacy::KeyHasher;
use membench_decode::{Decoder, Responses};
use membench_event::{Direction, Event, Outcome, Piece, Segment};

mod memcached;
#[path = "memcached/programs.rs"]
mod programs;

use memcached::Memcached;
use programs::{INSTALLED, programs, version};

const TABLE: &str = include_str!("answers/table.tsv");
/// Section of the answers that are not asked for.
const SOURCE: &str = "source";
/// A request whose answer follows that of a line.
const LAST: (&str, &str) = ("get last\r\n", "END\r\n");
/// Longest wait for an answer, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A line of the table.
struct Row<'a> {
    /// Options of the server, or [`SOURCE`].
    section: &'a str,
    releases: Vec<u32>,
    request: String,
    /// The answer up to a part that varies, and after it.
    answer: (String, String),
    outcomes: Vec<&'a str>,
}

impl Row<'_> {
    /// True for requests that memcached hands to another thread, which must not be followed by others in the same read.
    fn stands_alone(&self) -> bool {
        ["watch", "lru_crawler metadump", "lru_crawler mgdump"]
            .iter()
            .any(|start| self.request.starts_with(start))
    }

    /// True if a log without end follows.
    fn starts_log(&self) -> bool {
        self.request.starts_with("watch") && self.answer.0 == "OK\r\n"
    }

    /// True if `bytes` are this answer with `last` after it.
    fn is_answered_by(&self, bytes: &[u8], last: &str) -> bool {
        let (start, end) = &self.answer;
        let end = format!("{end}{last}");
        bytes.starts_with(start.as_bytes())
            && bytes.ends_with(end.as_bytes())
            && (bytes.len() == start.len() + end.len() || self.varies())
    }

    fn varies(&self) -> bool {
        !self.answer.1.is_empty()
    }
}

fn unescaped(text: &str) -> String {
    text.replace("\\r", "\r")
        .replace("\\n", "\n")
        .replace("{3000}", &"v".repeat(3000))
}

fn rows() -> Vec<Row<'static>> {
    let mut section = "";
    let mut rows = Vec::new();
    for line in TABLE.lines() {
        if let Some(options) = line.strip_prefix('[') {
            section = options.strip_suffix(']').unwrap();
            continue;
        }
        let [releases, request, answer, outcomes] =
            *line.split('\t').collect::<Vec<_>>().as_slice()
        else {
            panic!("{line}");
        };
        let (start, end) = answer.split_once('…').unwrap_or((answer, ""));
        rows.push(Row {
            section,
            releases: releases
                .split(' ')
                .map(|one| one.parse().unwrap())
                .collect(),
            request: unescaped(request),
            answer: (unescaped(start), unescaped(end)),
            outcomes: outcomes.split(' ').collect(),
        });
    }
    rows
}

/// A connection whose server's release the decoder knows.
struct Connection {
    decoder: Decoder,
    offsets: [u64; 2],
    call: u32,
}

impl Connection {
    fn new(release: u32) -> Self {
        let mut decoder = Decoder::new(KeyHasher::random().unwrap(), Responses::Bytes, 0);
        decoder.open(0, false);
        let mut connection = Self {
            decoder,
            offsets: [0; 2],
            call: 0,
        };
        connection.push(Direction::Request, b"version\r\n");
        let version = format!("VERSION 1.6.{release}\r\n");
        connection.push(Direction::Response, version.as_bytes());
        connection.decoder.clear_events();
        connection
    }

    fn push(&mut self, direction: Direction, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.call += 1;
        let segment = Segment {
            connection: 0,
            direction,
            offset: self.offsets[direction as usize],
            time: self.call.into(),
            arrival: None,
            filled: false,
            call: self.call,
            pieces: &[Piece::Bytes(bytes)],
        };
        self.offsets[direction as usize] += segment.length();
        self.decoder.push(&segment, false);
    }

    /// Ends the connection; fails unless it has these outcomes and nothing was lost.
    fn expect(mut self, outcomes: &[&str], shown: &str) {
        let totals = self.decoder.close(0).unwrap();
        let lost = [
            totals.unpaired,
            totals.unmatched,
            totals.request.unsynced,
            totals.response.unsynced,
        ];
        assert_eq!(lost, [0; 4], "{shown}");
        let name = |event: &Event| event.outcome.map_or("unknown", Outcome::name);
        let found: Vec<_> = self.decoder.events().iter().map(name).collect();
        assert_eq!(found, outcomes, "{shown}");
    }
}

/// Decodes a row with `answer` as its bytes; the answer to the last request follows unless a log does.
fn decode(row: &Row<'_>, release: u32, answer: &[u8]) {
    let shown = format!("1.6.{release}: {:?}", row.request);
    let mut connection = Connection::new(release);
    let mut expected = row.outcomes.clone();
    if row.stands_alone() {
        connection.push(Direction::Request, row.request.as_bytes());
        connection.push(Direction::Response, answer);
        if !row.starts_log() {
            connection.push(Direction::Request, LAST.0.as_bytes());
            connection.push(Direction::Response, LAST.1.as_bytes());
        }
    } else {
        let requests = format!("{}{}", row.request, LAST.0);
        connection.push(Direction::Request, requests.as_bytes());
        connection.push(Direction::Response, &[answer, LAST.1.as_bytes()].concat());
    }
    if !row.starts_log() {
        expected.push("miss");
    }
    connection.expect(&expected, &shown);
}

#[test]
fn every_answer_of_every_release_belongs_to_its_request() {
    for row in rows() {
        for release in &row.releases {
            let (start, end) = &row.answer;
            let varying = if row.varies() { "0" } else { "" };
            let answer = [start, varying, end.as_str()].concat();
            decode(&row, *release, answer.as_bytes());
        }
    }
}

/// Asks a server and returns its answer, without that to the last request.
fn ask(server: &Memcached, row: &Row<'_>) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let last = if row.stands_alone() { ("", "") } else { LAST };
    let request = format!("{}{}", row.request, last.0);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !row.is_answered_by(&answer, last.1) {
        if answer.starts_with(b"BUSY") && answer.ends_with(format!("\r\n{}", last.1).as_bytes()) {
            return ask(server, row);
        }
        let mut bytes = [0; 1 << 13];
        let read = stream.read(&mut bytes).unwrap_or(0);
        answer.extend_from_slice(&bytes[..read]);
        let shown = answer.escape_ascii();
        assert!(
            read > 0,
            "{:?} → {shown}, not {:?}",
            row.request,
            row.answer
        );
    }
    answer.truncate(answer.len() - last.1.len());
    answer
}

/// Returns the patch release of 1.6 that a program is.
fn release(program: &str) -> u32 {
    version(program)
        .rsplit('.')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn memcached_answers_as_the_table_says() {
    let rows = rows();
    for program in programs() {
        let release = release(&program);
        let asked: Vec<_> = rows
            .iter()
            .filter(|row| row.section != SOURCE && row.releases.contains(&release))
            .collect();
        assert!(!asked.is_empty(), "1.6.{release} is not in the table");
        for section in asked.chunk_by(|one, other| one.section == other.section) {
            let server = match section[0].section {
                "" if program == INSTALLED => Memcached::start(),
                options => Memcached::start_with(&program, options),
            };
            for row in section {
                decode(row, release, &ask(&server, row));
            }
        }
    }
}
