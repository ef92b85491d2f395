//! A request and a response → the outcome, if the response can answer the request.

use membench_protocol::binary::Code;
use membench_protocol::response::{Kind, Response};
use membench_protocol::{Answers, Form, Letters, Refusal, Request, is_silent, refusal};

use crate::event::{Command, Outcome, Protocol};

/// The facts about a request that decide which responses it can get. Its key and its opaque token are not among them:
/// where a response repeats those, they are compared beside this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The command.
    pub command: Command,
    /// The protocol it was sent in.
    pub protocol: Protocol,
    /// True if every version of memcached answers an error.
    pub refused: bool,
    /// Letters of the meta flags; for a binary request those of its variant.
    pub letters: Letters,
    /// The responses that memcached can give, apart from the key and the token that they repeat.
    pub answers: Answers,
}

impl Asked {
    /// Reads the facts from a request. A meta request never counts as refused: some versions know more flags.
    pub fn new(request: &Request<'_>) -> Self {
        Self {
            command: request.command,
            protocol: match request.opcode {
                Some(_) => Protocol::Binary,
                None if request.meta => Protocol::Meta,
                None => Protocol::Text,
            },
            refused: request.refused && !request.meta,
            letters: request.letters(),
            answers: request.answers(),
        }
    }

    /// Returns the same facts if the server's release is unknown.
    #[must_use]
    pub fn of_any_release(self) -> Self {
        Self {
            answers: self.answers.of_any_release(),
            ..self
        }
    }

    /// The form of the answer in lines.
    #[inline]
    pub fn form(&self) -> Form {
        self.answers.form()
    }

    /// Returns true if memcached withholds the ordinary response.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.letters.has(b'q')
    }

    /// Returns true if the response repeats the key.
    #[inline]
    pub fn returns_key(&self) -> bool {
        self.letters.has(b'k')
    }
}

/// Start of the only error that tells its command.
const NOT_NUMERIC: &[u8] = b"cannot increment or decrement";

/// Most distinct forms that are numbered.
const MOST_FORMS: usize = 250;
/// Number of forms above which old ones are better forgotten.
const MANY_FORMS: usize = 16;

/// Number of an [`Asked`] among [`Forms`].
pub type FormNumber = u8;

/// The distinct [`Asked`] of a connection's open requests, so that a response is judged once for each and not for every
/// request.
#[derive(Debug, Default)]
pub struct Forms(Vec<Asked>);

impl Forms {
    /// Returns the number of a form; `None` if it is new and there are too many.
    pub fn number(&mut self, asked: &Asked) -> Option<FormNumber> {
        let known = self.0.iter().position(|known| known == asked);
        let number = known.or_else(|| {
            let is_room = self.0.len() < MOST_FORMS;
            is_room.then(|| {
                self.0.push(*asked);
                self.0.len() - 1
            })
        });
        number.and_then(|number| FormNumber::try_from(number).ok())
    }

    /// Returns true if numbering afresh would save time.
    pub fn are_many(&self) -> bool {
        self.0.len() > MANY_FORMS
    }

    /// Forgets all forms.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the form with a number.
    pub fn get(&self, form: FormNumber) -> Option<&Asked> {
        self.0.get(usize::from(form))
    }

    /// Yields the forms that memcached can answer with `response`.
    pub fn fitting(&self, response: &Response<'_>) -> impl Iterator<Item = (FormNumber, &Asked)> {
        (0..)
            .zip(&self.0)
            .filter(|(_, asked)| fits(asked, response))
    }
}

/// Returns the outcome of `command` when `response` answers it.
#[inline]
pub fn outcome(command: Command, response: &Response<'_>) -> Outcome {
    match response {
        Response::Value { .. } | Response::MetaDebug(_) => Outcome::Hit,
        Response::End if !matches!(command, Command::Stats | Command::Other) => Outcome::Miss,
        Response::Stored | Response::Number(_) => Outcome::Stored,
        Response::NotStored => Outcome::NotStored,
        Response::Exists => Outcome::Exists,
        Response::NotFound => Outcome::NotFound,
        Response::Deleted => Outcome::Deleted,
        Response::Touched => Outcome::Touched,
        Response::Error | Response::ClientError(_) => Outcome::ClientError,
        Response::ServerError(_) => Outcome::ServerError,
        Response::Meta { kind, letters, .. } => match (kind, command) {
            (Kind::Mn, _) | (Kind::En, Command::Other) => Outcome::Ok,
            (Kind::En, _) => Outcome::Miss,
            (Kind::Ns, _) => Outcome::NotStored,
            (Kind::Ex, _) => Outcome::Exists,
            (Kind::Nf, _) => Outcome::NotFound,
            (_, Command::MetaGet) if letters.has(b'W') => Outcome::Won,
            (_, Command::MetaGet) if letters.has(b'X') => Outcome::Stale,
            (_, Command::MetaGet) => Outcome::Hit,
            (_, Command::MetaDelete) => Outcome::Deleted,
            _ => Outcome::Stored,
        },
        Response::Ok => outcome_of_ok(command),
        Response::Busy(_) | Response::Line(_) => match refusal(response) {
            Some(Refusal::Wrong) => Outcome::ClientError,
            Some(Refusal::Unable) => Outcome::ServerError,
            None => Outcome::Ok,
        },
        Response::End | Response::Version(_) | Response::Reset | Response::Stat(_) => Outcome::Ok,
        Response::Binary(answer) => outcome_of_code(command, answer.code),
    }
}

