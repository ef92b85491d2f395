//! Bytes that a proxy passes between a client and a real memcached → the events of the client's requests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use membench_decode::privacy::KeyHasher;
use membench_decode::{Decoder, Responses};
use membench_event::{Command, Event, Outcome};
use membench_event::{Direction, Piece, Segment};
use membench_protocol::binary::{Arithmetic, Item, Opcode, Tag};
use membench_protocol::encode::{Encoder, Full};

#[path = "memcached/end.rs"]
mod end;
mod memcached;

use end::{END_OF_LINES, END_OF_MESSAGES, End};
use memcached::Memcached;

/// Proxy between a client and the server, which feeds all bytes that pass to a decoder.
struct Proxy {
    client: TcpStream,
    server: TcpStream,
    end: End,
    decoder: Decoder,
    /// Bytes passed so far, by direction.
    offsets: [u64; 2],
    call: u32,
}

impl Proxy {
    fn new(client: TcpStream, server: TcpStream, end: End) -> Self {
        let mut decoder = Decoder::new(KeyHasher::random().unwrap(), Responses::Bytes, 0);
        decoder.open(0, false);
        Self {
            client,
            server,
            end,
            decoder,
            offsets: [0; 2],
            call: 0,
        }
    }

    /// Passes one step: the client's requests up to the end, then the server's responses up to the end.
    fn step(&mut self) {
        self.call += 1;
        let requests = until(&mut self.client, self.end.request);
        for bytes in &requests {
            self.server.write_all(bytes).unwrap();
        }
        self.push(Direction::Request, &requests);
        let responses = until(&mut self.server, self.end.answer);
        for bytes in &responses {
            self.client.write_all(bytes).unwrap();
        }
        self.push(Direction::Response, &responses);
    }

    fn push(&mut self, direction: Direction, runs: &[Vec<u8>]) {
        for bytes in runs {
            let segment = Segment {
                connection: 0,
                direction,
                offset: self.offsets[direction as usize],
                time: u64::from(self.call),
                arrival: None,
                filled: false,
                call: self.call,
                pieces: &[Piece::Bytes(bytes)],
            };
            self.offsets[direction as usize] += segment.length();
            self.decoder.push(&segment, false);
        }
    }
}

/// Reads up to the bytes `end`; returns the bytes of each read.
fn until(stream: &mut TcpStream, end: &[u8]) -> Vec<Vec<u8>> {
    let mut runs: Vec<Vec<u8>> = Vec::new();
    let mut last = Vec::new();
    while !last.ends_with(end) {
        let mut bytes = vec![0; 1000];
        let length = stream.read(&mut bytes).unwrap();
        assert!(length > 0, "the other side has closed");
        bytes.truncate(length);
        last.extend_from_slice(&bytes);
        last.drain(..last.len().saturating_sub(end.len()));
        runs.push(bytes);
    }
    runs
}

/// Bytes of the requests of one step, and the events they must become.
type Step = (Vec<u8>, Vec<(Command, Outcome)>);

