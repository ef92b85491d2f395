//! A seed → random requests: every protocol, quiet and not, most flags.

use membench_protocol::Dialect;

/// A request as it is sent, and the same without the flag or opcode that makes it quiet.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) sent: Vec<u8>,
    pub(crate) loud: Vec<u8>,
    /// True if memcached may leave out its ordinary answer.
    pub(crate) quiet: bool,
    /// A request that tells if the item exists, where that decides whether a quiet request is answered.
    pub(crate) probe: Option<Vec<u8>>,
}

/// Random numbers: xorshift64*, and what requests depend on besides.
pub(crate) struct Random {
    state: u64,
    /// The cas values that items have.
    cas: Vec<u64>,
    /// Dialect of the server that is asked.
    pub(crate) dialect: Dialect,
}

impl Random {
    pub(crate) fn new(seed: u64, cas: Vec<u64>, dialect: Dialect) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            cas,
            dialect,
        }
    }

    /// Returns a cas value, which an item may have.
    fn cas(&mut self) -> u64 {
        let choice = self.below(self.cas.len() + 1);
        self.cas.get(choice).copied().unwrap_or(1)
    }

    /// Returns a number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let high = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % bound
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const KEYS: &[&str] = &["a", "b", "c", "d"];
/// The keys in base64.
const CODED: &[&str] = &["YQ==", "Yg==", "Yw==", "ZA=="];
const VALUES: &[&str] = &[
    "",
    "5",
    "7",
    "x",
    "val",
    "18446744073709551615",
    "some longer text",
];
// None that ends, or falls below that of `R`, while a pipeline is compared.
const TTLS: &[&str] = &["0", "10000", "20", "-1", "2000000000"];
const TOKENS: &[&str] = &["1", "2", "33"];

/// Returns a random pipeline of text and meta requests.
pub(crate) fn lines(random: &mut Random) -> Vec<Request> {
    let count = 1 + random.below(9);
    // Many pipelines use one command only, as clients do.
    let only = random.chance(30).then(|| random.below(10));
    // Tokens of their own for every request, tokens that repeat, or none.
    let tokens = random.below(3);
    (0..count)
        .map(|place| {
            let kind = only.unwrap_or_else(|| random.below(13));
            let token = match tokens {
                0 => Some(format!("{place}")),
                1 if random.chance(50) => Some(random.pick(TOKENS).to_owned()),
                _ => None,
            };
            match kind {
                0..=3 => meta_get(random, token),
                4 | 5 => meta_set(random, token),
                6 => meta_delete(random, token),
                7..=9 => meta_arithmetic(random, token),
                10 => plain(random.pick(&[
                    "mn",
                    "me a",
                    "me zz",
                    "version",
                    "foo",
                    "mg",
                    "verbosity 1",
                ])),
                11 => retrieval(random),
                _ => change(random),
            }
        })
        .collect()
}

fn plain(line: &str) -> Request {
    let sent = format!("{line}\r\n").into_bytes();
    Request {
        loud: sent.clone(),
        sent,
        quiet: false,
        probe: None,
    }
}

/// Makes a meta request from its parts; about two in three are quiet.
fn meta(
    random: &mut Random,
    verb: &str,
    size: &str,
    mut flags: Vec<String>,
    value: &str,
) -> Request {
    // If an item is still being sent, memcached counts in a copy, which forgets that the item is stale or that a client
    // recaches it. Those have keys of their own.
    let recaches = |flag: &String| verb != "ma" && ["I", "R", "N"].contains(&&flag[..1]);
    let key = match verb {
        "ma" => 2 + random.below(2),
        _ if flags.iter().any(recaches) => random.below(2),
        _ => random.below(4),
    };
    let coded = random.chance(10);
    if coded {
        flags.push("b".into());
    }
    let key = if coded { CODED[key] } else { KEYS[key] };
    let start = format!("{verb} {key}{size}");
    let line = |flags: &[String]| {
        let words = flags
            .iter()
            .fold(start.clone(), |line, flag| line + " " + flag);
        format!("{words}\r\n{value}").into_bytes()
    };
    let loud = line(&flags);
    let quiet = random.chance(65);
    if quiet {
        let place = random.below(flags.len() + 1);
        flags.insert(place, "q".into());
    }
    // If a quiet request creates its counter, 1.6.38 answers it and 1.6.45 does not.
    let creates = verb == "ma"
        && random.dialect != Dialect::Shared
        && flags.iter().any(|flag| flag.starts_with('N'));
    let b = if coded { " b" } else { "" };
    Request {
        sent: line(&flags),
        loud,
        quiet,
        probe: (quiet && creates).then(|| format!("me {key}{b}\r\n").into_bytes()),
    }
}

