//! The options strings of a recording → what each asks of requests and says of responses.

use membench_event::{Options, OptionsTable};

/// One options string, taken apart once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the protocol"
)]
pub struct Template {
    /// `noreply`.
    pub noreply: bool,
    /// The expiry was a point in time.
    pub absolute: bool,
    /// The key is sent in base64.
    pub base64: bool,
    /// The ordinary answer is left out.
    pub quiet: bool,
    /// A cas value is compared with.
    pub compares: bool,
    /// The answer repeats the key.
    pub returns_key: bool,
    /// The answer carries the item's cas value.
    pub returns_cas: bool,
    /// Meta flags in request order, the mode with its letter.
    pub flags: Vec<(u8, Option<u8>)>,
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

    /// Whether the item's new cas value is sent.
    pub fn sets_cas(&self) -> bool {
        self.flags.iter().any(|(letter, _)| *letter == b'E')
    }
}

/// The templates of a recording, by [`Options`].
#[derive(Clone, Debug, Default)]
pub struct Templates {
    all: Vec<Template>,
    none: Template,
}

impl Templates {
    /// Takes every options string apart.
    pub fn new(table: &OptionsTable) -> Self {
        Self {
            all: table
                .names()
                .iter()
                .map(|name| Template::parse(name))
                .collect(),
            none: Template::default(),
        }
    }

    /// What `options` means.
    pub fn get(&self, options: Options) -> &Template {
        self.all.get(usize::from(options.0)).unwrap_or(&self.none)
    }
}
