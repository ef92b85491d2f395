//! A line of memcached's log → the action it reports, borrowed.

use membench_event::{Command, Outcome};

/// Size of a buffer for a decoded key: memcached's longest key, and room to notice that one is longer, bytes.
pub const KEY_ROOM: usize = 256;
/// Latest time that is accepted, s since 1970: in nanoseconds it fits an `i64`.
const LATEST_S: u64 = 9_000_000_000;

/// A line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Report of an action.
    Entry(Entry<'a>),
    /// Number of lines left out before this one because the reader was too slow.
    Skipped(u64),
    /// An empty line, the greeting in a stored log, or what telnet prints around it.
    Blank,
}

/// A logged action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Time by memcached's wall clock, µs since 1970.
    pub micros: u64,
    /// Ordinal across memcached's threads. Lines arrive in another order.
    pub gid: u64,
    /// The action.
    pub action: Action<'a>,
}

/// An action of memcached. Keys are URI-encoded, as in the line; [`decode_key`] decodes them. A connection is named by
/// its file descriptor in memcached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Look-up of a key, by a command that reads, by one that changes, or before a store.
    Lookup {
        /// The key, encoded.
        key: &'a [u8],
        /// True if the key was found.
        found: bool,
        /// File descriptor of the connection; `None` if the line lacks it.
        descriptor: Option<u32>,
        /// Size of the value found, bytes; `None` if the line lacks it.
        size: Option<u32>,
    },
    /// Store of an item, successful or not.
    Store {
        /// The key, encoded.
        key: &'a [u8],
        /// Result of the store.
        outcome: Outcome,
        /// Command that stores; `None` if the line lacks it.
        command: Option<Command>,
        /// Expiry, s, in two's complement; 0 is never.
        ttl: Option<u32>,
        /// File descriptor of the connection; `None` if the line lacks it.
        descriptor: Option<u32>,
        /// Size of the whole value after the store, bytes; `None` if the line lacks it.
        size: Option<u32>,
    },
    /// Deletion of an item.
    Deletion {
        /// The key, encoded.
        key: &'a [u8],
        /// Command that deletes; `None` if the line lacks it.
        command: Option<Command>,
    },
    /// Opening of a connection.
    Open {
        /// Address of the client; `unix` for a local socket.
        address: &'a [u8],
        /// File descriptor of the connection.
        descriptor: u32,
    },
    /// Closing of a connection.
    Close {
        /// File descriptor of the connection.
        descriptor: u32,
        /// Reason: `normal`, `error`, `idle_timeout` or `shutdown`.
        reason: &'a [u8],
    },
    /// Any other action: an eviction, a raw command, ….
    Other,
}

/// Fields of a line by name. The first field of a name counts.
#[derive(Default)]
struct Fields<'a> {
    key: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    command: Option<&'a [u8]>,
    ttl: Option<&'a [u8]>,
    descriptor: Option<&'a [u8]>,
    size: Option<&'a [u8]>,
    address: Option<&'a [u8]>,
    reason: Option<&'a [u8]>,
}

/// Parses a line without its line feed; `None` if it is not memcached's.
pub fn parse(line: &[u8]) -> Option<Line<'_>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() || line == b"OK" || is_of_telnet(line) {
        return Some(Line::Blank);
    }
    if let Some(count) = line.strip_prefix(b"skipped=") {
        return number(count).map(Line::Skipped);
    }
    let (time, rest) = token(line);
    let (gid, rest) = token(rest);
    let (kind, rest) = token(rest);
    let entry = Entry {
        micros: micros(time.strip_prefix(b"ts=")?)?,
        gid: number(gid.strip_prefix(b"gid=")?)?,
        action: match kind.strip_prefix(b"type=") {
            Some(kind) => action(kind, &Fields::parse(rest))?,
            None => Action::Other,
        },
    };
    Some(Line::Entry(entry))
}

/// True for a line of a session in which a person asks for the log.
fn is_of_telnet(line: &[u8]) -> bool {
    const LINES: [&[u8]; 7] = [
        b"Trying ",
        b"Connected to ",
        b"Escape character is ",
        b"Connection closed",
        b"telnet> ",
        b"watch ",
        b"quit",
    ];
    LINES.iter().any(|start| line.starts_with(start))
}