/// Returns some of `letters`, each with this chance, and those of `with` with an argument.
fn flags(
    random: &mut Random,
    percent: usize,
    letters: &str,
    with: &[(&str, &[&str])],
    token: Option<String>,
) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for letter in letters.chars() {
        if random.chance(percent) {
            found.push(letter.into());
        }
    }
    for (letter, arguments) in with {
        if random.chance(percent) {
            found.push(format!("{letter}{}", random.pick(arguments)));
        }
    }
    found.extend(token.map(|token| format!("O{token}")));
    // Refused: an unknown flag.
    if random.chance(2) {
        found.push("?".into());
    }
    found
}

/// Sometimes compares a cas value.
fn compare(random: &mut Random, flags: &mut Vec<String>) {
    if random.chance(20) {
        flags.push(format!("C{}", random.cas()));
    }
}

fn meta_get(random: &mut Random, token: Option<String>) -> Request {
    let mut found = flags(random, 20, "kstcfhl", &[("T", TTLS), ("R", &["30"])], token);
    if random.chance(60) {
        found.push("v".into());
    }
    if random.chance(5) {
        found.push("N10000".into());
    }
    // Refused without any.
    if random.dialect == Dialect::Early && found.is_empty() {
        found.push("s".into());
    }
    meta(random, "mg", "", found, "")
}

fn meta_set(random: &mut Random, token: Option<String>) -> Request {
    let with: &[(&str, &[&str])] = &[
        ("T", TTLS),
        ("F", &["0", "7"]),
        ("M", &["S", "E", "A", "P", "R"]),
    ];
    let mut found = flags(random, 20, "kI", with, token);
    compare(random, &mut found);
    // If an item is still being sent, memcached counts in a copy, which it pads less. So nothing is appended to numbers.
    let appends = found.iter().any(|flag| flag == "MA" || flag == "MP");
    let value = if appends { "" } else { random.pick(VALUES) };
    let mut size = format!(" {}", value.len());
    if random.dialect == Dialect::Early {
        found.push(format!("S{}", value.len()));
        size.clear();
    }
    meta(random, "ms", &size, found, &format!("{value}\r\n"))
}

fn meta_delete(random: &mut Random, token: Option<String>) -> Request {
    let mut found = flags(random, 20, "kI", &[("T", &["20"])], token);
    compare(random, &mut found);
    meta(random, "md", "", found, "")
}

fn meta_arithmetic(random: &mut Random, token: Option<String>) -> Request {
    let with: &[(&str, &[&str])] = &[
        ("N", &["0", "10000"]),
        ("J", &["3"]),
        ("D", &["1", "2", "x"]),
        ("M", &["I", "D"]),
    ];
    let mut found = flags(random, 20, "kvtc", with, token);
    compare(random, &mut found);
    meta(random, "ma", "", found, "")
}

fn retrieval(random: &mut Random) -> Request {
    let verb = random.pick(&["get", "gets", "gat 100", "gats 0"]);
    let count = 1 + random.below(3);
    let keys = (0..count).fold(String::new(), |keys, _| keys + " " + random.pick(KEYS));
    plain(&format!("{verb}{keys}"))
}

