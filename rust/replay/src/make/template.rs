//! Options strings of a recording → the flags to send and the answers they lead to.

use membench_event::{Command, Options, OptionsTable, Protocol};
use membench_protocol::Letters;

use crate::operation::Operation;

/// Parsed options string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the protocol"
)]
pub(crate) struct Template {
    /// The request is `noreply`.
    pub(crate) noreply: bool,
    /// The recorded expiry was a point in time.
    pub(crate) absolute: bool,
    /// The key is sent in base64.
    pub(crate) base64: bool,
    /// memcached leaves out the ordinary answer.
    pub(crate) quiet: bool,
    /// The request compares with a cas value.
    pub(crate) compares: bool,
    /// The answer repeats the key.
    pub(crate) returns_key: bool,
    /// The answer carries the item's cas value.
    pub(crate) returns_cas: bool,
    /// Letters of the meta flags in request order, each with its mode if it has one.
    pub(crate) flags: Vec<(u8, Option<u8>)>,
}

impl Template {
    fn parse(text: &str) -> Self {
        let mut template = Self::default();
        for word in text.split_ascii_whitespace() {
            match word.as_bytes() {
                b"noreply" => template.noreply = true,
                b"A" => template.absolute = true,
                [letter, rest @ ..] => template.flag(*letter, rest.first().copied()),
                [] => {}
            }
        }
        template
    }

    fn flag(&mut self, letter: u8, mode: Option<u8>) {
        match letter {
            b'b' => self.base64 = true,
            b'q' => self.quiet = true,
            b'C' => self.compares = true,
            b'c' => self.returns_cas = true,
            b'k' => self.returns_key = true,
            _ => {}
        }
        self.flags.push((letter, mode));
    }

    /// True if memcached answers nothing to `first`, the first operation of its request (`noreply`, `quit`).
    pub(crate) fn is_unanswered(&self, first: &Operation) -> bool {
        let quits = first.command == Command::Quit && first.protocol != Protocol::Binary;
        self.noreply || quits
    }

    /// True if memcached answers only some outcomes of `first`, or none.
    pub(crate) fn is_quiet(&self, first: &Operation) -> bool {
        self.quiet || self.is_unanswered(first)
    }

    /// Letters of the meta flags.
    pub(crate) fn letters(&self) -> Letters {
        let mut letters = Letters::default();
        for (letter, _) in &self.flags {
            letters.insert(*letter);
        }
        letters
    }

    /// Mode of a meta `set` or arithmetic (`M`), if it has one.
    pub(crate) fn mode(&self) -> Option<u8> {
        let mut flags = self.flags.iter();
        flags.find_map(|(letter, mode)| (*letter == b'M').then_some(*mode)?)
    }

    /// True if the request sets the item's new cas value (meta `E`).
    pub(crate) fn sets_cas(&self) -> bool {
        self.flags.iter().any(|(letter, _)| *letter == b'E')
    }
}

/// Templates of a recording, by [`Options`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Templates {
    all: Vec<Template>,
    none: Template,
}

impl Templates {
    /// Parses every options string of `table`.
    pub(crate) fn new(table: &OptionsTable) -> Self {
        Self {
            all: table
                .names()
                .iter()
                .map(|name| Template::parse(name))
                .collect(),
            none: Template::default(),
        }
    }

    /// Returns the template of `options`; one without flags if the table has no such index.
    pub(crate) fn get(&self, options: Options) -> &Template {
        self.all.get(usize::from(options.0)).unwrap_or(&self.none)
    }
}
