//! A call with datagrams, or with several messages of a stream → the records of its messages.
//!
//! When such a call returns, everything is known: the number of messages that moved, the length of each, and each
//! peer's address if the caller asked for it. What its records share goes into the scratch memory; the messages follow
//! one by one, in further programs.

use aya_ebpf::programs::BtfTracePointContext;
use membench_bpf_lib::{
    abi::{IOVECS, MMSGHDR, MMSGHDR_LEN},
    counters::Counters,
    heartbeat,
    kernel::{Probed, Sock, Structure},
};
use membench_common::{
    Header, counter, kind,
    program::{self, continuation},
    responses,
};

use super::{
    continuation::{Way, go_to, keep_part},
    receive,
};
use crate::{
    call::{
        iovec,
        registers::{Arguments, Shape, Syscall},
    },
    follow,
    keep::{
        composer::Composer,
        datagram::{PREFIX, message_peer, write_prefix},
        rules::{self, LEAST_ROOM, Moved},
    },
    scratch::{self, Draft, Scratch},
    stream::{
        announce,
        state::{State, Stream},
        table,
    },
};

/// Most messages of one call.
const MOST: u64 = IOVECS as u64;
/// Iovecs, or messages without any, that a program takes.
const STEPS: u32 = 8;

/// Continues with the call in the program `messages`.
#[inline(always)]
pub fn hand_over(ctx: &BtfTracePointContext, sock: Probed) -> Option<()> {
    scratch::for_receives::<false>()?.draft.sock = sock;
    go_to(ctx, continuation::MESSAGES);
    None
}

/// The program `messages`.
#[inline(always)]
pub fn returned(ctx: &BtfTracePointContext) -> Option<()> {
    let call = Syscall::from_registers(Structure::new(ctx.arg(0))?)?;
    let scratch = scratch::for_receives::<false>()?;
    let sock = scratch.draft.sock;
    let counters = Counters::for_program(program::RECEIVE)?;
    let count = ctx.arg::<u64>(1);
    let length = length(call, &mut scratch.draft, count);
    if length == 0 {
        return ended(call, sock, counters);
    }
    if call.is_send() {
        rules::count_send(counters, length);
    } else {
        rules::count_receive(counters, length);
    }
    if is_response(call) && follow::responses() == responses::NONE {
        return None;
    }
    let is_datagram = sock.is_udp();
    let state = state(sock, counters, length, is_datagram)?;
    if is_datagram {
        state.identify(sock);
    } else if call.is_send() {
        state.note_send(sock, counters, length);
    } else {
        state.note_receive(sock, counters, length);
    }
    let moved = Moved::new(sock, counters, length);
    match begin(call, moved, state, scratch, is_datagram) {
        Ok(arguments) => {
            place(scratch, arguments, count, length, is_datagram);
            go_to(
                ctx,
                if call.is_send() {
                    continuation::MESSAGES_SENT
                } else {
                    continuation::MESSAGES_RECEIVED
                },
            );
        }
        Err(cause) => lose(call, moved, state, cause),
    }
    Some(())
}

#[inline(always)]
fn is_response(call: Syscall) -> bool {
    call.is_send() != follow::is_client()
}

/// Returns how many bytes the call moved.
#[inline(always)]
fn length(call: Syscall, draft: &mut Draft, result: u64) -> u32 {
    if !call.has_messages() {
        return result as u32;
    }
    let mut sum = 0_u32;
    for index in 0..MOST {
        if index >= result {
            break;
        }
        sum = sum.wrapping_add(message_length(draft, call.second() + index * MMSGHDR));
    }
    sum
}

/// Reads how many bytes a message moved.
#[inline(always)]
fn message_length(draft: &mut Draft, message: u64) -> u32 {
    draft.read_word::<4>(message + MMSGHDR_LEN) as u32
}

/// A receive that moved nothing can be the end of a stream.
#[inline(always)]
fn ended(call: Syscall, sock: Probed, counters: Counters) -> Option<()> {
    if call.is_send() {
        None
    } else {
        receive::ended(call, sock, counters)
    }
}