fn action<'a>(kind: &[u8], fields: &Fields<'a>) -> Option<Action<'a>> {
    Some(match kind {
        b"item_get" => Action::Lookup {
            key: fields.key?,
            found: found(fields.status?)?,
            descriptor: small(fields.descriptor),
            size: small(fields.size),
        },
        b"item_store" => Action::Store {
            key: fields.key?,
            outcome: outcome(fields.status?)?,
            command: fields.command.and_then(command),
            ttl: small(fields.ttl),
            descriptor: small(fields.descriptor),
            size: small(fields.size),
        },
        b"deleted" => Action::Deletion {
            key: fields.key?,
            command: fields.command.and_then(command),
        },
        b"conn_new" => Action::Open {
            address: fields.address?,
            descriptor: small(fields.descriptor)?,
        },
        b"conn_close" => Action::Close {
            descriptor: small(fields.descriptor)?,
            reason: fields.reason.unwrap_or_default(),
        },
        _ => Action::Other,
    })
}

impl<'a> Fields<'a> {
    fn parse(mut rest: &'a [u8]) -> Self {
        let mut fields = Self::default();
        while !rest.is_empty() {
            let (field, others) = token(rest);
            rest = others;
            if let Some(at) = memchr::memchr(b'=', field) {
                let (name, value) = field.split_at(at);
                fields.set(name, &value[1..]);
            }
        }
        fields
    }

    fn set(&mut self, name: &[u8], value: &'a [u8]) {
        let field = match name {
            b"key" => &mut self.key,
            b"status" => &mut self.status,
            b"cmd" => &mut self.command,
            b"ttl" => &mut self.ttl,
            b"cfd" => &mut self.descriptor,
            b"size" => &mut self.size,
            b"rip" => &mut self.address,
            b"reason" => &mut self.reason,
            _ => return,
        };
        field.get_or_insert(value);
    }
}

/// Decodes a URI-encoded key (`%2C` is a comma) into `room`; `None` if it is empty, too long or badly encoded.
pub fn decode_key<'r>(encoded: &[u8], room: &'r mut [u8; KEY_ROOM]) -> Option<&'r [u8]> {
    let (mut length, mut rest) = (0, encoded);
    while let Some((&first, others)) = rest.split_first() {
        let byte = if first == b'%' {
            let (digits, others) = others.split_at_checked(2)?;
            rest = others;
            hexadecimal(digits[0])? << 4 | hexadecimal(digits[1])?
        } else {
            rest = others;
            first
        };
        *room.get_mut(length)? = byte;
        length += 1;
    }
    (length > 0 && length < KEY_ROOM).then_some(&room[..length])
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Splits a line at its first space, which belongs to neither part.
fn token(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', line) {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &[]),
    }
}

