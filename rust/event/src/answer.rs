//! A command and a response → the outcome, if the response can answer the command.

use membench_protocol::binary::Code;
use membench_protocol::response::{Kind, Response};
use membench_protocol::{Answers, Refusal, refusal};

use crate::event::{Command, Outcome};

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
        Response::Meta { kind, flags, .. } => match (kind, command) {
            (Kind::Mn, _) | (Kind::En, Command::Other) => Outcome::Ok,
            (Kind::En, _) => Outcome::Miss,
            (Kind::Ns, _) => Outcome::NotStored,
            (Kind::Ex, _) => Outcome::Exists,
            (Kind::Nf, _) => Outcome::NotFound,
            (_, Command::MetaGet) if flags.has(b'W') => Outcome::Won,
            (_, Command::MetaGet) if flags.has(b'X') => Outcome::Stale,
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

/// Returns true if memcached can answer some request of `command` with `response`.
#[inline]
pub fn fits(command: Command, response: &Response<'_>) -> bool {
    Answers::of(command).fit(response)
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
        (fits(command, &value), outcome(command, &value))
    }

    /// Judges a binary response without a body.
    fn judge_status(command: Command, opcode: u8, status: u8) -> (bool, Outcome) {
        let mut bytes = [0; 24];
        (bytes[0], bytes[1], bytes[7]) = (0x81, opcode, status);
        let Ok(Status::Complete { value, .. }) = parse_response(&bytes) else {
            panic!("{opcode:#x}");
        };
        let response = Response::Binary(value);
        (fits(command, &response), outcome(command, &response))
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
