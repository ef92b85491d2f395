//! A receive that is done → what was received, as records.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::{
    counters::Counters,
    kernel::{Sock, Structure},
};
use membench_common::{WHOLE_CAPACITY, counter, program, responses};

use crate::{
    call::{
        messages,
        registers::{self, ASIDE, Arguments, Shape},
    },
    follow,
    keep::{
        inline::Call,
        rules::{self, LONGEST_WHOLE, Moved},
    },
    scratch,
    sockets::{
        datagram,
        standby::{self, Way},
        whole,
    },
    stream::{place, state::State, storage},
};

/// The program `sock_recv_length`, or its standby.
#[inline(always)]
pub fn received<const STANDBY: bool>(ctx: &BtfTracePointContext) -> Option<()> {
    let sock = Structure::new(ctx.arg(0))?;
    let flags = ctx.arg::<i32>(2);
    if !follow::is_followed(sock, storage::outlived_port) || flags & ASIDE != 0 {
        return None;
    }
    // A standby repeats what has no effect when it is done twice.
    let length = ctx.arg::<i32>(1);
    if length < 0 {
        return failed(sock);
    }
    let counters = Counters::for_program(if STANDBY {
        program::RECEIVE_STANDBY
    } else {
        program::RECEIVE
    })?;
    if length == 0 {
        return ended(sock, counters);
    }
    read::<STANDBY>(sock, counters, length as u32, flags)
}

/// A receive that fails ends a call with several messages. Most fail because there is nothing to read yet, so this looks
/// nothing up unless there are such calls.
#[inline(always)]
fn failed(sock: Structure) -> Option<()> {
    if !place::may_be_open() {
        return None;
    }
    storage::known_state(sock)?.received().place.reset();
    None
}

/// A receive of 0 bytes can be the end of the stream.
#[inline(always)]
fn ended(sock: Structure, counters: Counters) -> Option<()> {
    if rules::is_end(sock, registers::receiving()) {
        rules::end(sock, storage::stream_state(sock, counters, 0)?, counters);
    }
    None
}

#[inline(always)]
fn read<const STANDBY: bool>(
    sock: Structure,
    counters: Counters,
    length: u32,
    flags: i32,
) -> Option<()> {
    if STANDBY && standby::is_done(sock, Way::Receive) {
        return None;
    }
    rules::count_receive(counters, length);
    standby::note::<STANDBY>(sock, Way::Receive, counters);
    if follow::is_client() && follow::responses() == responses::NONE {
        return None;
    }
    let moved = Moved::new(sock, counters, length);
    if sock.is_udp() {
        return datagram::received::<STANDBY>(moved);
    }
    let Some(state) = storage::stream_state(sock, counters, length) else {
        standby::note_stateless::<STANDBY>(sock, Way::Receive);
        return None;
    };
    let tcp = state.note_receive(sock, counters, length);
    let arguments = rules::received_arguments(flags, moved.time, registers::receiving);
    match arguments.and_then(|arguments| located(state, arguments)) {
        Ok(arguments) => keep::<STANDBY>(moved, state, tcp, arguments),
        Err(cause) => rules::lose_receive(moved, state, cause),
    }
    state.dealt = 0;
    Some(())
}

/// Returns the buffer or message of the call that this receive filled.
#[inline(always)]
fn located(state: &mut State, arguments: Arguments) -> Result<Arguments, u32> {
    let place = &mut state.received().place;
    let Shape::Messages = arguments.shape else {
        place.reset();
        return Ok(arguments);
    };
    messages::received(place, arguments).ok_or(counter::OTHER_SYSCALL)
}

#[inline(always)]
fn keep<const STANDBY: bool>(
    moved: Moved<Structure>,
    state: &mut State,
    tcp: Option<Structure>,
    arguments: Arguments,
) {
    let Some((header, gathers)) = rules::begin_receive(moved, state, tcp, arguments) else {
        return;
    };
    let is_whole = if follow::is_client() {
        moved.length <= LONGEST_WHOLE
    } else {
        gathers || arguments.count <= WHOLE_CAPACITY
    };
    let call = Call {
        stream: state.received(),
        counters: moved.counters,
        header,
    };
    let draft = scratch::for_receives::<STANDBY>().map(|scratch| &mut scratch.draft);
    whole::keep(call, draft, arguments, is_whole);
}
