//! A request → the responses that memcached can give to it.

use crate::binary::{Answer, Code};
use crate::flags::Letters;
use crate::response::{Kind, Response};
use crate::{Command, Form, Request};

/// Flags that a hit returns if the request has them, apart from those that repeat the request.
const RETURNED: &[u8] = b"stcfhl";
/// Flags of [`RETURNED`] that arithmetic returns.
const RETURNED_BY_ARITHMETIC: u8 = returned(Letters::new(b"tc"));

/// The responses that memcached can give to a request, apart from the key and the token that they repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers {
    command: Command,
    /// `None` if only the command is known.
    asked: Option<Asked>,
}

/// Facts of a request on which its answer depends, besides the command.
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
                returned: if self.meta { returned(self.letters) } else { 0 },
                compares: self.cas.is_some(),
                creates: self.vivify_ttl.is_some(),
                conditional: self
                    .mode()
                    .is_some_and(|mode| !mode.eq_ignore_ascii_case(&b'S')),
            }),
        }
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
            Response::Meta { kind, letters, .. } => self.fit_meta(*kind, *letters),
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

    fn fit_meta(&self, kind: Kind, letters: Letters) -> bool {
        use Command::{MetaArithmetic, MetaDebug, MetaDelete, MetaGet, MetaNoop, MetaSet};
        match (kind, self.command) {
            (Kind::Mn, command) => command == MetaNoop,
            (Kind::En, command) => {
                matches!(command, MetaGet | MetaDebug) || self.has_form(&[Form::Names])
            }
            (Kind::Va, MetaGet | MetaArithmetic) => {
                self.is(|asked| asked.value) && self.returns(letters)
            }
            (Kind::Hd, MetaGet | MetaArithmetic) => {
                self.is(|asked| !asked.value) && self.returns(letters)
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
    fn returns(&self, letters: Letters) -> bool {
        let found = returned(letters);
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
                (Code::NotFound, C::Append | C::Prepend) => compares,
                (Code::NotFound, command) => is_looked_up(command),
                (Code::Exists, C::Add | C::Cas) => true,
                (Code::Exists, command) => {
                    compares
                        && matches!(
                            command,
                            C::Append | C::Prepend | C::Delete | C::Incr | C::Decr
                        )
                }
                (Code::NotStored, command) => {
                    command.is_storage() || matches!(command, C::Incr | C::Decr)
                }
                (Code::NotNumeric, command) => matches!(command, C::Incr | C::Decr),
                (Code::Continue, command) => command == C::Other,
                _ => true,
            }
    }
}

/// Returns the set of those letters that are in [`RETURNED`].
const fn returned(letters: Letters) -> u8 {
    let (mut all, mut place) = (0, 0);
    while place < RETURNED.len() {
        all |= (letters.has(RETURNED[place]) as u8) << place;
        place += 1;
    }
    all
}

/// True if a message of the command names something that may be missing.
const fn is_looked_up(command: Command) -> bool {
    use Command as C;
    matches!(
        command,
        C::Get | C::Gat | C::Touch | C::Delete | C::Incr | C::Decr | C::Replace | C::Cas | C::Stats
    )
}

const fn is_retrieval(command: Command) -> bool {
    matches!(
        command,
        Command::Get | Command::Gets | Command::Gat | Command::Gats
    )
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::{Dialect, Status, binary, request, response};

    fn parsed(bytes: &[u8]) -> Response<'_> {
        if let Ok(Status::Complete { value, .. }) = binary::parse_response(bytes) {
            return Response::Binary(value);
        }
        match response::parse(bytes) {
            Ok(Status::Complete { value, .. }) => value,
            other => panic!("{other:?}"),
        }
    }

    fn answers(line: &[u8], dialect: Dialect) -> Answers {
        match request::parse_as(line, dialect) {
            Ok(Status::Complete { value, .. }) => value.answers(),
            other => panic!("{other:?}"),
        }
    }

    /// Lines that answer meta commands, by the letters that stand for them below.
    const META: &[(u8, &[u8])] = &[
        (b'H', b"HD\r\n"),
        (b'V', b"VA 1\r\n"),
        (b'E', b"EN\r\n"),
        (b'F', b"NF\r\n"),
        (b'S', b"NS\r\n"),
        (b'X', b"EX\r\n"),
        (b'M', b"MN\r\n"),
        (b'D', b"ME a exp=-1\r\n"),
        (b'O', b"OK\r\n"),
    ];

    #[test]
    fn flags_decide_which_meta_answers_fit() {
        let table: &[(&[u8], Dialect, &[u8])] = &[
            (b"mg a\r\n", Dialect::Classic, b"HE"),
            (b"mg a v\r\n", Dialect::Classic, b"VE"),
            (b"mg a v\r\n", Dialect::Early, b"VE"),
            (b"mg a k\r\n", Dialect::Early, b"HEO"),
            (b"mg a s\r\n", Dialect::Shared, b"E"),
            (b"ms a 1\r\n", Dialect::Classic, b"H"),
            (b"ms a S1\r\n", Dialect::Early, b"HO"),
            (b"ms a 1 MS\r\n", Dialect::Classic, b"H"),
            (b"ms a 1 MR\r\n", Dialect::Classic, b"HS"),
            (b"ms a 1 C5\r\n", Dialect::Shared, b"HFSX"),
            (b"md a\r\n", Dialect::Classic, b"HF"),
            (b"md a C5\r\n", Dialect::Classic, b"HFX"),
            (b"ma a\r\n", Dialect::Classic, b"HF"),
            (b"ma a v\r\n", Dialect::Classic, b"VF"),
            (b"ma a N0\r\n", Dialect::Shared, b"HFS"),
            (b"ma a C5\r\n", Dialect::Early, b"HFXO"),
            (b"me a\r\n", Dialect::Shared, b"ED"),
            (b"mn\r\n", Dialect::Classic, b"M"),
            (b"get a\r\n", Dialect::Classic, b""),
            (b"lru_crawler mgdump all\r\n", Dialect::Shared, b"EO"),
        ];
        for (line, dialect, expected) in table {
            let answers = answers(line, *dialect);
            let fitting: Vec<_> = META
                .iter()
                .filter(|(_, answer)| answers.fit(&parsed(answer)))
                .map(|(letter, _)| *letter)
                .collect();
            assert_eq!(fitting, *expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_hit_returns_exactly_the_flags_that_were_asked_for() {
        let table: &[(&[u8], &[u8], bool)] = &[
            (b"mg a s t\r\n", b"HD s1 t-1\r\n", true),
            (b"mg a s t\r\n", b"HD s1 t-1 W\r\n", true),
            (b"mg a s t\r\n", b"HD s1\r\n", false),
            (b"mg a v k Ox f\r\n", b"VA 1 ka Ox f0\r\n", true),
            (b"mg a\r\n", b"HD c5\r\n", false),
            (b"ma a t\r\n", b"HD t-1\r\n", true),
            (b"ma a s\r\n", b"HD\r\n", true),
        ];
        for (line, answer, fits) in table {
            let answers = answers(line, Dialect::Classic);
            assert_eq!(
                answers.fit(&parsed(answer)),
                *fits,
                "{}",
                line.escape_ascii()
            );
        }
    }

    #[test]
    fn an_unknown_release_may_say_ok_where_others_say_hd() {
        let known = answers(b"md a\r\n", Dialect::Classic);
        assert!(!known.fit(&Response::Ok) && known.of_any_release().fit(&Response::Ok));
    }

    #[test]
    fn every_answer_fits_some_request_of_its_command_and_no_other_command() {
        use Command as C;
        let table: &[(&[u8], &[Command])] = &[
            (b"VALUE a 0 1\r\n", &[C::Get, C::Gets, C::Gat, C::Gats]),
            (b"DELETED\r\n", &[C::Delete]),
            (b"TOUCHED\r\n", &[C::Touch]),
            (b"5\r\n", &[C::Incr, C::Decr]),
            (b"VERSION 1.6.18\r\n", &[C::Version]),
            (b"STAT pid 1\r\n", &[C::Stats, C::Other]),
            (b"BUSY currently\r\n", &[C::Other]),
            (
                b"HD\r\n",
                &[C::MetaGet, C::MetaSet, C::MetaDelete, C::MetaArithmetic],
            ),
            (b"MN\r\n", &[C::MetaNoop]),
        ];
        for (answer, expected) in table {
            let fitting: Vec<_> = C::ALL
                .into_iter()
                .filter(|command| Answers::of(*command).fit(&parsed(answer)))
                .collect();
            assert_eq!(fitting, *expected, "{}", answer.escape_ascii());
        }
    }

    /// Makes a binary request with an opcode and a cas value; its key is `k`, its extras are as the opcode wants.
    fn message(opcode: u8, cas: u8) -> Vec<u8> {
        let extras: u8 = match opcode {
            0x01..=0x03 => 8,
            0x05 | 0x06 => 20,
            0x1c | 0x1d => 4,
            _ => 0,
        };
        let mut bytes = std::vec![0x80, opcode, 0, 1, extras, 0, 0, 0, 0, 0, 0, extras + 1];
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, cas]);
        bytes.resize(bytes.len() + usize::from(extras), 0);
        bytes.push(b'k');
        bytes
    }

    #[test]
    fn the_status_of_a_message_fits_what_was_asked() {
        // Opcode, cas value, and the statuses below 0x20 that fit; 3 and 4 are errors that any request may get.
        let table: &[(u8, u8, &[u8])] = &[
            (0x00, 0, &[0, 1, 3, 4]),
            (0x01, 0, &[0, 3, 4, 5]),
            (0x01, 9, &[0, 1, 2, 3, 4, 5]),
            (0x02, 0, &[0, 2, 3, 4, 5]),
            (0x03, 0, &[0, 1, 3, 4, 5]),
            (0x04, 0, &[0, 1, 3, 4]),
            (0x04, 9, &[0, 1, 2, 3, 4]),
            (0x05, 0, &[0, 1, 3, 4, 5, 6]),
            (0x0e, 0, &[0, 3, 4, 5]),
            (0x1c, 0, &[0, 1, 3, 4]),
            (0x1d, 0, &[0, 1, 3, 4]),
        ];
        for (opcode, cas, expected) in table {
            let bytes = message(*opcode, *cas);
            let Ok(Status::Complete { value, .. }) = binary::parse_request(&bytes) else {
                panic!("{opcode:#x}");
            };
            assert!(!value.refused, "{opcode:#x}");
            let answer = |status: u8| {
                let mut bytes = [0; 24];
                (bytes[0], bytes[1], bytes[7]) = (0x81, *opcode, status);
                value.answers().fit(&parsed(&bytes))
            };
            let fitting: Vec<_> = (0..=6).filter(|status| answer(*status)).collect();
            assert_eq!(fitting, *expected, "opcode {opcode:#x}, cas {cas}");
        }
    }
}
