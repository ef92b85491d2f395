//! `recvmmsg` and `sendmmsg` → the message of the call that has just moved.
//!
//! Socket hooks fire once a message and do not say which. A receive goes from message to message until one fails or the
//! array ends; a send also ends with a message that goes out in part. So messages are counted as they come, and where
//! that is not certain, none counts as located.

use membench_bpf_lib::abi::MMSGHDR;

use crate::{
    call::{
        iovec,
        registers::{Arguments, Shape},
    },
    scratch::Draft,
    stream::place::Place,
};

/// Most iovecs of a sent message for which it can be told whether the whole message was sent.
const SUMMED: u64 = 4;

/// Returns the message that a receive has just filled; `None` if that cannot be told.
#[inline(always)]
pub fn received(place: &mut Place, call: Arguments) -> Option<Arguments> {
    if call.has_timeout {
        // The call can end between two messages, and no hook shows that.
        place.reset();
        return (call.count == 1).then(|| message(call, 0));
    }
    let index = place.advance(call.address, call.count)?;
    Some(message(call, index))
}

/// Returns the message from which a send has just taken `length` bytes; `None` if that cannot be told.
#[inline(always)]
pub fn sent(
    place: &mut Place,
    call: Arguments,
    draft: &mut Draft,
    length: u32,
) -> Option<Arguments> {
    let index = place.advance(call.address, call.count)?;
    let message = message(call, index);
    let count = iovec::copy(draft, message);
    if call.count > 1 && count > SUMMED {
        place.lose();
        return Some(message);
    }
    let mut whole = 0;
    for index in 0..SUMMED {
        let [_, length] = draft.vectors[index as usize];
        whole += if index < count { length } else { 0 };
    }
    if whole != u64::from(length) {
        place.reset();
    }
    Some(message)
}

#[inline(always)]
fn message(call: Arguments, index: u32) -> Arguments {
    Arguments {
        shape: Shape::Message,
        address: call.address + u64::from(index) * MMSGHDR,
        follows: index > 0,
        ..call
    }
}
