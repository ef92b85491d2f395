//! Responses → what they say of their event.

use membench_protocol::MetaFlags;
use membench_protocol::response::{Kind, Response};

use crate::event::{Command, Outcome};

/// What a response says of the event it belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reply {
    pub(super) outcome: Option<Outcome>,
    pub(super) value_size: Option<u32>,
    pub(super) cas: Option<u64>,
}

/// A meta response's number behind `letter`.
fn number(flags: &MetaFlags<'_>, letter: u8) -> Option<u64> {
    core::str::from_utf8(flags.token(letter)?)
        .ok()?
        .parse()
        .ok()
}

/// What a response that ends a one-event request says of it.
pub(super) fn reply(command: Command, response: &Response<'_>) -> Reply {
    let outcome = match response {
        Response::Stored | Response::Number(_) => Outcome::Stored,
        Response::NotStored => Outcome::NotStored,
        Response::Exists => Outcome::Exists,
        Response::NotFound => Outcome::NotFound,
        Response::Deleted => Outcome::Deleted,
        Response::Touched => Outcome::Touched,
        Response::Error | Response::ClientError(_) => Outcome::ClientError,
        Response::ServerError(_) => Outcome::ServerError,
        Response::MetaDebug(_) => Outcome::Hit,
        Response::Meta { .. } => return meta_reply(command, response),
        Response::End
        | Response::Ok
        | Response::Version(_)
        | Response::Reset
        | Response::Stat(_)
        | Response::Busy(_)
        | Response::Line(_)
        | Response::Value { .. } => Outcome::Ok,
    };
    Reply {
        outcome: Some(outcome),
        ..Reply::default()
    }
}

fn meta_reply(command: Command, response: &Response<'_>) -> Reply {
    let Response::Meta { kind, size, flags } = response else {
        return Reply::default();
    };
    let outcome = match (kind, command) {
        (Kind::Mn, _) => Outcome::Ok,
        (Kind::En, _) => Outcome::Miss,
        (Kind::Ns, _) => Outcome::NotStored,
        (Kind::Ex, _) => Outcome::Exists,
        (Kind::Nf, _) => Outcome::NotFound,
        (_, Command::MetaGet) if flags.has(b'W') => Outcome::Won,
        (_, Command::MetaGet) if flags.has(b'X') => Outcome::Stale,
        (_, Command::MetaGet) => Outcome::Hit,
        (_, Command::MetaDelete) => Outcome::Deleted,
        _ => Outcome::Stored,
    };
    let returned =
        || size.or_else(|| number(flags, b's').and_then(|size| u32::try_from(size).ok()));
    let value_size = if command == Command::MetaGet {
        returned()
    } else {
        None
    };
    Reply {
        outcome: Some(outcome),
        value_size,
        cas: number(flags, b'c'),
    }
}
