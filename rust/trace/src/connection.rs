//! Bytes of followed sockets → connections, and the memcached commands and answers in each call.

use std::{collections::HashMap, fmt::Write};

use membench_common::trace::Socket;
use membench_protocol::{
    Command, KEY_SIZE_MAX, Keys, Request, Response, Status,
    binary::{self, HEADER_SIZE, REQUEST_MAGIC, RESPONSE_MAGIC},
    may_grow, request, response,
};
use serde::Serialize;

use crate::escape;

/// Most connections that are remembered. Beyond that the one that was silent longest is forgotten.
const CONNECTIONS: usize = 65_536;
/// Longest start of a line or message that is kept until the rest comes, bytes.
const PENDING: usize = 64 << 10;
/// Most keys that a line shows.
const KEYS: usize = 3;

/// Commands, or answers, of one kind that a call moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exchanged {
    /// The command, such as `get`; the answer, such as `VALUE`.
    pub command: String,
    /// How many there were.
    pub count: u32,
    /// Keys in them.
    pub keys: u32,
    /// Sizes of the smallest and the largest key, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_size: Option<[usize; 2]>,
    /// Sizes of the smallest and the largest value, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_size: Option<[usize; 2]>,
    /// The first keys, if they are shown.
    #[serde(skip)]
    shown: Vec<String>,
}

/// A connection, and what a call moved on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// Number of the connection, in the order in which they were first seen.
    pub(crate) connection: u32,
    pub(crate) commands: Vec<Exchanged>,
    /// True if bytes were not understood: the trace began within a message, or not all bytes were kept.
    pub(crate) unsynced: bool,
}

/// Connections by the inodes of their sockets.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    all: HashMap<u64, Connection>,
    next: u32,
    /// Number of calls so far, by which silence is measured.
    clock: u64,
    show_keys: bool,
}

#[derive(Debug)]
struct Connection {
    number: u32,
    /// Addresses: another connection can have the same inode later.
    socket: Socket,
    last: u64,
    /// Requests, then responses.
    streams: [Stream; 2],
}

/// The framing of one direction.
#[derive(Debug, Default)]
struct Stream {
    /// Start of an incomplete line or message.
    pending: Vec<u8>,
    /// Bytes of a value that are still to come.
    value: u64,
    /// True after bytes that were not understood.
    lost: bool,
}

impl Connections {
    pub(crate) fn new(show_keys: bool) -> Self {
        Self {
            show_keys,
            ..Self::default()
        }
    }

    /// Takes the bytes that a call moved on a followed socket; `sent` if it sent them.
    pub(crate) fn take<'a>(
        &mut self,
        socket: &Socket,
        sent: bool,
        pieces: impl Iterator<Item = (&'a [u8], usize)>,
    ) -> Exchange {
        self.clock += 1;
        let (clock, show_keys) = (self.clock, self.show_keys);
        let connection = self.find(socket);
        connection.last = clock;
        let is_response = sent != (socket.client != 0);
        let stream = &mut connection.streams[usize::from(is_response)];
        let mut found = Found {
            commands: Vec::new(),
            show_keys,
        };
        let was_lost = stream.lost;
        for (bytes, length) in pieces {
            stream.take(bytes, length, is_response, &mut found);
        }
        Exchange {
            connection: connection.number,
            unsynced: stream.lost || was_lost && found.commands.is_empty(),
            commands: found.commands,
        }
    }

    /// Returns the number of a socket's connection.
    pub(crate) fn number(&mut self, socket: &Socket) -> u32 {
        self.find(socket).number
    }

    /// Forgets a connection whose descriptor was closed.
    pub(crate) fn close(&mut self, socket: &Socket) {
        self.all.remove(&socket.inode);
    }

    fn find(&mut self, socket: &Socket) -> &mut Connection {
        let same = |known: &Connection| {
            known.socket.remote_port == socket.remote_port && known.socket.remote == socket.remote
        };
        if self
            .all
            .get(&socket.inode)
            .is_some_and(|known| !same(known))
        {
            self.all.remove(&socket.inode);
        }
        if self.all.len() >= CONNECTIONS && !self.all.contains_key(&socket.inode) {
            let oldest = self
                .all
                .iter()
                .min_by_key(|(_, connection)| connection.last);
            if let Some(inode) = oldest.map(|(inode, _)| *inode) {
                self.all.remove(&inode);
            }
        }
        let (next, clock) = (&mut self.next, self.clock);
        self.all.entry(socket.inode).or_insert_with(|| {
            *next += 1;
            Connection {
                number: *next,
                socket: *socket,
                last: clock,
                streams: Default::default(),
            }
        })
    }
}

