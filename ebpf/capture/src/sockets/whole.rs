//! A call in which every byte may count → records: a server's receive, or either call of a client.

use crate::{
    call::{
        iovec,
        registers::{Arguments, Shape},
    },
    keep::{
        composer::Composer,
        inline::{Call, LONG, SHORT},
        rules,
    },
    scratch::Draft,
    sockets::walk,
};

/// Keeps every byte of a call; of one buffer only the ends, unless `is_whole` or it is short.
#[inline(always)]
pub fn keep(call: Call<'_>, draft: Option<&mut Draft>, arguments: Arguments, is_whole: bool) {
    if let Shape::Buffer = arguments.shape
        && call.header.call_length as usize <= LONG
    {
        return keep_inline(call, arguments.address);
    }
    let Some(draft) = draft else {
        return;
    };
    let mut composer = Composer::new(draft, call.stream, call.counters, call.header);
    match arguments.shape {
        Shape::Buffer if is_whole => rules::keep_whole(&mut composer, arguments.address),
        Shape::Buffer => rules::keep_ends(&mut composer, arguments.address),
        // memcached does not read into iovecs, but other servers do, and clients write from them.
        Shape::Vectors | Shape::Message | Shape::Messages => {
            let count = iovec::copy(composer.draft, arguments);
            walk::keep_whole(composer, count);
        }
    }
}

#[inline(always)]
fn keep_inline(call: Call<'_>, address: u64) {
    if call.header.call_length as usize <= SHORT {
        call.keep_short(address);
    } else {
        call.keep_long(address);
    }
}