#[inline(always)]
fn state(
    sock: Probed,
    counters: Counters,
    length: u32,
    is_datagram: bool,
) -> Option<&'static mut State> {
    if !is_datagram {
        return table::stream_state(sock, counters, length);
    }
    let state = table::state(sock, counters);
    if state.is_none() {
        counters.add(counter::NO_STATE, u64::from(length));
    }
    state
}

#[inline(always)]
fn stream(state: &mut State, call: Syscall) -> &mut Stream {
    if call.is_send() {
        state.sent()
    } else {
        state.received()
    }
}

/// Counts a call without keeping a byte of it.
#[inline(always)]
fn lose(call: Syscall, moved: Moved<Probed>, state: &mut State, cause: u32) {
    let stream = stream(state, call);
    stream.call += 1;
    stream.lose(moved.counters, cause, u64::from(moved.length));
}

/// Starts the call's records in the scratch memory, or returns the counter that says why there will be none.
#[inline(always)]
fn begin(
    call: Syscall,
    moved: Moved<Probed>,
    state: &mut State,
    scratch: &mut Scratch,
    is_datagram: bool,
) -> Result<Arguments, u32> {
    let Moved {
        sock,
        counters,
        length: _,
        time,
    } = moved;
    // Announced before branching: the verifier checks this call again for each state that reaches it.
    let is_announced =
        !heartbeat::is_unattended(time) && announce::announce(state, sock, counters, time);
    let dealt = state.dealt;
    state.dealt = 0;
    let arguments = rules::received_arguments(call.flags(), time, || call.arguments())?;
    if !is_announced {
        return Err(counter::RING_FULL);
    }
    let stream = stream(state, call);
    stream.call += u32::from(!call.is_send());
    let ordinal = stream.call;
    scratch.stream = if is_datagram { Stream::new() } else { *stream };
    let header = Header {
        kind: kind(call, is_datagram),
        arrival: if call.is_send() {
            0
        } else {
            rules::arrival(sock.tcp(), dealt, time)
        },
        call: ordinal,
        ..state.header(time)
    };
    Composer::with_prefix(
        if is_datagram { PREFIX } else { 0 },
        &mut scratch.draft,
        &mut scratch.stream,
        counters,
        header,
    );
    Ok(arguments)
}

#[inline(always)]
fn kind(call: Syscall, is_datagram: bool) -> u32 {
    match (is_datagram, is_response(call)) {
        (true, true) => kind::DATAGRAM_RESPONSE,
        (true, false) if follow::is_client() => kind::DATAGRAM_REQUEST,
        (true, false) => kind::DATAGRAM_REQUEST_NAMED,
        (false, true) => kind::RESPONSE,
        (false, false) => kind::REQUEST,
    }
}

/// Notes where the call's messages are. Opens the message if there is only one.
#[inline(always)]
fn place(scratch: &mut Scratch, arguments: Arguments, count: u64, length: u32, is_datagram: bool) {
    let messages = &mut scratch.draft.messages;
    messages.is_datagram = u64::from(is_datagram);
    messages.is_open = 0;
    messages.has_empty = 0;
    messages.left = 0;
    messages.bytes = 0;
    if let Shape::Messages = arguments.shape {
        messages.next = arguments.address;
        messages.left = count;
        messages.bytes = u64::from(length);
        return;
    }
    let draft = &mut scratch.draft;
    let (vectors, peer) = match arguments.shape {
        Shape::Message => (
            iovec::copy(draft, arguments),
            message_peer(draft, arguments.address),
        ),
        Shape::Vectors => (iovec::copy(draft, arguments), 0),
        Shape::Buffer | Shape::Messages => {
            iovec::put_first(draft, [arguments.address, u64::from(length)]);
            (1, arguments.peer)
        }
    };
    open(scratch, length, vectors, peer);
}

/// The program `messages_received`.
#[inline(always)]
pub fn received(ctx: &BtfTracePointContext) -> Option<()> {
    keep_messages(ctx, Way::Receive, continuation::MESSAGES_RECEIVED)
}

/// The program `messages_sent`.
#[inline(always)]
pub fn sent(ctx: &BtfTracePointContext) -> Option<()> {
    keep_messages(ctx, Way::Send, continuation::MESSAGES_SENT)
}

