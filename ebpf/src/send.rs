//! A send that is done → what memcached answered, as records.

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, programs::BtfTracePointContext};
use membench_common::{Header, counter, kind, program, responses};

use crate::{
    call::{self, Arguments, Shape},
    kernel::{self, Structure},
    maps::{self, Counters, VECTORS},
    record::Composer,
    response::{self, MOST_KEPT},
    single::Call,
    socket::{self, State},
    vector,
};

/// The program `sock_send_length`.
#[inline(always)]
pub fn sent(ctx: &BtfTracePointContext) -> Option<()> {
    let sock = Structure::new(ctx.arg(0))?;
    let length = ctx.arg::<i32>(1);
    if !socket::is_followed(sock) || length <= 0 {
        return None;
    }
    let counters = Counters::of(program::SEND)?;
    counters.add(counter::RESPONSE_CALLS, 1);
    counters.add(counter::RESPONSE_BYTES, u64::from(length as u32));
    if kernel::responses() == responses::NONE {
        return None;
    }
    let state = socket::state(sock, counters, length as u32)?;
    state.note_send(sock, counters, length as u32);
    record(sock, state, counters, length as u32)
}

#[inline(always)]
fn record(sock: Structure, state: &mut State, counters: Counters, length: u32) -> Option<()> {
    // SAFETY: takes no arguments.
    let time = unsafe { bpf_ktime_get_ns() };
    let call = state.response.call;
    state.response.call += 1;
    if !state.announce(sock, counters, time) {
        state
            .response
            .lose(counters, counter::RING_FULL, u64::from(length));
        return None;
    }
    let header = Header {
        kind: kind::RESPONSE,
        call_length: length,
        call,
        ..socket::empty(state.cookie, time)
    };
    if kernel::responses() == responses::LENGTHS {
        let stream = &mut state.response;
        let call = Call {
            stream,
            counters,
            header,
        };
        call.keep_length();
        return Some(());
    }
    let composer = Composer::new(
        maps::send_scratch()?,
        &raw mut state.response,
        counters,
        header,
    );
    match call::sending() {
        Ok(arguments) => keep(composer, arguments),
        Err(cause) => state.response.lose(counters, cause, u64::from(length)),
    }
    Some(())
}

#[inline(always)]
fn keep(composer: Composer, arguments: Arguments) {
    if let Shape::Buffer = arguments.shape {
        let length = composer.left();
        response::add(composer, arguments.address, length, 0);
        composer.emit();
        return;
    }
    vector::walk(composer, arguments, VECTORS as u32, keep_next);
}

/// Adds the current iovec as a part.
extern "C" fn keep_next(_: u64, context: *mut Composer) -> i64 {
    // SAFETY: `vector::walk` passes a composer.
    let composer = unsafe { *context };
    let Some((address, length)) = vector::current(composer) else {
        return 1;
    };
    if composer.room() < MOST_KEPT {
        composer.emit();
    }
    if composer.is_exhausted() {
        return 1;
    }
    let walk = &mut composer.progress().walk;
    if length != 0 {
        walk.value = response::add(composer, address, length, walk.value);
    }
    walk.advance();
    0
}
