//! A command and the line that answers it → outcome.

use membench_protocol::Response;
use membench_protocol::response::Kind;

use crate::event::{Command, Outcome};

/// What a line says of the request it answers.
pub(super) fn outcome(command: Command, response: &Response<'_>) -> Outcome {
    match response {
        Response::Value { .. } | Response::MetaDebug(_) => Outcome::Hit,
        Response::End if command != Command::Stats => Outcome::Miss,
        Response::Stored | Response::Number(_) => Outcome::Stored,
        Response::NotStored => Outcome::NotStored,
        Response::Exists => Outcome::Exists,
        Response::NotFound => Outcome::NotFound,
        Response::Deleted => Outcome::Deleted,
        Response::Touched => Outcome::Touched,
        Response::Error | Response::ClientError(_) => Outcome::ClientError,
        Response::ServerError(_) => Outcome::ServerError,
        Response::Meta { kind, flags, .. } => match (kind, command) {
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
        },
        Response::End
        | Response::Ok
        | Response::Version(_)
        | Response::Reset
        | Response::Stat(_)
        | Response::Busy(_)
        | Response::Line(_) => Outcome::Ok,
    }
}

/// Whether a line is an error.
pub(super) fn is_error(response: &Response<'_>) -> bool {
    matches!(
        response,
        Response::Error | Response::ClientError(_) | Response::ServerError(_)
    )
}

/// Whether memcached can answer `command` with this line.
pub(super) fn fits(command: Command, response: &Response<'_>) -> bool {
    use Command as C;
    match response {
        Response::Error | Response::ClientError(_) | Response::ServerError(_) => true,
        Response::Value { .. } => is_retrieval(command),
        Response::End => is_retrieval(command) || command == C::Stats,
        Response::Stored | Response::NotStored | Response::Exists => {
            command.is_storage() && !command.is_meta()
        }
        Response::NotFound => matches!(
            command,
            C::Delete | C::Incr | C::Decr | C::Touch | C::Cas | C::Replace
        ),
        Response::Deleted => command == C::Delete,
        Response::Touched => command == C::Touch,
        Response::Number(_) => matches!(command, C::Incr | C::Decr),
        Response::Ok => matches!(command, C::FlushAll | C::Verbosity | C::Stats),
        Response::Version(_) => command == C::Version,
        Response::Meta { kind, .. } => fits_meta(command, *kind),
        Response::MetaDebug(_) => command == C::MetaDebug,
        Response::Stat(_) | Response::Reset | Response::Busy(_) | Response::Line(_) => {
            matches!(command, C::Stats | C::Other)
        }
    }
}

/// `get`, `gets`, `gat`, `gats`: answered by values and `END`.
pub(super) fn is_retrieval(command: Command) -> bool {
    matches!(
        command,
        Command::Get | Command::Gets | Command::Gat | Command::Gats
    )
}

fn fits_meta(command: Command, kind: Kind) -> bool {
    use Command as C;
    match kind {
        Kind::Mn => command == C::MetaNoop,
        Kind::En => matches!(command, C::MetaGet | C::MetaDebug),
        Kind::Va => matches!(command, C::MetaGet | C::MetaArithmetic),
        Kind::Hd => command.is_meta() && !matches!(command, C::MetaNoop | C::MetaDebug),
        Kind::Nf | Kind::Ex => matches!(command, C::MetaSet | C::MetaDelete | C::MetaArithmetic),
        Kind::Ns => matches!(command, C::MetaSet | C::MetaArithmetic),
    }
}