/// Takes some steps through the call's messages, and continues in the program `next` if there are more.
#[inline(always)]
fn keep_messages(ctx: &BtfTracePointContext, way: Way, next: u32) -> Option<()> {
    let scratch = scratch::for_receives::<false>()?;
    let counters = Counters::for_program(program::RECEIVE)?;
    for _ in 0..STEPS {
        let messages = &scratch.draft.messages;
        if messages.is_open == 0 {
            if messages.left == 0 {
                return close(scratch, counters, way);
            }
            if !open_next(scratch, way) {
                continue;
            }
        }
        step(scratch, counters, way);
    }
    go_to(ctx, next);
    give_up(scratch, counters);
    close(scratch, counters, way)
}

/// Starts to put a message into records. Its iovecs are in the draft.
#[inline(always)]
fn open(scratch: &mut Scratch, length: u32, vectors: u64, peer: u64) {
    let Scratch { draft, stream } = scratch;
    draft.messages.is_open = 1;
    if draft.messages.is_datagram != 0 {
        *stream = Stream::new();
        write_prefix(draft, if follow::is_client() { 0 } else { peer });
    }
    draft.header.call_length = length;
    draft.progress.restart(u64::from(length), vectors);
}

/// Opens the next message; returns false if it has no bytes.
#[inline(always)]
fn open_next(scratch: &mut Scratch, way: Way) -> bool {
    let Scratch { draft, stream } = &mut *scratch;
    let address = draft.messages.next;
    draft.messages.next += MMSGHDR;
    draft.messages.left -= 1;
    let length = message_length(draft, address);
    if length == 0 {
        draft.messages.has_empty = 1;
        return false;
    }
    draft.messages.bytes = draft.messages.bytes.wrapping_sub(u64::from(length));
    if let Way::Send = way {
        draft.header.call = stream.call;
        stream.call += 1;
    }
    let peer = if draft.messages.is_datagram != 0 {
        message_peer(draft, address)
    } else {
        0
    };
    let vectors = iovec::copy_message(draft, address);
    open(scratch, length, vectors, peer);
    true
}

/// Appends an iovec of the open message, and closes the message after its last one.
#[inline(always)]
fn step(scratch: &mut Scratch, counters: Counters, way: Way) {
    let is_datagram = scratch.draft.messages.is_datagram != 0;
    let mut composer = Composer::resume(&mut scratch.draft, &mut scratch.stream, counters);
    let mut done = 0;
    if !is_length_only(way) || is_datagram {
        done = keep_part(&mut composer, way);
    }
    // A datagram is in one record.
    let is_full = is_datagram && composer.room() < LEAST_ROOM;
    let left = composer.left();
    if left > 0 && (is_length_only(way) || is_full) {
        composer.add_nothing(left);
    }
    if done != 0 || composer.left() == 0 {
        composer.finish();
        scratch.draft.messages.is_open = 0;
    }
}

/// True if only the lengths of responses are kept; of datagrams also the frame header.
#[inline(always)]
fn is_length_only(way: Way) -> bool {
    matches!(way, Way::Send) && !follow::is_client() && follow::responses() == responses::LENGTHS
}

/// Counts the rest of the call as beyond the limit: no more programs may follow.
#[inline(always)]
fn give_up(scratch: &mut Scratch, counters: Counters) {
    let Scratch { draft, stream } = scratch;
    if draft.messages.is_open != 0 {
        Composer::resume(draft, stream, counters).abandon();
    }
    if draft.messages.bytes != 0 {
        stream.lose(counters, counter::RECORD_LIMIT, draft.messages.bytes);
    }
}

/// Stores what the call has made of the socket's stream, and ends the stream if a receive found its end.
#[inline(always)]
fn close(scratch: &mut Scratch, counters: Counters, way: Way) -> Option<()> {
    let Scratch { draft, stream } = scratch;
    if draft.messages.is_datagram != 0 {
        return None;
    }
    let (sock, stream) = (draft.sock, *stream);
    let state = table::find(sock.address)?;
    match way {
        Way::Receive => {
            *state.received() = stream;
            if draft.messages.has_empty != 0 && sock.is_finished() {
                rules::end(sock, state, counters);
            }
        }
        Way::Send => *state.sent() = stream,
    }
    Some(())
}
