//! Whether bytes begin a request: how a stream that was lost is found again.

use membench_protocol::{Status, request};

use crate::event::Command;

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
    space.is_some_and(|space| Command::of_verb(&bytes[..space]) != Command::Other)
}

/// Whether a plausible header of the binary protocol's requests stands at the start of `bytes`: magic, a known
/// opcode, data type 0, and a body that holds key and extras.
pub(super) fn begins_binary(bytes: &[u8]) -> bool {
    let [
        0x80,
        0..=0x4f,
        key_high,
        key_low,
        extras,
        0,
        _,
        _,
        body @ ..,
    ] = bytes
    else {
        return false;
    };
    let Some(body) = body.first_chunk() else {
        return false;
    };
    let key = u32::from(u16::from_be_bytes([*key_high, *key_low]));
    key + u32::from(*extras) <= u32::from_be_bytes(*body)
}