fn change(random: &mut Random) -> Request {
    let key = random.pick(KEYS);
    let noreply = if random.chance(20) { " noreply" } else { "" };
    let value = random.pick(VALUES);
    let stored = format!("{noreply}\r\n{value}");
    let size = value.len();
    plain(&match random.below(9) {
        0..=2 => format!("set {key} 0 0 {size}{stored}"),
        3 => format!(
            "{} {key} 0 0 {size}{stored}",
            random.pick(&["add", "replace"])
        ),
        4 => format!(
            "{} {key} 0 0 0{noreply}\r\n",
            random.pick(&["append", "prepend"])
        ),
        5 => format!("cas {key} 0 0 {size} {}{stored}", random.cas()),
        6 => format!("delete {key}{noreply}"),
        7 => format!(
            "{} {} {}{noreply}",
            random.pick(&["incr", "decr"]),
            random.pick(&KEYS[2..]),
            random.pick(&["1", "x"])
        ),
        _ => format!("touch {key} 100{noreply}"),
    })
}

/// Opcodes of a binary request: quiet and loud, and the bytes of its extras.
const OPCODES: &[(u8, u8, &[u8])] = &[
    (0x09, 0x00, &[]),
    (0x0d, 0x0c, &[]),
    (0x09, 0x00, &[]),
    (0x0d, 0x0c, &[]),
    (0x11, 0x01, &[0; 8]),
    (0x12, 0x02, &[0; 8]),
    (0x13, 0x03, &[0; 8]),
    (0x14, 0x04, &[]),
    (
        0x15,
        0x05,
        &[
            0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff,
        ],
    ),
    (
        0x16,
        0x06,
        &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0],
    ),
    (0x19, 0x0e, &[]),
    (0x1a, 0x0f, &[]),
    (0x1e, 0x1d, &[0, 0, 0, 100]),
    (0x24, 0x23, &[0, 0, 0, 100]),
    (0x1c, 0x1c, &[0, 0, 0, 100]),
    (0x0a, 0x0a, &[]),
    (0x0b, 0x0b, &[]),
    (0x30, 0x30, &[]),
];

/// Returns a random pipeline of binary requests.
pub(crate) fn messages(random: &mut Random) -> Vec<Request> {
    let count = 1 + random.below(9);
    let only = random.chance(30).then(|| random.below(OPCODES.len()));
    // Many clients always send 0.
    let own = random.chance(30);
    (0..count)
        .map(|place| {
            let opaque = if own {
                place
            } else if random.chance(80) {
                0
            } else {
                random.below(2)
            };
            let (quiet, loud, extras) =
                OPCODES[only.unwrap_or_else(|| random.below(OPCODES.len()))];
            message(random, quiet, loud, extras, u32::try_from(opaque).unwrap())
        })
        .collect()
}

fn message(random: &mut Random, quiet: u8, loud: u8, extras: &[u8], opaque: u32) -> Request {
    let key = match loud {
        0x0a | 0x0b | 0x30 => "",
        _ => random.pick(KEYS),
    };
    let value = match loud {
        0x01..=0x03 => random.pick(VALUES),
        _ => "",
    };
    let cas = match loud {
        0x01 | 0x03..=0x06 | 0x0e | 0x0f if random.chance(15) => random.cas(),
        _ => 0,
    };
    let is_quiet = quiet != loud && random.chance(70);
    let whole = |opcode: u8| {
        let body = extras.len() + key.len() + value.len();
        let mut bytes = vec![0x80, opcode, 0, u8::try_from(key.len()).unwrap()];
        bytes.extend([u8::try_from(extras.len()).unwrap(), 0, 0, 0]);
        bytes.extend(u32::try_from(body).unwrap().to_be_bytes());
        bytes.extend(opaque.to_be_bytes());
        bytes.extend(cas.to_be_bytes());
        [&bytes[..], extras, key.as_bytes(), value.as_bytes()].concat()
    };
    Request {
        sent: whole(if is_quiet { quiet } else { loud }),
        loud: whole(loud),
        quiet: is_quiet,
        probe: None,
    }
}