/// Commands of one call.
struct Found {
    commands: Vec<Exchanged>,
    show_keys: bool,
}

impl Found {
    fn add<'a>(&mut self, command: &str, keys: impl Iterator<Item = &'a [u8]>, value: Option<u64>) {
        let value = value.and_then(|size| usize::try_from(size).ok());
        let place = self.commands.iter().position(|one| one.command == command);
        let place = place.unwrap_or_else(|| {
            self.commands.push(Exchanged {
                command: command.into(),
                count: 0,
                keys: 0,
                key_size: None,
                value_size: None,
                shown: Vec::new(),
            });
            self.commands.len() - 1
        });
        let Some(one) = self.commands.get_mut(place) else {
            return;
        };
        one.count += 1;
        for key in keys {
            one.keys += 1;
            extend(&mut one.key_size, key.len());
            if self.show_keys && one.shown.len() < KEYS {
                one.shown.push(escape::quoted(key));
            }
        }
        if let Some(size) = value {
            extend(&mut one.value_size, size);
        }
    }
}

fn extend(range: &mut Option<[usize; 2]>, size: usize) {
    let [least, most] = range.unwrap_or([size, size]);
    *range = Some([least.min(size), most.max(size)]);
}

impl Stream {
    /// Takes the next `length` bytes of the stream, of which the first ones are known.
    fn take(&mut self, bytes: &[u8], length: usize, is_response: bool, found: &mut Found) {
        let mut rest = bytes;
        let mut missing = (length - bytes.len().min(length)) as u64;
        if self.lost {
            // The start of a call is mostly the start of a message.
            self.pending.clear();
            self.value = 0;
            self.lost = false;
        }
        loop {
            let skipped = usize::try_from(self.value)
                .unwrap_or(usize::MAX)
                .min(rest.len());
            self.value -= skipped as u64;
            rest = rest.get(skipped..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            rest = self.message(rest, is_response, found);
            if self.lost {
                return;
            }
        }
        let within = self.value.min(missing);
        self.value -= within;
        missing -= within;
        if missing > 0 {
            self.lost = true;
        }
    }

    /// Takes the message at the start of some bytes; returns what follows it.
    fn message<'a>(&mut self, bytes: &'a [u8], is_response: bool, found: &mut Found) -> &'a [u8] {
        let before = self.pending.len();
        let joined;
        let start: &[u8] = if before == 0 {
            bytes
        } else {
            joined = [self.pending.as_slice(), bytes].concat();
            &joined
        };
        let parsed = if is_response {
            parse_response(start, found)
        } else {
            parse_request(start, found)
        };
        match parsed {
            Parsed::Whole { consumed, value } => {
                self.pending.clear();
                self.value = value;
                bytes
                    .get(consumed.saturating_sub(before)..)
                    .unwrap_or_default()
            }
            Parsed::Partial if start.len() <= PENDING => {
                self.pending.extend_from_slice(bytes);
                &[]
            }
            Parsed::Partial | Parsed::Wrong => {
                self.lost = true;
                self.pending.clear();
                &[]
            }
        }
    }
}

enum Parsed {
    Whole {
        consumed: usize,
        /// Bytes of a value that follow.
        value: u64,
    },
    Partial,
    Wrong,
}

fn parse_request(bytes: &[u8], found: &mut Found) -> Parsed {
    let parsed = if bytes.first() == Some(&REQUEST_MAGIC) {
        binary::parse_request(bytes)
    } else {
        request::parse(bytes)
    };
    match parsed {
        Ok(Status::Complete { value, consumed }) => {
            // Bytes within a value look like a bad command; memcached's clients send none.
            if value.command == Command::Other && value.refused {
                return Parsed::Wrong;
            }
            add_request(&value, found);
            Parsed::Whole {
                consumed,
                value: value.block_size(),
            }
        }
        Ok(Status::Partial) if bytes.len() > KEY_SIZE_MAX * 8 && !may_grow(bytes) => Parsed::Wrong,
        Ok(Status::Partial) => Parsed::Partial,
        Err(_) => Parsed::Wrong,
    }
}

fn add_request(request: &Request<'_>, found: &mut Found) {
    let name = match std::str::from_utf8(request.verb) {
        Ok(verb) if !verb.is_empty() && request.command != Command::Other => verb,
        _ => request.command.name(),
    };
    let keys: Keys<'_> = request.keys.clone();
    found.add(
        name,
        keys.map(|key| key.raw()),
        request.value_size.map(u64::from),
    );
}

