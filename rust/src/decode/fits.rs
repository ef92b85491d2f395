//! Which responses can answer which requests.

use membench_protocol::Key;
use membench_protocol::response::{Kind, Response};

use crate::event::Command;

use super::context::Context;
use super::open::Open;

/// What a meta response repeats of its request, as keyed ids.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Of the opaque token.
    pub(super) opaque: Option<u64>,
    /// Of the key.
    pub(super) key: Option<u64>,
}

impl Names {
    pub(super) fn of(context: &Context, response: &Response<'_>) -> Self {
        let Response::Meta { flags, .. } = response else {
            return Self::default();
        };
        let key = flags
            .token(b'k')
            .map(|word| Key::new(word, flags.has(b'b')));
        Self {
            opaque: flags.token(b'O').map(|token| context.hasher.id(token)),
            key: key.map(|key| context.key_id(&key)),
        }
    }
}

/// Whether `response` can be the answer to `open`.
pub(super) fn fits(open: &Open, response: &Response<'_>, names: &Names) -> bool {
    if !fits_command(open, response) {
        return false;
    }
    let Response::Meta { kind, .. } = response else {
        return true;
    };
    if *kind == Kind::Mn {
        return true;
    }
    // A miss may answer `EN` without the key.
    let key_fits = match (open.returns_key, names.key) {
        (true, None) => *kind == Kind::En,
        (true, key) => open.key == key,
        (false, key) => key.is_none(),
    };
    open.opaque == names.opaque && key_fits
}

pub(super) fn is_retrieval(command: Command) -> bool {
    matches!(
        command,
        Command::Get | Command::Gets | Command::Gat | Command::Gats
    )
}

fn is_storage(command: Command) -> bool {
    use Command::{Add, Append, Cas, Prepend, Replace, Set};
    matches!(command, Set | Add | Replace | Append | Prepend | Cas)
}

/// Whether memcached can answer `open` with `response`.
fn fits_command(open: &Open, response: &Response<'_>) -> bool {
    let command = open.command;
    match response {
        Response::Error | Response::ClientError(_) | Response::ServerError(_) => true,
        _ if open.refused => false,
        _ if command == Command::Other => !matches!(response, Response::Value { .. }),
        Response::Value { .. } => is_retrieval(command),
        Response::End => is_retrieval(command) || command == Command::Stats,
        Response::Stored | Response::NotStored | Response::Exists => is_storage(command),
        Response::NotFound => {
            is_storage(command)
                || matches!(
                    command,
                    Command::Delete | Command::Incr | Command::Decr | Command::Touch
                )
        }
        Response::Deleted => command == Command::Delete,
        Response::Touched => command == Command::Touch,
        Response::Number(_) => matches!(command, Command::Incr | Command::Decr),
        Response::Ok => {
            matches!(
                command,
                Command::FlushAll | Command::Verbosity | Command::Stats
            )
        }
        Response::Version(_) => command == Command::Version,
        Response::Stat(_) | Response::Reset | Response::Busy(_) | Response::Line(_) => {
            command == Command::Stats
        }
        Response::Meta { kind, .. } => fits_meta(command, *kind),
        Response::MetaDebug(_) => command == Command::MetaDebug,
    }
}

fn fits_meta(command: Command, kind: Kind) -> bool {
    use Command::{MetaArithmetic, MetaDebug, MetaDelete, MetaGet, MetaNoop, MetaSet};
    match kind {
        Kind::Mn => command == MetaNoop,
        Kind::En => matches!(command, MetaGet | MetaDebug),
        Kind::Va => matches!(command, MetaGet | MetaArithmetic),
        Kind::Hd => matches!(command, MetaGet | MetaSet | MetaDelete | MetaArithmetic),
        Kind::Nf => matches!(command, MetaSet | MetaDelete | MetaArithmetic),
        Kind::Ns => matches!(command, MetaSet | MetaArithmetic),
        Kind::Ex => matches!(command, MetaSet | MetaDelete | MetaArithmetic),
    }
}
