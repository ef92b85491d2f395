//! A send that is done → what was sent, as records.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::{
    counters::Counters,
    kernel::{Sock, Structure},
};
use membench_common::{counter, program, responses};

use crate::{
    call::{
        messages,
        registers::{self, Arguments, Shape},
    },
    follow,
    keep::{
        composer::Composer,
        datagram::count_unconnected,
        hit,
        inline::{Call, SHORT},
        response,
        rules::{self, LONGEST_WHOLE, Moved},
    },
    scratch::{self, Draft},
    sockets::{
        datagram,
        standby::{self, Way},
        walk, whole,
    },
    stream::{place, state::State, storage},
};

/// The program `sock_send_length`, or its standby.
#[inline(always)]
pub fn sent<const STANDBY: bool>(ctx: &BtfTracePointContext) -> Option<()> {
    let sock = Structure::new(ctx.arg(0))?;
    let length = ctx.arg::<i32>(1);
    if !follow::is_followed(sock, storage::outlived_port) {
        if STANDBY {
            return None;
        }
        return count_unconnected(
            sock,
            length,
            program::SEND,
            scratch::for_sends::<false>,
            registers::sending,
        );
    }
    if length <= 0 {
        return failed(sock);
    }
    if STANDBY && standby::is_done(sock, Way::Send) {
        return None;
    }
    let length = length as u32;
    let counters = Counters::for_program(if STANDBY {
        program::SEND_STANDBY
    } else {
        program::SEND
    })?;
    rules::count_send(counters, length);
    standby::note::<STANDBY>(sock, Way::Send, counters);
    if !follow::is_client() && follow::responses() == responses::NONE {
        return None;
    }
    let moved = Moved::new(sock, counters, length);
    if sock.is_udp() {
        return datagram::sent::<STANDBY>(moved);
    }
    let Some(state) = storage::stream_state(sock, counters, length) else {
        standby::note_stateless::<STANDBY>(sock, Way::Send);
        return None;
    };
    state.note_send(sock, counters, length);
    record::<STANDBY>(moved, state)
}

/// A send that moved nothing ends a call with several messages.
#[inline(always)]
fn failed(sock: Structure) -> Option<()> {
    if !place::may_be_open() {
        return None;
    }
    storage::known_state(sock)?.sent().place.reset();
    None
}

#[inline(always)]
fn record<const STANDBY: bool>(moved: Moved<Structure>, state: &mut State) -> Option<()> {
    let header = rules::begin_send(moved, state)?;
    let mut call = Call {
        stream: state.sent(),
        counters: moved.counters,
        header,
    };
    if !follow::is_client() && follow::responses() == responses::LENGTHS {
        call.keep_length();
        return Some(());
    }
    let draft = &mut scratch::for_sends::<STANDBY>()?.draft;
    match registers::sending().and_then(|arguments| located(&mut call, draft, arguments)) {
        Ok(arguments) if follow::is_client() => {
            whole::keep(call, Some(draft), arguments, moved.length <= LONGEST_WHOLE);
        }
        Ok(arguments) => keep(call, draft, arguments),
        Err(cause) => call
            .stream
            .lose(moved.counters, cause, u64::from(moved.length)),
    }
    Some(())
}

/// Returns the buffer or message of the call that this send took.
#[inline(always)]
fn located(call: &mut Call<'_>, draft: &mut Draft, arguments: Arguments) -> Result<Arguments, u32> {
    let place = &mut call.stream.place;
    let Shape::Messages = arguments.shape else {
        place.reset();
        return Ok(arguments);
    };
    messages::sent(place, arguments, draft, call.header.call_length).ok_or(counter::OTHER_SYSCALL)
}

#[inline(always)]
fn keep(call: Call<'_>, draft: &mut Draft, arguments: Arguments) {
    let length = call.header.call_length;
    let (address, in_first, count) = rules::first_buffer(draft, arguments, length);
    let is_single = in_first >= u64::from(length);
    if is_single && length as usize <= SHORT {
        return call.keep_short(address);
    }
    let Some(call) = hit::keep(call, draft, count) else {
        return;
    };
    let mut composer = Composer::new(draft, call.stream, call.counters, call.header);
    if is_single {
        response::add(&mut composer, address, u64::from(length), 0);
        composer.emit();
    } else {
        walk::keep_response(composer, count);
    }
}
