//! A request → the responses that memcached can give to it.

use crate::binary::{Answer, Code};
use crate::flags::MetaFlags;
use crate::response::{Kind, Response};
use crate::{Command, Form, Request};

/// Flags that a hit returns if the request has them, apart from those that repeat the request.
const RETURNED: &[u8] = b"stcfhl";
/// Flags of [`RETURNED`] that arithmetic returns.
const RETURNED_BY_ARITHMETIC: u8 = set(b"tc");

/// The responses that memcached can give to a request, apart from the key and the token that they repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    command: Command,
    /// `None` if only the command is known.
    asked: Option<Asked>,
}

/// What the answer depends on, besides the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about one request, each read by name"
)]
struct Asked {
    form: Form,
    binary: bool,
    /// True if the server may be one that says `OK` where later ones say `HD`.
    early: bool,
    /// True if a hit returns the value.
    value: bool,
    /// The flags of [`RETURNED`] that the request has.
    returned: u8,
    /// True if a cas value is compared.
    compares: bool,
    /// True if a counter is created on a miss.
    creates: bool,
    /// True if an item is stored on a condition.
    conditional: bool,
}

impl Request<'_> {
    /// Returns the responses that memcached can give.
    pub fn answers(&self) -> Answers {
        Answers {
            command: self.command,
            asked: Some(Asked {
                form: self.form,
                binary: self.opcode.is_some(),
                early: self.early,
                value: self.returns_value(),
                returned: self.letters_of(RETURNED),
                compares: self.cas.is_some(),
                creates: self.vivify_ttl.is_some(),
                conditional: self.mode().is_some_and(|mode| !mode.eq_ignore_ascii_case(&b'S')),
            }),
        }
    }

    /// Returns those of `letters` that are flags of the request, as a set.
    fn letters_of(&self, letters: &[u8]) -> u8 {
        let bit = |place: usize, letter: u8| u8::from(self.letters.has(letter)) << place;
        letters
            .iter()
            .enumerate()
            .fold(0, |all, (place, letter)| all | bit(place, *letter))
    }
}

impl Answers {
    /// Returns the responses to any request of `command`.
    pub const fn of(command: Command) -> Self {
        Self {
            command,
            asked: None,
        }
    }

    /// Returns the same responses if the server's release is unknown.
    #[must_use]
    pub fn of_any_release(self) -> Self {
        Self {
            asked: self.asked.map(|asked| Asked {
                early: true,
                ..asked
            }),
            ..self
        }
    }

    /// The form of the answer in lines.
    pub fn form(&self) -> Form {
        self.asked.map_or(Form::Single, |asked| asked.form)
    }

    /// Returns true if memcached can answer with `response`: its first line or message.
    pub fn fit(&self, response: &Response<'_>) -> bool {
        use Command as C;
        let command = self.command;
        let is_message = matches!(response, Response::Binary(_));
        if !self.is(|asked| asked.binary == is_message) {
            return false;
        }
        let stores = command.is_storage() && !command.is_meta();
        match response {
            Response::Error | Response::ClientError(_) | Response::ServerError(_) => true,
            Response::Value { .. } => is_retrieval(command),
            Response::End => {
                is_retrieval(command) || self.has_form(&[Form::Statistics, Form::Dump])
            }
            Response::Stored | Response::NotStored | Response::Exists => stores,
            Response::NotFound => {
                stores || matches!(command, C::Delete | C::Incr | C::Decr | C::Touch)
            }
            Response::Deleted => command == C::Delete,
            Response::Touched => command == C::Touch,
            Response::Number(_) => matches!(command, C::Incr | C::Decr),
            Response::Ok => self.fit_ok(),
            Response::Version(_) => command == C::Version,
            Response::Stat(_) => self.has_form(&[Form::Statistics, Form::Setting]),
            Response::Reset => self.has_form(&[Form::Statistics]),
            Response::Busy(_) => command == C::Other,
            Response::Line(_) => command == C::Other || self.has_form(&[Form::Statistics]),
            Response::Meta { kind, flags, .. } => self.fit_meta(*kind, flags),
            Response::MetaDebug(_) => command == C::MetaDebug,
            Response::Binary(answer) => self.fit_message(answer),
        }
    }

    /// Returns true if the request is known to have this property, or only the command is known.
    fn is(&self, property: impl FnOnce(Asked) -> bool) -> bool {
        self.asked.is_none_or(property)
    }

