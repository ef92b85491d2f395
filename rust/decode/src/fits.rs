//! Which responses can answer which open requests.

use membench_protocol::binary::Code;
use membench_protocol::response::{Kind, Response};
use membench_protocol::{Key, is_silent};

use membench_event::answer;

use super::context::Context;
use super::open::{Open, tag};

/// What a response repeats of its request.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The keyed id of its opaque token; of a binary response its [`tag`].
    pub(super) opaque: Option<u64>,
    /// The keyed id of its key.
    pub(super) key: Option<u64>,
}

impl Names {
    pub(super) fn of(context: &Context, response: &Response<'_>) -> Self {
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

/// Whether `response` can be the answer to `open`.
pub(super) fn fits(open: &Open, response: &Response<'_>, names: &Names) -> bool {
    if !answer::fits(open.command, response) || open.refused && !refuses(response) {
        return false;
    }
    if open.quiet && is_silent(open.command, response) {
        return false;
    }
    match response {
        Response::Meta { kind, .. } => *kind == Kind::Mn || names_fit(open, *kind, names),
        Response::Binary(_) => {
            open.opaque == names.opaque && (names.key.is_none() || open.key == names.key)
        }
        _ => true,
    }
}

/// Whether a response is one to a request that memcached does not take.
fn refuses(response: &Response<'_>) -> bool {
    match response {
        Response::Binary(answer) => answer.code != Code::Success,
        _ => answer::is_error(response),
    }
}

/// Whether a meta response repeats what the request wants repeated. A miss may answer `EN` without the key.
fn names_fit(open: &Open, kind: Kind, names: &Names) -> bool {
    let key_fits = match (open.returns_key, names.key) {
        (true, None) => kind == Kind::En,
        (true, key) => open.key == key,
        (false, key) => key.is_none(),
    };
    open.opaque == names.opaque && key_fits
}