fn parse_response(bytes: &[u8], found: &mut Found) -> Parsed {
    if bytes.first() == Some(&RESPONSE_MAGIC) {
        return parse_answer(bytes, found);
    }
    let (response, consumed) = match response::parse(bytes) {
        Ok(Status::Complete { value, consumed }) => (value, consumed),
        Ok(Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Wrong,
    };
    let Some(name) = answer(&response) else {
        return Parsed::Wrong;
    };
    let value = response.value_size().map(u64::from);
    let key = match &response {
        Response::Value { key, .. } => Some(key.raw()),
        _ => None,
    };
    found.add(name, key.into_iter(), value);
    Parsed::Whole {
        consumed,
        value: value.map_or(0, |size| size + 2),
    }
}

fn parse_answer(bytes: &[u8], found: &mut Found) -> Parsed {
    let Some(header) = bytes.get(..HEADER_SIZE) else {
        return Parsed::Partial;
    };
    let &[
        _,
        _,
        key_high,
        key_low,
        extras,
        _,
        status_high,
        status_low,
        a,
        b,
        c,
        d,
        ..,
    ] = header
    else {
        return Parsed::Wrong;
    };
    let (body, before) = (
        u32::from_be_bytes([a, b, c, d]),
        u32::from(u16::from_be_bytes([key_high, key_low])) + u32::from(extras),
    );
    let name = match u16::from_be_bytes([status_high, status_low]) {
        0 => "success",
        1 => "not found",
        2 => "exists",
        5 => "not stored",
        _ => "error",
    };
    let value = body.saturating_sub(before);
    found.add(
        name,
        std::iter::empty(),
        (value > 0).then(|| u64::from(value)),
    );
    Parsed::Whole {
        consumed: HEADER_SIZE,
        value: body.into(),
    }
}

/// Returns the word of an answer; `None` if it is none that memcached gives.
fn answer(response: &Response<'_>) -> Option<&'static str> {
    use membench_protocol::response::Kind;
    Some(match response {
        Response::Value { .. } => "VALUE",
        Response::End => "END",
        Response::Stored => "STORED",
        Response::NotStored => "NOT_STORED",
        Response::Exists => "EXISTS",
        Response::NotFound => "NOT_FOUND",
        Response::Deleted => "DELETED",
        Response::Touched => "TOUCHED",
        Response::Ok => "OK",
        Response::Number(_) => "number",
        Response::Version(_) => "VERSION",
        Response::Error => "ERROR",
        Response::ClientError(_) => "CLIENT_ERROR",
        Response::ServerError(_) => "SERVER_ERROR",
        Response::Stat(_) => "STAT",
        Response::Reset => "RESET",
        Response::Busy(_) => "BUSY",
        Response::Meta { kind, .. } => match kind {
            Kind::Hd => "HD",
            Kind::Va => "VA",
            Kind::En => "EN",
            Kind::Nf => "NF",
            Kind::Ns => "NS",
            Kind::Ex => "EX",
            Kind::Mn => "MN",
        },
        Response::MetaDebug(_) => "ME",
        Response::Line(_) | Response::Binary(_) => return None,
    })
}

/// Writes what a call moved on a connection.
pub(crate) fn note(exchange: &Exchange) -> String {
    let mut text = format!("conn {}", exchange.connection);
    for (index, one) in exchange.commands.iter().enumerate() {
        text.push_str(if index == 0 { ": " } else { ", " });
        write_one(&mut text, one);
    }
    if exchange.unsynced {
        text.push_str(if exchange.commands.is_empty() {
            ": "
        } else {
            ", "
        });
        text.push_str("bytes within a message");
    }
    text
}

fn write_one(text: &mut String, one: &Exchanged) {
    let _ = write!(text, "{} ×{}", one.command, one.count);
    let mut facts = Vec::new();
    if let Some(size) = one.key_size {
        let number = if one.keys == one.count {
            String::new()
        } else {
            format!("{} ", one.keys)
        };
        let plural = if one.keys == one.count { "" } else { "s" };
        facts.push(format!("{number}key{plural} {} B", range(size)));
    }
    if let Some(size) = one.value_size {
        facts.push(format!("value {} B", range(size)));
    }
    facts.extend(one.shown.iter().cloned());
    if !facts.is_empty() {
        let _ = write!(text, " ({})", facts.join(", "));
    }
}

fn range([least, most]: [usize; 2]) -> String {
    if least == most {
        least.to_string()
    } else {
        format!("{least}–{most}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: Socket = Socket {
        inode: 7,
        family: 2,
        protocol: 6,
        local_port: 11211,
        remote_port: 40_000,
        local: [0; 16],
        remote: [0; 16],
        followed: 1,
        client: 0,
    };

    fn read(connections: &mut Connections, bytes: &[u8]) -> String {
        note(&connections.take(&SOCKET, false, std::iter::once((bytes, bytes.len()))))
    }

    #[test]
    fn commands_of_a_read_are_counted_with_the_sizes_of_their_keys() {
        let mut connections = Connections::default();
        let text = read(&mut connections, b"get colour\r\n");
        assert_eq!(text, "conn 1: get ×1 (key 6 B)");
        let text = read(
            &mut connections,
            b"get a bb ccc\r\nset k 0 0 4\r\nblue\r\nget d\r\n",
        );
        assert_eq!(
            text,
            "conn 1: get ×2 (4 keys 1–3 B), set ×1 (key 1 B, value 4 B)"
        );
        assert_eq!(
            read(&mut connections, b"mg key v t\r\n"),
            "conn 1: mg ×1 (key 3 B)"
        );
    }

    #[test]
    fn a_command_counts_in_the_read_that_completes_it_and_values_are_passed_over() {
        let mut connections = Connections::default();
        assert_eq!(read(&mut connections, b"ge"), "conn 1");
        assert_eq!(
            read(&mut connections, b"t abc\r\n"),
            "conn 1: get ×1 (key 3 B)"
        );
        assert_eq!(
            read(&mut connections, b"set k 0 0 14\r\nget "),
            "conn 1: set ×1 (key 1 B, value 14 B)"
        );
        assert_eq!(
            read(&mut connections, b"not a key\n\r\nget b\r\n"),
            "conn 1: get ×1 (key 1 B)"
        );
    }

    #[test]
    fn bytes_that_were_not_kept_lose_the_stream_unless_they_are_a_value() {
        let mut connections = Connections::default();
        let start = b"set k 0 0 1000\r\nxxxx";
        let text = note(&connections.take(&SOCKET, false, [(&start[..], 16 + 1002)].into_iter()));
        assert_eq!(text, "conn 1: set ×1 (key 1 B, value 1000 B)");
        assert_eq!(
            read(&mut connections, b"get a\r\n"),
            "conn 1: get ×1 (key 1 B)"
        );
        let text = note(&connections.take(&SOCKET, false, [(&b"get a\r\n"[..], 20)].into_iter()));
        assert_eq!(text, "conn 1: get ×1 (key 1 B), bytes within a message");
        assert_eq!(
            read(&mut connections, b"get a\r\n"),
            "conn 1: get ×1 (key 1 B)"
        );
    }

    #[test]
    fn answers_are_told_from_commands_by_the_side_and_the_direction() {
        let mut connections = Connections::default();
        let pieces = [&b"VALUE a 0 4\r\n"[..], b"blue\r\n", b"END\r\n"];
        let pieces = pieces.into_iter().map(|piece| (piece, piece.len()));
        let text = note(&connections.take(&SOCKET, true, pieces));
        assert_eq!(text, "conn 1: VALUE ×1 (key 1 B, value 4 B), END ×1");
        let client = Socket {
            inode: 8,
            client: 1,
            ..SOCKET
        };
        let sent = [(&b"get a\r\n"[..], 7)].into_iter();
        assert_eq!(
            note(&connections.take(&client, true, sent)),
            "conn 2: get ×1 (key 1 B)"
        );
    }

    #[test]
    fn keys_are_shown_only_if_that_is_asked_for_and_never_stored_as_json() {
        let mut shown = Connections::new(true);
        assert_eq!(
            read(&mut shown, b"get \x1bx\r\n"),
            "conn 1: get ×1 (key 2 B, \"\\33x\")"
        );
        let exchange = shown.take(&SOCKET, false, [(&b"get secret\r\n"[..], 12)].into_iter());
        let json = serde_json::to_string(&exchange.commands).unwrap();
        assert!(!json.contains("secret"), "{json}");
    }

    #[test]
    fn hostile_bytes_are_not_understood_and_hold_no_memory() {
        let mut connections = Connections::default();
        for _ in 0..100 {
            let text = read(&mut connections, &[0xff; 16_384]);
            assert!(
                text.contains("within a message") || text == "conn 1",
                "{text}"
            );
        }
        let held: usize = connections
            .all
            .values()
            .flat_map(|one| &one.streams)
            .map(|stream| stream.pending.len())
            .sum();
        assert!(held <= 2 * PENDING, "{held}");
    }
}
