//! Whether bytes begin a request: how a stream that was lost is found again.

use membench_protocol::{Status, request};

use membench_event::Command;

/// `flush_all`, `verbosity` and a space fit.
const LONGEST_VERB: usize = 12;

/// Whether a well-formed request of a known verb stands at the start of `bytes`; with `partial`, its line may end
/// later.
pub(super) fn begins_request(bytes: &[u8], partial: bool) -> bool {
    match request::parse(bytes) {
        Ok(Status::Complete { value, .. }) => !value.refused && value.command != Command::Other,
        Ok(Status::Partial) => partial && begins_with_verb(bytes),
        Err(_) => false,
    }
}

/// Whether a known verb and a space stand at the start of `bytes`.
fn begins_with_verb(bytes: &[u8]) -> bool {
    let longest = bytes.len().min(LONGEST_VERB);
    let space = bytes[..longest].iter().position(|byte| *byte == b' ');
    space.is_some_and(|space| Command::from_verb(&bytes[..space]) != Command::Other)
}
