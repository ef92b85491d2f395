//! A response that ends a one-event request → the fields it sets on the event.

use membench_protocol::MetaFlags;
use membench_protocol::response::Response;

use membench_event::{Command, Outcome, answer};

/// Fields that a response sets on its event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) outcome: Option<Outcome>,
    pub(super) value_size: Option<u32>,
    pub(super) cas: Option<u64>,
}

impl Reply {
    /// Reads the reply to `command` from a response that ends a one-event request.
    pub(super) fn new(command: Command, response: &Response<'_>) -> Self {
        let outcome = Some(answer::outcome(command, response));
        match response {
            Response::Meta {
                size,
                flags,
                letters,
                ..
            } => {
                let number = |letter| {
                    let is_given = letters.has(letter);
                    is_given.then(|| number(flags, letter)).flatten()
                };
                Self {
                    outcome,
                    value_size: size
                        .or_else(|| number(b's').and_then(|size| u32::try_from(size).ok()))
                        .filter(|_| command == Command::MetaGet),
                    cas: number(b'c'),
                }
            }
            Response::Binary(answer) => Self {
                outcome,
                value_size: response.value_size(),
                cas: Some(answer.cas).filter(|cas| *cas != 0),
            },
            _ => Self {
                outcome,
                ..Self::default()
            },
        }
    }
}

impl Reply {
    /// Reply of a quiet request that was not answered.
    pub(super) const SUPPRESSED: Self = Self {
        outcome: Some(Outcome::Suppressed),
        value_size: None,
        cas: None,
    };

    /// Keeps only what the reply has in common with another that is as possible.
    pub(super) fn agree(&mut self, other: &Self) {
        fn common<T: Copy + PartialEq>(one: Option<T>, other: Option<T>) -> Option<T> {
            if one == other { one } else { None }
        }
        self.outcome = common(self.outcome, other.outcome);
        self.value_size = common(self.value_size, other.value_size);
        self.cas = common(self.cas, other.cas);
    }
}

/// Returns the number that follows flag `letter` in a meta response.
fn number(flags: &MetaFlags<'_>, letter: u8) -> Option<u64> {
    core::str::from_utf8(flags.token(letter)?)
        .ok()?
        .parse()
        .ok()
}