/// Returns the outcome of a request answered `OK`, as 1.6.9 answers meta commands, too.
fn outcome_of_ok(command: Command) -> Outcome {
    match command {
        Command::MetaGet => Outcome::Hit,
        Command::MetaDelete => Outcome::Deleted,
        Command::MetaSet | Command::MetaArithmetic => Outcome::Stored,
        _ => Outcome::Ok,
    }
}

/// Returns the outcome that the text protocol's response for the same result stands for.
fn outcome_of_code(command: Command, code: Code) -> Outcome {
    use Command as C;
    match code {
        Code::Success => outcome_of_success(command),
        Code::NotFound => match command {
            C::Get | C::Gat => Outcome::Miss,
            C::Replace => Outcome::NotStored,
            C::Stats => Outcome::ClientError,
            _ => Outcome::NotFound,
        },
        Code::Exists if command == C::Add => Outcome::NotStored,
        Code::Exists => Outcome::Exists,
        Code::NotStored => Outcome::NotStored,
        Code::Continue => Outcome::Ok,
        Code::Invalid | Code::NotNumeric | Code::Unauthenticated | Code::Unknown => {
            Outcome::ClientError
        }
        Code::TooLarge | Code::NoMemory | Code::Other(_) => Outcome::ServerError,
    }
}

fn outcome_of_success(command: Command) -> Outcome {
    use Command as C;
    match command {
        C::Get | C::Gat => Outcome::Hit,
        C::Delete => Outcome::Deleted,
        C::Touch => Outcome::Touched,
        C::Incr | C::Decr => Outcome::Stored,
        _ if command.is_storage() => Outcome::Stored,
        _ => Outcome::Ok,
    }
}

/// Returns true for an error line, which may answer any request.
#[inline]
pub fn is_error(response: &Response<'_>) -> bool {
    matches!(
        response,
        Response::Error | Response::ClientError(_) | Response::ServerError(_)
    )
}

/// Returns true if memcached can answer the request with `response`.
///
/// This is the only place that says which responses a request can get. It judges the presence of a repeated key or
/// opaque token, not its content.
pub fn fits(asked: &Asked, response: &Response<'_>) -> bool {
    if asked.refused && !refuses(response) {
        return false;
    }
    if asked.is_quiet() && is_silent(asked.command, response) {
        return false;
    }
    if let Response::ClientError(text) = response
        && text.starts_with(NOT_NUMERIC)
    {
        return matches!(
            asked.command,
            Command::Incr | Command::Decr | Command::MetaArithmetic
        );
    }
    asked.answers.fit(response) && fits_flags(asked, response)
}

/// Returns true if `response` is an error, as memcached answers a request that it refuses.
fn refuses(response: &Response<'_>) -> bool {
    match response {
        Response::Binary(answer) => answer.code != Code::Success,
        _ => is_error(response),
    }
}

/// Returns true if a meta response has what the flags of its request ask for: a value for `v` only, and the key and the
/// opaque token for `k` and `O` only.
///
/// A bare `EN` is a miss of any request: memcached repeats nothing with a miss until 1.6.17, nor, in later releases, with
/// one found in its external storage.
fn fits_flags(asked: &Asked, response: &Response<'_>) -> bool {
    let (kind, given) = match response {
        Response::Meta { kind, letters, .. } => (kind, letters),
        Response::Ok => return !asked.letters.has(b'k') && !asked.letters.has(b'O'),
        _ => return true,
    };
    let repeats = |letter| asked.letters.has(letter) == given.has(letter);
    let fits_value = match kind {
        Kind::Hd => !returns_value(asked),
        Kind::Va => returns_value(asked),
        Kind::Mn => return true,
        Kind::En | Kind::Nf | Kind::Ns | Kind::Ex => true,
    };
    let is_bare_miss = *kind == Kind::En && !given.has(b'k') && !given.has(b'O');
    fits_value && (is_bare_miss || repeats(b'k') && repeats(b'O'))
}