/// Parses `S.U`, where U is a number of microseconds **without** leading zeros: `5.17` is 5.000017 s.
fn micros(text: &[u8]) -> Option<u64> {
    let (seconds, micros) = text.split_at(memchr::memchr(b'.', text)?);
    let (seconds, micros) = (number(seconds)?, number(&micros[1..])?);
    (seconds <= LATEST_S && micros < 1_000_000).then(|| seconds * 1_000_000 + micros)
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

fn small(digits: Option<&[u8]>) -> Option<u32> {
    number(digits?).and_then(|value| u32::try_from(value).ok())
}

fn found(status: &[u8]) -> Option<bool> {
    match status {
        b"found" => Some(true),
        b"not_found" | b"flushed" | b"expired" => Some(false),
        _ => None,
    }
}

fn outcome(status: &[u8]) -> Option<Outcome> {
    Some(match status {
        b"stored" => Outcome::Stored,
        b"not_stored" => Outcome::NotStored,
        b"exists" => Outcome::Exists,
        b"not_found" => Outcome::NotFound,
        b"too_large" | b"no_memory" => Outcome::ServerError,
        _ => return None,
    })
}

fn command(name: &[u8]) -> Option<Command> {
    Some(match name {
        b"set" => Command::Set,
        b"add" => Command::Add,
        b"replace" => Command::Replace,
        b"append" => Command::Append,
        b"prepend" => Command::Prepend,
        b"cas" => Command::Cas,
        b"delete" => Command::Delete,
        b"md" => Command::MetaDelete,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: &str) -> Entry<'_> {
        match parse(line.as_bytes()) {
            Some(Line::Entry(entry)) => entry,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn microseconds_have_no_leading_zeros() {
        let cases = [
            ("1678306844.17204", 1_678_306_844_017_204),
            ("1678306844.0", 1_678_306_844_000_000),
            ("1678306844.999999", 1_678_306_844_999_999),
        ];
        for (text, wanted) in cases {
            let line = format!("ts={text} gid=1 type=lru_crawler");
            assert_eq!(entry(&line).micros, wanted, "{text}");
        }
    }

    #[test]
    fn a_line_reports_the_action_with_its_fields() {
        let get = entry("ts=5.6 gid=4 type=item_get key=a%3Ab status=found clsid=1 cfd=16 size=5");
        let lookup = Action::Lookup {
            key: b"a%3Ab",
            found: true,
            descriptor: Some(16),
            size: Some(5),
        };
        assert_eq!((get.micros, get.gid, get.action), (5_000_006, 4, lookup));
        let store = "ts=5.6 gid=5 type=item_store key=k status=not_stored cmd=add ttl=7 clsid=1 cfd=9 size=3";
        let wanted = Action::Store {
            key: b"k",
            outcome: Outcome::NotStored,
            command: Some(Command::Add),
            ttl: Some(7),
            descriptor: Some(9),
            size: Some(3),
        };
        assert_eq!(entry(store).action, wanted);
        let open = "ts=5.6 gid=5 type=conn_new rip=::1 rport=5 transport=tcp cfd=9";
        let opened = Action::Open {
            address: b"::1",
            descriptor: 9,
        };
        assert_eq!(entry(open).action, opened);
    }

    #[test]
    fn fields_that_older_versions_lack_are_none() {
        let Action::Lookup {
            descriptor, size, ..
        } = entry("ts=5.6 gid=4 type=item_get key=k status=expired clsid=1").action
        else {
            panic!("not a look-up")
        };
        assert_eq!((descriptor, size), (None, None));
    }

    #[test]
    fn text_that_a_client_sent_is_not_taken_for_a_field() {
        let raw = "ts=5.6 gid=4 <9 get type=item_get key=k status=found";
        assert_eq!(entry(raw).action, Action::Other);
    }

    #[test]
    fn malformed_lines_are_refused() {
        let lines = [
            "ts=5 gid=1 type=item_get key=k status=found",
            "ts=5.1000000 gid=1 type=item_get key=k status=found",
            "ts=9000000001.0 gid=1 type=item_get key=k status=found",
            "ts=5.6 gid= type=item_get key=k status=found",
            "ts=5.6 gid=99999999999999999999 type=item_get key=k status=found",
            "ts=5.6 gid=1 type=item_get status=found",
            "ts=5.6 gid=1 type=item_get key=k status=strange",
            "ts=5.6 gid=1 type=item_store key=k status=strange",
            "ts=5.6 gid=1 type=conn_new rip=1.2.3.4 cfd=-1",
            "skipped=many",
            "VALUE k 0 1",
        ];
        for line in lines {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn skipped_lines_and_greetings_are_recognised() {
        assert_eq!(parse(b"skipped=17"), Some(Line::Skipped(17)));
        assert_eq!(parse(b"OK\r"), Some(Line::Blank));
        assert_eq!(parse(b""), Some(Line::Blank));
    }

    #[test]
    fn keys_are_decoded_to_the_bytes_the_client_sent() {
        let mut room = [0; KEY_ROOM];
        let cases: [(&[u8], Option<&[u8]>); 7] = [
            (b"plain-key_1.~", Some(b"plain-key_1.~")),
            (b"k%C3%A4se%2C%25%3Dx", Some("käse,%=x".as_bytes())),
            (b"foo%00bar", Some(b"foo\0bar")),
            (b"%2", None),
            (b"%zz", None),
            (b"", None),
            (&[b'a'; KEY_ROOM], None),
        ];
        for (encoded, wanted) in cases {
            assert_eq!(decode_key(encoded, &mut room), wanted, "{encoded:?}");
        }
        let longest = "%FF".repeat(250);
        assert_eq!(
            decode_key(longest.as_bytes(), &mut room),
            Some(&[0xff; 250][..])
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let mut room = [0; KEY_ROOM];
            let _ = (parse(&bytes), decode_key(&bytes, &mut room));
        }
    }
}
