//! An open request and a response → whether the response can be its answer: by command, quietness, opaque and key.

use membench_protocol::binary::Code;
use membench_protocol::response::{Kind, Response};
use membench_protocol::{Key, is_silent};

use membench_event::answer;

use super::context::Context;
use super::open_requests::{Open, tag};

/// The fields of its request that a response echoes.
#[derive(Debug, Default)]
pub(super) struct Echo {
    /// Keyed id of the opaque token; for a binary response its [`tag`].
    pub(super) opaque: Option<u64>,
    /// Keyed id of the key.
    pub(super) key: Option<u64>,
}

impl Echo {
    pub(super) fn new(context: &Context, response: &Response<'_>) -> Self {
        match response {
            Response::Meta { flags, .. } => Self {
                opaque: flags.token(b'O').map(|token| context.hasher.id(token)),
                key: flags
                    .token(b'k')
                    .map(|word| context.key_id(&Key::new(word, flags.has(b'b')))),
            },
            Response::Binary(answer) => Self {
                opaque: Some(tag(answer.opcode, answer.opaque)),
                key: answer
                    .key
                    .filter(|key| answer.opcode.returns_key() && !key.is_empty())
                    .map(|key| context.hasher.id(key)),
            },
            _ => Self::default(),
        }
    }
}

/// True if `response`, which echoes `echo`, can be the answer to `open`.
pub(super) fn fits(open: &Open, response: &Response<'_>, echo: &Echo) -> bool {
    if !open.answers.fit(response) || open.refused && !refuses(response) {
        return false;
    }
    if open.quiet && is_silent(open.command, response) {
        return false;
    }
    match response {
        Response::Meta { kind, .. } => *kind == Kind::Mn || echo_fits(open, *kind, echo),
        Response::Ok => open.opaque.is_none() && !open.returns_key,
        Response::Binary(_) => {
            open.opaque == echo.opaque && (echo.key.is_none() || open.key == echo.key)
        }
        _ => true,
    }
}

/// True if `response` is an error, as memcached answers a request that it refuses.
fn refuses(response: &Response<'_>) -> bool {
    match response {
        Response::Binary(answer) => answer.code != Code::Success,
        _ => answer::is_error(response),
    }
}

/// True if a meta response echoes exactly the fields that the request asked for. A bare `EN` is a miss of any request:
/// memcached echoes nothing with a miss until 1.6.17, nor, in later releases, with one found in its external storage.
fn echo_fits(open: &Open, kind: Kind, echo: &Echo) -> bool {
    if kind == Kind::En && echo.key.is_none() && echo.opaque.is_none() {
        return true;
    }
    let key = if open.returns_key { open.key } else { None };
    open.opaque == echo.opaque && key == echo.key
}