/// Returns the steps of a client of the text and meta protocols.
fn lines() -> Vec<Step> {
    use Command as C;
    use Outcome as O;
    let long = "v".repeat(100_000);
    let step = |text: String, expected: &[(Command, Outcome)]| {
        let bytes = [text.as_bytes(), END_OF_LINES.request].concat();
        let expected = [expected, &[(C::MetaArithmetic, O::NotFound)]].concat();
        (bytes, expected)
    };
    let keys = (0..100)
        .map(|key| format!("k{key}"))
        .collect::<Vec<_>>()
        .join(" ");
    let sets: Vec<String> = (0..50)
        .map(|key| format!("set k{key} 0 0 {key} noreply\r\n{}\r\n", "x".repeat(key)))
        .collect();
    let sets = sets.concat();
    let mut found = vec![(C::Get, O::Hit); 50];
    found.extend(vec![(C::Get, O::Miss); 50]);
    vec![
        // The decoder learns the server's version from this: versions differ in reading on after a refused line.
        step("version\r\n".into(), &[(C::Version, O::Ok)]),
        step(
            "get a\r\nset a 5 0 3\r\nabc\r\nget a\r\n".into(),
            &[(C::Get, O::Miss), (C::Set, O::Stored), (C::Get, O::Hit)],
        ),
        step(sets, &[(C::Set, O::Suppressed); 50]),
        step(format!("get {keys}\r\n"), &found),
        step(
            format!("set big 0 0 100000\r\n{long}\r\nget big\r\n"),
            &[(C::Set, O::Stored), (C::Get, O::Hit)],
        ),
        step(
            "set n 0 0 1\r\n5\r\nincr n 3\r\ndecr m 1\r\ntouch n 9\r\ndelete n\r\ndelete n\r\n".into(),
            &[
                (C::Set, O::Stored),
                (C::Incr, O::Stored),
                (C::Decr, O::NotFound),
                (C::Touch, O::Touched),
                (C::Delete, O::Deleted),
                (C::Delete, O::NotFound),
            ],
        ),
        step(
            "add a 0 0 1\r\nx\r\nreplace z 0 0 1\r\nx\r\ncas a 0 0 1 99999\r\nx\r\nnonsense\r\nstats\r\n".into(),
            &[
                (C::Add, O::NotStored),
                (C::Replace, O::NotStored),
                (C::Cas, O::Exists),
                (C::Other, O::ClientError),
                (C::Stats, O::Ok),
            ],
        ),
        step(
            "mg a v q O1\r\nmg z v q O2\r\nms m 2 T0\r\nhi\r\nms m 2 q\r\nhi\r\nmg m s v\r\nmd m\r\nma m\r\n".into(),
            &[
                (C::MetaGet, O::Hit),
                (C::MetaGet, O::Suppressed),
                (C::MetaSet, O::Stored),
                (C::MetaSet, O::Suppressed),
                (C::MetaGet, O::Hit),
                (C::MetaDelete, O::Deleted),
                (C::MetaArithmetic, O::NotFound),
            ],
        ),
        step(
            format!("set {} 0 0 1\r\nx\r\nset huge 0 0 2000000\r\n{}\r\n", "k".repeat(251), "y".repeat(2_000_000)),
            &[
                (C::Set, O::ClientError),
                (C::Other, O::ClientError),
                (C::Set, O::ServerError),
            ],
        ),
    ]
}

