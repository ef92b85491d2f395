//! A send that is done → what memcached answered, as records.

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, programs::BtfTracePointContext};
use membench_common::{Header, counter, kind, program, responses};

use crate::{
    call::{self, Arguments, Shape},
    datagram, hit,
    kernel::{self, Structure},
    maps::{self, Counters, Scratch, VECTORS},
    record::Composer,
    response::{self, MOST_KEPT},
    single::{Call, SHORT},
    socket::{self, State},
    vector,
};

/// The program `sock_send_length`.
#[inline(always)]
pub fn sent(ctx: &BtfTracePointContext) -> Option<()> {
    let sock = Structure::new(ctx.arg(0))?;
    let length = ctx.arg::<i32>(1);
    if !socket::is_followed(sock) {
        return None;
    }
    if length <= 0 {
        return failed(sock);
    }
    let counters = Counters::of(program::SEND)?;
    counters.add(counter::RESPONSE_CALLS, 1);
    counters.add(counter::RESPONSE_BYTES, u64::from(length as u32));
    if kernel::responses() == responses::NONE {
        return None;
    }
    if datagram::is_datagram(sock) {
        return datagram::sent(sock, counters, length as u32, call::sending());
    }
    let state = socket::state(sock, counters, length as u32)?;
    state.note_send(sock, counters, length as u32);
    record(sock, state, counters, length as u32)
}

/// A send that moved nothing ends a call with several messages.
#[inline(always)]
fn failed(sock: Structure) -> Option<()> {
    let state = maps::known_state(sock)?;
    // SAFETY: a map's value; the kernel keeps it while the program runs.
    unsafe { (*state).response.place.reset() };
    None
}

#[inline(always)]
fn record(sock: Structure, state: &mut State, counters: Counters, length: u32) -> Option<()> {
    // SAFETY: takes no arguments.
    let time = unsafe { bpf_ktime_get_ns() };
    let call = state.response.call;
    state.response.call += 1;
    if maps::is_unattended(time) {
        state
            .response
            .lose(counters, counter::UNATTENDED, u64::from(length));
        return None;
    }
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
    let mut call = Call {
        stream: &mut state.response,
        counters,
        header,
    };
    if kernel::responses() == responses::LENGTHS {
        call.keep_length();
        return Some(());
    }
    let scratch = maps::send_scratch()?;
    match call::sending().and_then(|arguments| located(&mut call, scratch, arguments)) {
        Ok(arguments) => keep(call, scratch, arguments),
        Err(cause) => call.stream.lose(counters, cause, u64::from(length)),
    }
    Some(())
}

/// A call's one buffer or message.
#[inline(always)]
fn located(
    call: &mut Call<'_>,
    scratch: *mut Scratch,
    arguments: Arguments,
) -> Result<Arguments, u32> {
    let place = &mut call.stream.place;
    let Shape::Messages = arguments.shape else {
        place.reset();
        return Ok(arguments);
    };
    place
        .sent(arguments, scratch, call.header.call_length)
        .ok_or(counter::OTHER_SYSCALL)
}

#[inline(always)]
fn keep(call: Call<'_>, scratch: *mut Scratch, arguments: Arguments) {
    let length = call.header.call_length;
    let (address, in_first, count) = match arguments.shape {
        Shape::Buffer => (arguments.address, u64::from(length), 0),
        Shape::Vectors | Shape::Message | Shape::Messages => {
            let count = vector::copy(scratch, arguments);
            let [address, in_first] = vector::vector(scratch, 0);
            (address, if count == 0 { 0 } else { in_first }, count)
        }
    };
    let is_single = in_first >= u64::from(length);
    if is_single && length as usize <= SHORT {
        return call.keep_short(address);
    }
    let Some(call) = hit::keep(call, scratch, count) else {
        return;
    };
    let composer = Composer::new(scratch, call.stream, call.counters, call.header);
    if is_single {
        response::add(composer, address, u64::from(length), 0);
        composer.emit();
    } else {
        vector::walk(composer, count, VECTORS as u32, keep_next);
    }
}

/// Adds the current iovec as a part.
pub extern "C" fn keep_next(_: u64, context: *mut Composer) -> i64 {
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
