//! A command and what came of it → whether a quiet request goes without that answer.

use crate::Command;
use crate::binary::Code;
use crate::response::{Kind, Response};

/// Whether a quiet `command` is never answered by `response`. Meta arithmetic may be by any: its ordinary outcome is
/// answered where it made its counter.
pub fn is_silent(command: Command, response: &Response<'_>) -> bool {
    command != Command::MetaArithmetic && is_ordinary(command, response)
}

/// Whether `response` is the ordinary outcome of `command`, which memcached does not answer to a quiet request: the miss
/// of a retrieval, the success of anything else. Meta arithmetic that creates its counter is answered all the same.
pub fn is_ordinary(command: Command, response: &Response<'_>) -> bool {
    match response {
        Response::Meta { kind, .. } => match command {
            Command::MetaGet => *kind == Kind::En,
            Command::MetaSet | Command::MetaDelete => *kind == Kind::Hd,
            Command::MetaArithmetic => matches!(kind, Kind::Hd | Kind::Va),
            _ => false,
        },
        Response::Binary(answer) => match command {
            Command::Get | Command::Gat => answer.code == Code::NotFound,
            _ => answer.code == Code::Success,
        },
        _ => false,
    }
}