    /// Returns true if the answer has one of these forms; with only the command known, if it may have one.
    fn has_form(&self, forms: &[Form]) -> bool {
        match self.asked {
            Some(asked) => forms.contains(&asked.form),
            None => matches!(self.command, Command::Stats | Command::Other),
        }
    }

    fn fit_ok(&self) -> bool {
        use Command as C;
        match self.command {
            C::FlushAll | C::Verbosity | C::Other => true,
            C::Stats => self.has_form(&[Form::Statistics]),
            C::MetaGet | C::MetaArithmetic => {
                self.is(|asked| asked.early && !asked.value && asked.returned == 0)
            }
            C::MetaSet | C::MetaDelete => self.is(|asked| asked.early),
            _ => false,
        }
    }

    fn fit_meta(&self, kind: Kind, flags: &MetaFlags<'_>) -> bool {
        use Command::{MetaArithmetic, MetaDebug, MetaDelete, MetaGet, MetaNoop, MetaSet};
        match (kind, self.command) {
            (Kind::Mn, command) => command == MetaNoop,
            (Kind::En, command) => {
                matches!(command, MetaGet | MetaDebug) || self.has_form(&[Form::Names])
            }
            (Kind::Va, MetaGet | MetaArithmetic) => {
                self.is(|asked| asked.value) && self.returns(flags)
            }
            (Kind::Hd, MetaGet | MetaArithmetic) => {
                self.is(|asked| !asked.value) && self.returns(flags)
            }
            (Kind::Hd, command) => matches!(command, MetaSet | MetaDelete),
            (Kind::Nf, MetaSet) => self.is(|asked| asked.compares),
            (Kind::Nf, command) => matches!(command, MetaDelete | MetaArithmetic),
            (Kind::Ex, MetaSet | MetaDelete | MetaArithmetic) => self.is(|asked| asked.compares),
            (Kind::Ns, MetaSet) => self.is(|asked| asked.conditional || asked.compares),
            (Kind::Ns, MetaArithmetic) => self.is(|asked| asked.creates),
            _ => false,
        }
    }

    /// Returns true if a hit has exactly the flags that the request asks for. Those that repeat the key and the token are
    /// compared elsewhere.
    fn returns(&self, flags: &MetaFlags<'_>) -> bool {
        let found = flags.clone().fold(0, |all, flag| all | set(&[flag.letter]));
        self.is(|asked| match self.command {
            Command::MetaArithmetic => asked.returned & RETURNED_BY_ARITHMETIC == found,
            _ => asked.returned == found,
        })
    }

    fn fit_message(&self, answer: &Answer<'_>) -> bool {
        use Command as C;
        let named = answer.opcode.command();
        let is_named = named == self.command
            || self.command == C::Cas && matches!(named, C::Set | C::Add | C::Replace);
        let compares = self.is(|asked| asked.compares);
        is_named
            && match (answer.code, self.command) {
                (Code::NotFound, C::Get | C::Gat | C::Touch | C::Delete | C::Incr | C::Decr) => true,
                (Code::NotFound, C::Replace | C::Cas | C::Stats) => true,
                (Code::NotFound, C::Append | C::Prepend) => compares,
                (Code::Exists, C::Add | C::Cas) => true,
                (Code::Exists, command) => {
                    compares && matches!(command, C::Append | C::Prepend | C::Delete | C::Incr | C::Decr)
                }
                (Code::NotStored, command) => {
                    command.is_storage() || matches!(command, C::Incr | C::Decr)
                }
                (Code::NotNumeric, command) => matches!(command, C::Incr | C::Decr),
                (Code::Continue, command) => command == C::Other,
                (Code::NotFound, _) => false,
                _ => true,
            }
    }
}

/// Returns the set of those letters that are in [`RETURNED`].
const fn set(letters: &[u8]) -> u8 {
    let (mut all, mut place) = (0, 0);
    while place < RETURNED.len() {
        let mut index = 0;
        while index < letters.len() {
            if letters[index] == RETURNED[place] {
                all |= 1 << place;
            }
            index += 1;
        }
        place += 1;
    }
    all
}

const fn is_retrieval(command: Command) -> bool {
    matches!(
        command,
        Command::Get | Command::Gets | Command::Gat | Command::Gats
    )
}
