//! Lines of an answer → where it ends.

use crate::Response;

/// First words of a refusal that blames the request.
const WRONG: &[&[u8]] = &[
    b"BADCLASS",
    b"Error",
    b"MEMLIMIT_TOO_SMALL",
    b"MISS",
    b"SAME",
];
/// First words of a refusal that blames the server's state.
const UNABLE: &[&[u8]] = &[
    b"MEMLIMIT_ADJUST_FAILED",
    b"NOSPARE",
    b"NOTSTARTED",
    b"WATCHER_FAILED",
    b"WATCHER_TOO_MANY",
];

/// The form of an answer in lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// One line, with a value if it announces one; for a retrieval, values and `END`.
    #[default]
    Single,
    /// `stats`: lines and `END`, or one line of another kind.
    Statistics,
    /// `stats sizes_enable` and `stats sizes_disable`, known until 1.6.18 at least: a line without an `END`, or two if the
    /// first reports an error.
    Setting,
    /// `lru_crawler metadump`: lines and `END`, since 1.6.45 at the latest after an `OK`.
    Dump,
    /// `lru_crawler mgdump`: lines and `EN`, since 1.6.45 at the latest after an `OK`.
    Names,
    /// `watch`: `OK` and a log without end.
    Log,
}

/// Continuation of an answer after one of its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Follows {
    /// Nothing: the line ends the answer.
    Nothing,
    /// At least one line.
    Lines,
    /// Lines until the connection closes.
    Log,
}

/// Reason for which an administrative request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Its arguments are wrong.
    Wrong,
    /// The server cannot do it now.
    Unable,
}

impl Form {
    /// Returns what follows `line`, which begins or continues an answer of this form.
    pub fn after(self, line: &Response<'_>) -> Follows {
        let continues = match self {
            Self::Statistics => matches!(line, Response::Stat(_) | Response::Line(_)),
            Self::Setting => {
                matches!(line, Response::Stat(text) if text.starts_with(b"sizes_status error"))
            }
            Self::Dump | Self::Names => match line {
                Response::Ok => true,
                Response::Line(_) => refusal(line).is_none(),
                _ => false,
            },
            Self::Log if *line == Response::Ok => return Follows::Log,
            Self::Single | Self::Log => false,
        };
        if continues {
            Follows::Lines
        } else {
            Follows::Nothing
        }
    }
}

/// Returns the reason if `line` refuses an administrative request in words of its own.
pub fn refusal(line: &Response<'_>) -> Option<Refusal> {
    let text = match line {
        Response::Busy(_) => return Some(Refusal::Unable),
        Response::Line(text) => *text,
        _ => return None,
    };
    let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    if WRONG.contains(&word) {
        Some(Refusal::Wrong)
    } else {
        UNABLE.contains(&word).then_some(Refusal::Unable)
    }
}