/// Returns true if a success of the request carries a value.
fn returns_value(asked: &Asked) -> bool {
    let carries = matches!(asked.command, Command::MetaGet | Command::MetaArithmetic);
    carries && asked.letters.has(b'v')
}

/// Returns true for `get`, `gets`, `gat` and `gats`, which the text protocol answers with values and `END`.
#[inline]
pub fn is_retrieval(command: Command) -> bool {
    matches!(
        command,
        Command::Get | Command::Gets | Command::Gat | Command::Gats
    )
}

#[cfg(test)]
mod tests {
    use membench_protocol::binary::parse_response;
    use membench_protocol::{Status, response};

    use super::*;

    fn judge_line(command: Command, line: &[u8]) -> (bool, Outcome) {
        let Ok(Status::Complete { value, .. }) = response::parse(line) else {
            panic!("{line:?}");
        };
        (Answers::of(command).fit(&value), outcome(command, &value))
    }

    /// Judges a binary response without a body.
    fn judge_status(command: Command, opcode: u8, status: u8) -> (bool, Outcome) {
        let mut bytes = [0; 24];
        (bytes[0], bytes[1], bytes[7]) = (0x81, opcode, status);
        let Ok(Status::Complete { value, .. }) = parse_response(&bytes) else {
            panic!("{opcode:#x}");
        };
        let response = Response::Binary(value);
        (
            Answers::of(command).fit(&response),
            outcome(command, &response),
        )
    }

    #[test]
    fn text_and_binary_responses_have_the_same_outcome() {
        use Command as C;
        let table: &[(Command, &[u8], u8, u8, Outcome)] = &[
            (C::Get, b"END\r\n", 0x00, 0x01, Outcome::Miss),
            (C::Gat, b"VALUE k 0 1\r\n", 0x1d, 0x00, Outcome::Hit),
            (C::Set, b"STORED\r\n", 0x11, 0x00, Outcome::Stored),
            (
                C::Set,
                b"SERVER_ERROR object too large for cache\r\n",
                0x01,
                0x03,
                Outcome::ServerError,
            ),
            (C::Add, b"NOT_STORED\r\n", 0x02, 0x02, Outcome::NotStored),
            (
                C::Replace,
                b"NOT_STORED\r\n",
                0x03,
                0x01,
                Outcome::NotStored,
            ),
            (C::Append, b"NOT_STORED\r\n", 0x0e, 0x05, Outcome::NotStored),
            (C::Cas, b"EXISTS\r\n", 0x01, 0x02, Outcome::Exists),
            (C::Cas, b"NOT_FOUND\r\n", 0x03, 0x01, Outcome::NotFound),
            (C::Delete, b"DELETED\r\n", 0x04, 0x00, Outcome::Deleted),
            (C::Delete, b"NOT_FOUND\r\n", 0x14, 0x01, Outcome::NotFound),
            (C::Incr, b"5\r\n", 0x05, 0x00, Outcome::Stored),
            (
                C::Decr,
                b"CLIENT_ERROR non-numeric\r\n",
                0x06,
                0x06,
                Outcome::ClientError,
            ),
            (C::Touch, b"TOUCHED\r\n", 0x1c, 0x00, Outcome::Touched),
            (C::Stats, b"ERROR\r\n", 0x10, 0x01, Outcome::ClientError),
            (C::FlushAll, b"OK\r\n", 0x08, 0x00, Outcome::Ok),
            (C::MetaNoop, b"MN\r\n", 0x0a, 0x00, Outcome::Ok),
            (C::Other, b"ERROR\r\n", 0x30, 0x81, Outcome::ClientError),
        ];
        for (command, line, opcode, status, expected) in table {
            assert_eq!(judge_line(*command, line), (true, *expected), "{command:?}");
            let binary = judge_status(*command, *opcode, *status);
            assert_eq!(binary, (true, *expected), "{command:?}");
        }
    }

    #[test]
    fn a_response_fits_only_its_own_command() {
        assert!(!judge_status(Command::Get, 0x01, 0).0);
        assert!(!judge_status(Command::Set, 0x04, 0).0);
        assert!(!judge_status(Command::Other, 0x00, 0).0);
        assert!(!judge_line(Command::Set, b"DELETED\r\n").0);
        assert!(!judge_line(Command::MetaSet, b"STORED\r\n").0);
    }
}
