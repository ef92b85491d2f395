//! Responses → what they say of their event.

use membench_protocol::MetaFlags;
use membench_protocol::response::Response;

use membench_event::answer;
use membench_event::{Command, Outcome};

/// What a response says of the event it belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reply {
    pub(super) outcome: Option<Outcome>,
    pub(super) value_size: Option<u32>,
    pub(super) cas: Option<u64>,
}

/// What a response that ends a one-event request says of it.
pub(super) fn reply(command: Command, response: &Response<'_>) -> Reply {
    let outcome = Some(answer::outcome(command, response));
    match response {
        Response::Meta { size, flags, .. } => Reply {
            outcome,
            value_size: size
                .or_else(|| number(flags, b's').and_then(|size| u32::try_from(size).ok()))
                .filter(|_| command == Command::MetaGet),
            cas: number(flags, b'c'),
        },
        Response::Binary(answer) => Reply {
            outcome,
            value_size: response.value_size(),
            cas: Some(answer.cas).filter(|cas| *cas != 0),
        },
        _ => Reply {
            outcome,
            ..Reply::default()
        },
    }
}

/// A meta response's number behind `letter`.
fn number(flags: &MetaFlags<'_>, letter: u8) -> Option<u64> {
    core::str::from_utf8(flags.token(letter)?)
        .ok()?
        .parse()
        .ok()
}
