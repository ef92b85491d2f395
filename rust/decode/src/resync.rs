//! Bytes → whether a request starts there: how the decoder finds its way back into a stream after a loss.

use membench_protocol::{Status, binary, request};

use membench_event::Command;

/// Longest prefix searched for a verb: `flush_all` and `verbosity` fit with the space after them.
const LONGEST_VERB: usize = 12;

/// True if `bytes` start with a well-formed text or meta request whose verb is known. With `partial`, the line may
/// still be incomplete.
pub(super) fn begins_request(bytes: &[u8], partial: bool) -> bool {
    match request::parse(bytes) {
        Ok(Status::Complete { value, .. }) => !value.refused && value.command != Command::Other,
        Ok(Status::Partial) => partial && begins_with_verb(bytes),
        Err(_) => false,
    }
}

/// True if `bytes` start with a known verb and a space.
fn begins_with_verb(bytes: &[u8]) -> bool {
    let longest = bytes.len().min(LONGEST_VERB);
    let space = bytes[..longest].iter().position(|byte| *byte == b' ');
    space.is_some_and(|space| Command::from_verb(&bytes[..space]) != Command::Other)
}

/// True if `bytes` start with a whole binary request that either ends them or is followed by another request.
pub(super) fn begins_whole_message(bytes: &[u8]) -> bool {
    if !binary::begins_request(bytes, false) {
        return false;
    }
    let Ok(Status::Complete { value, consumed }) = binary::parse_request(bytes) else {
        return false;
    };
    let end = consumed.saturating_add(usize::try_from(value.block_size()).unwrap_or(usize::MAX));
    bytes
        .get(end..)
        .is_some_and(|rest| rest.is_empty() || binary::begins_request(rest, true))
}