/// Encodes one binary request.
fn message(write: impl FnOnce(&mut Encoder<'_>) -> Result<(), Full>) -> Vec<u8> {
    let mut out = vec![0; 400];
    let mut encoder = Encoder::new(&mut out);
    write(&mut encoder).unwrap();
    let written = encoder.written();
    out.truncate(written);
    out
}

const fn tag(opcode: u8, opaque: u32) -> Tag {
    Tag {
        opcode: Opcode(opcode),
        opaque,
        cas: 0,
    }
}

fn get(opcode: u8, opaque: u32, key: &str) -> Vec<u8> {
    message(|out| out.binary(tag(opcode, opaque), key.as_bytes()))
}

fn set(opcode: u8, key: &str, size: usize) -> Vec<u8> {
    let item = Item {
        client_flags: 7,
        ttl: 0,
    };
    let length = u32::try_from(size).unwrap();
    let start = message(|out| out.binary_storage(tag(opcode, 0), key.as_bytes(), item, length));
    [start, vec![0x80; size]].concat()
}

fn count(opcode: u8, key: &str, initial: Option<(u64, u32)>) -> Vec<u8> {
    let arithmetic = Arithmetic { delta: 3, initial };
    message(|out| out.binary_arithmetic(tag(opcode, 0), key.as_bytes(), arithmetic))
}

/// Returns the steps of a client of the binary protocol.
fn messages() -> Vec<Step> {
    use Command as C;
    use Outcome as O;
    let step = |requests: &[Vec<u8>], expected: &[(Command, Outcome)]| {
        let bytes = [&requests.concat(), END_OF_MESSAGES.request].concat();
        (bytes, [expected, &[(C::MetaNoop, O::Ok)]].concat())
    };
    let quiet: Vec<_> = (0..50)
        .map(|key| set(0x11, &format!("k{key}"), key * 40))
        .collect();
    let many: Vec<_> = (0..100)
        .map(|key| get(0x0d, key, &format!("k{key}")))
        .collect();
    let mut found = vec![(C::Get, O::Hit); 50];
    found.extend(vec![(C::Get, O::Suppressed); 50]);
    vec![
        step(
            &[
                get(0x00, 0, "a"),
                set(0x01, "a", 3),
                get(0x0c, 0, "a"),
                get(0x0c, 1, "z"),
            ],
            &[
                (C::Get, O::Miss),
                (C::Set, O::Stored),
                (C::Get, O::Hit),
                (C::Get, O::Miss),
            ],
        ),
        step(&quiet, &[(C::Set, O::Suppressed); 50]),
        step(&many, &found),
        step(
            &[
                set(0x01, "big", 100_000),
                get(0x09, 0, "big"),
                set(0x11, "huge", 2_000_000),
            ],
            &[
                (C::Set, O::Stored),
                (C::Get, O::Hit),
                (C::Set, O::ServerError),
            ],
        ),
        step(
            &[
                count(0x05, "n", Some((5, 0))),
                count(0x15, "n", None),
                count(0x06, "m", None),
                set(0x02, "a", 1),
                set(0x13, "z", 1),
                get(0x04, 0, "n"),
                get(0x14, 0, "n"),
                get(0x10, 0, ""),
                get(0x30, 0, ""),
            ],
            &[
                (C::Incr, O::Stored),
                (C::Incr, O::Suppressed),
                (C::Decr, O::NotFound),
                (C::Add, O::NotStored),
                (C::Replace, O::NotStored),
                (C::Delete, O::Deleted),
                (C::Delete, O::NotFound),
                (C::Stats, O::Ok),
                (C::Other, O::ClientError),
            ],
        ),
    ]
}

#[test]
fn text_and_meta_requests_through_a_proxy_become_the_events_of_the_client() {
    assert_proxied(lines(), END_OF_LINES);
}

#[test]
fn binary_requests_through_a_proxy_become_the_events_of_the_client() {
    assert_proxied(messages(), END_OF_MESSAGES);
}

/// Asserts that the steps of `script`, passed through a proxy, decode to the expected events without a loss.
fn assert_proxied(script: Vec<Step>, end: End) {
    let server = Memcached::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (inside, _) = listener.accept().unwrap();
    let outside = TcpStream::connect(server.address()).unwrap();
    let mut proxy = Proxy::new(inside, outside, end);
    let expected: Vec<_> = script
        .iter()
        .flat_map(|(_, expected)| expected.clone())
        .collect();
    let steps = script.len();
    let talk = thread::spawn(move || converse(client, script, end));
    for _ in 0..steps {
        proxy.step();
    }
    talk.join().unwrap();
    let totals = proxy.decoder.close(0).unwrap();
    let found: Vec<(Command, Outcome)> = proxy
        .decoder
        .events()
        .iter()
        .map(|event: &Event| (event.command, event.outcome.unwrap()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(totals.unpaired + totals.unmatched, 0);
    for (flow, moved) in [
        (totals.request, proxy.offsets[0]),
        (totals.response, proxy.offsets[1]),
    ] {
        assert_eq!((flow.seen, flow.accounted()), (moved, moved));
        assert_eq!(
            flow.boundary + flow.unsynced + flow.truncated + flow.not_decoded,
            0
        );
    }
}

fn converse(mut client: TcpStream, script: Vec<Step>, end: End) {
    for (bytes, _) in script {
        client.write_all(&bytes).unwrap();
        until(&mut client, end.answer);
    }
}
