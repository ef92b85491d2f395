//! A command and a response → true if memcached withholds that response from a quiet request.

use crate::Command;
use crate::binary::Code;
use crate::response::{Kind, Response};

/// Returns true if memcached never answers a quiet `command` with `response`. Always false for meta arithmetic: if a
/// request creates its counter, memcached answers even the ordinary outcome.
pub fn is_silent(command: Command, response: &Response<'_>) -> bool {
    command != Command::MetaArithmetic && is_ordinary(command, response)
}

/// Returns true if `response` is the ordinary outcome of `command`: the miss of a retrieval, the success of anything
/// else. memcached withholds it from a quiet request, except from meta arithmetic that created its counter.
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
        Response::Ok => matches!(
            command,
            Command::MetaSet | Command::MetaDelete | Command::MetaArithmetic
        ),
        _ => false,
    }
}
