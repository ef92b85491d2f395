//! A call about datagrams, or about several messages of a stream → records, message by message.
//!
//! When such a call returns all is known of it: how many messages have moved, how long each one is, and each peer's
//! address where the caller wanted it.

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, programs::BtfTracePointContext};
use membench_common::{Header, counter, kind, program, responses};

use super::{
    continuation::{self, Next, Way},
    places::Returned,
    receive as exit_receive, table,
    walk::Walked,
};
use crate::{
    arrival,
    call::{Arguments, Shape},
    datagram,
    kernel::{self, Structure},
    maps::{self, Counters, Scratch},
    receive::{self, LEAST_ROOM},
    record::{Composer, read_user},
    send, side,
    socket::{self, State, Stream},
    vector,
};

/// Iovecs, or messages without any, that a program takes; as many more in each of those that follow.
const STEPS: u32 = 8;
/// Size of a `struct mmsghdr`, and where it says how many bytes its message had.
const MESSAGE: u64 = 64;
const MESSAGE_LENGTH: u64 = 56;
/// Most messages of one call: UIO_MAXIOV.
const MOST: u64 = 1024;

/// How far a call's messages have been put into records.
#[repr(C)]
pub struct Messages {
    /// Address of the next one's `struct mmsghdr`,
    next: u64,
    /// how many there are from there on,
    left: u64,
    /// and their bytes.
    bytes: u64,
    /// 1 while one is being put into records.
    is_open: u64,
    /// 1 if each is a datagram.
    is_datagram: u64,
    /// 1 if one had no bytes.
    has_empty: u64,
}

/// Goes on with the call in the program `messages`.
#[inline(always)]
pub fn hand_over(ctx: &BtfTracePointContext, sock: Walked) -> Option<()> {
    let scratch = maps::receive_scratch()?;
    // SAFETY: a map's value that only this program on this CPU uses.
    unsafe { (*scratch).walked = sock };
    continuation::go_to(ctx, Next::Messages);
    None
}

/// The program `messages`.
#[inline(always)]
pub fn returned(ctx: &BtfTracePointContext) -> Option<()> {
    let call = Returned::of(Structure::new(ctx.arg(0))?)?;
    let scratch = maps::receive_scratch()?;
    // SAFETY: a map's value that only this program on this CPU uses.
    let sock = unsafe { (*scratch).walked };
    let counters = Counters::of(program::RECEIVE)?;
    let count = ctx.arg::<u64>(1);
    let length = length(call, scratch, count);
    if length == 0 {
        return ended(call, sock, counters);
    }
    if call.is_send() {
        send::count(counters, length);
    } else {
        receive::count(counters, length);
    }
    if is_response(call) && kernel::responses() == responses::NONE {
        return None;
    }
    let is_datagram = datagram::is_datagram(sock);
    let state = state(sock, counters, length, is_datagram)?;
    match begin(call, sock, state, counters, scratch, length) {
        Ok(arguments) => {
            place(scratch, arguments, count, length, is_datagram);
            continuation::go_to(ctx, next(call));
        }
        Err(cause) => lose(call, state, counters, length, cause),
    }
    Some(())
}

/// The program `messages_received`.
#[inline(always)]
pub fn received(ctx: &BtfTracePointContext) -> Option<()> {
    go_on(ctx, Way::Receive, Next::MessagesReceived)
}

/// The program `messages_sent`.
#[inline(always)]
pub fn sent(ctx: &BtfTracePointContext) -> Option<()> {
    go_on(ctx, Way::Send, Next::MessagesSent)
}

#[inline(always)]
fn next(call: Returned) -> Next {
    if call.is_send() {
        Next::MessagesSent
    } else {
        Next::MessagesReceived
    }
}

#[inline(always)]
fn is_response(call: Returned) -> bool {
    call.is_send() != side::is_client()
}

/// Bytes the call moved.
#[inline(always)]
fn length(call: Returned, scratch: *mut Scratch, result: u64) -> u32 {
    if !call.has_messages() {
        return result as u32;
    }
    let mut sum = 0_u32;
    for index in 0..MOST {
        if index >= result {
            break;
        }
        sum = sum.wrapping_add(length_of(scratch, call.second() + index * MESSAGE));
    }
    sum
}

/// Bytes of the message at an address.
#[inline(always)]
fn length_of(scratch: *mut Scratch, message: u64) -> u32 {
    // SAFETY: the scratch space belongs to this program on this CPU.
    let to = unsafe { &raw mut (*scratch).pointer };
    // SAFETY: as above; what cannot be read is 0.
    unsafe {
        *to = 0;
        read_user::<4>(to.cast(), 4, message + MESSAGE_LENGTH);
        to.read_volatile() as u32
    }
}

/// A call that moved nothing can be a stream's end.
#[inline(always)]
fn ended(call: Returned, sock: Walked, counters: Counters) -> Option<()> {
    if call.is_send() {
        None
    } else {
        exit_receive::ended(call, sock, counters)
    }
}

#[inline(always)]
fn state(
    sock: Walked,
    counters: Counters,
    length: u32,
    is_datagram: bool,
) -> Option<&'static mut State> {
    if !is_datagram {
        return table::state(sock, counters, length);
    }
    let state = table::of_datagrams(sock, counters);
    if state.is_none() {
        counters.add(counter::NO_STATE, u64::from(length));
    }
    state
}

#[inline(always)]
fn stream(state: &mut State, call: Returned) -> &mut Stream {
    if call.is_send() {
        side::sent(state)
    } else {
        side::received(state)
    }
}

/// Counts a call of which no byte is kept.
#[inline(always)]
fn lose(call: Returned, state: &mut State, counters: Counters, length: u32, cause: u32) {
    let stream = stream(state, call);
    stream.call += 1;
    stream.lose(counters, cause, u64::from(length));
}

/// Starts the call's records in the scratch space; otherwise why there will be none.
#[inline(always)]
fn begin(
    call: Returned,
    sock: Walked,
    state: &mut State,
    counters: Counters,
    scratch: *mut Scratch,
    length: u32,
) -> Result<Arguments, u32> {
    let is_datagram = datagram::is_datagram(sock);
    if is_datagram {
        state.identify(sock);
    } else if call.is_send() {
        state.note_send(sock, counters, length);
    } else {
        state.note_receive(sock, counters, length);
    }
    // SAFETY: takes no arguments.
    let time = unsafe { bpf_ktime_get_ns() };
    // Early, while little is told apart: the verifier looks at it once for each.
    let is_announced = !maps::is_unattended(time) && state.announce(sock, counters, time);
    let dealt = state.dealt;
    state.dealt = 0;
    let arguments = receive::arguments(call.flags(), time, || call.arguments())?;
    if !is_announced {
        return Err(counter::RING_FULL);
    }
    let cookie = state.cookie;
    let stream = stream(state, call);
    stream.call += u32::from(!call.is_send());
    let header = Header {
        kind: kind(call, is_datagram),
        arrival: if call.is_send() {
            0
        } else {
            arrival::of(sock, dealt, time)
        },
        call: stream.call,
        ..socket::empty(cookie, time)
    };
    // SAFETY: a map's value that only this program on this CPU uses.
    let own = unsafe {
        (*scratch).stream = if is_datagram {
            Stream::unseen()
        } else {
            *stream
        };
        &raw mut (*scratch).stream
    };
    let before = if is_datagram { datagram::PEER } else { 0 };
    Composer::behind(before, scratch, own, counters, header);
    Ok(arguments)
}

#[inline(always)]
fn kind(call: Returned, is_datagram: bool) -> u32 {
    match (is_datagram, is_response(call)) {
        (true, true) => kind::DATAGRAM_RESPONSE,
        (true, false) if side::is_client() => kind::DATAGRAM_REQUEST,
        (true, false) => kind::DATAGRAM_REQUEST_NAMED,
        (false, true) => kind::RESPONSE,
        (false, false) => kind::REQUEST,
    }
}

/// Notes where the messages are; of a call with one, this opens it.
#[inline(always)]
fn place(scratch: *mut Scratch, arguments: Arguments, count: u64, length: u32, is_datagram: bool) {
    // SAFETY: a map's value that only this program on this CPU uses.
    let messages = unsafe { &mut (*scratch).messages };
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
    let (vectors, peer) = match arguments.shape {
        Shape::Message => (
            vector::copy(scratch, arguments),
            datagram::pointer(scratch, arguments.address),
        ),
        Shape::Vectors => (vector::copy(scratch, arguments), 0),
        Shape::Buffer | Shape::Messages => {
            vector::put_first(scratch, [arguments.address, u64::from(length)]);
            (1, arguments.peer)
        }
    };
    open(scratch, length, vectors, peer);
}

/// Begins to put a message into records: its iovecs are in the scratch space.
#[inline(always)]
fn open(scratch: *mut Scratch, length: u32, vectors: u64, peer: u64) {
    // SAFETY: a map's value that only this program on this CPU uses, and so in what follows.
    let messages = unsafe { &mut (*scratch).messages };
    messages.is_open = 1;
    if messages.is_datagram != 0 {
        // SAFETY: as above.
        unsafe { (*scratch).stream = Stream::unseen() };
        datagram::name(scratch, if side::is_client() { 0 } else { peer });
    }
    // SAFETY: as above.
    let (header, progress) = unsafe { (&mut (*scratch).header, &mut (*scratch).progress) };
    header.call_length = length;
    progress.restart(u64::from(length), vectors);
}

/// Opens the next message; false if it has no bytes.
#[inline(always)]
fn open_next(scratch: *mut Scratch, way: Way) -> bool {
    // SAFETY: a map's value that only this program on this CPU uses, and so in what follows.
    let messages = unsafe { &mut (*scratch).messages };
    let address = messages.next;
    messages.next += MESSAGE;
    messages.left -= 1;
    let length = length_of(scratch, address);
    if length == 0 {
        messages.has_empty = 1;
        return false;
    }
    messages.bytes = messages.bytes.wrapping_sub(u64::from(length));
    if let Way::Send = way {
        // SAFETY: as above.
        unsafe {
            (*scratch).header.call = (*scratch).stream.call;
            (*scratch).stream.call += 1;
        }
    }
    let peer = if messages.is_datagram != 0 {
        datagram::pointer(scratch, address)
    } else {
        0
    };
    open(
        scratch,
        length,
        vector::copy_message(scratch, address),
        peer,
    );
    true
}

#[inline(always)]
fn go_on(ctx: &BtfTracePointContext, way: Way, next: Next) -> Option<()> {
    let scratch = maps::receive_scratch()?;
    let counters = Counters::of(program::RECEIVE)?;
    // SAFETY: a map's value that only this program on this CPU uses, and so in what follows.
    let stream = unsafe { &raw mut (*scratch).stream };
    let composer = Composer::again(scratch, stream, counters);
    for _ in 0..STEPS {
        // SAFETY: as above.
        let messages = unsafe { &mut (*scratch).messages };
        if messages.is_open == 0 {
            if messages.left == 0 {
                return close(scratch, counters, way);
            }
            if !open_next(scratch, way) {
                continue;
            }
        }
        step(composer, way);
    }
    continuation::go_to(ctx, next);
    give_up(composer, counters);
    close(scratch, counters, way)
}

/// Adds an iovec of the open message; ends the message with the last one.
#[inline(always)]
fn step(composer: Composer, way: Way) {
    // SAFETY: a map's value that only this program on this CPU uses.
    let messages = unsafe { &mut (*composer.scratch).messages };
    let is_datagram = messages.is_datagram != 0;
    let mut done = 0;
    if !is_length_only(way) || is_datagram {
        done = continuation::keep_part(composer, way);
    }
    // All of a datagram is in one record.
    let is_full = is_datagram && composer.room() < LEAST_ROOM;
    if composer.left() > 0 && (is_length_only(way) || is_full) {
        composer.add_nothing(composer.left());
    }
    if done != 0 || composer.left() == 0 {
        composer.finish();
        messages.is_open = 0;
    }
}

/// Whether of responses nothing is kept but their length; of datagrams the frame header, too.
#[inline(always)]
fn is_length_only(way: Way) -> bool {
    matches!(way, Way::Send) && !side::is_client() && kernel::responses() == responses::LENGTHS
}

/// No more programs may follow: what is left of the call is beyond what is kept of one.
#[inline(always)]
fn give_up(composer: Composer, counters: Counters) {
    // SAFETY: a map's value that only this program on this CPU uses.
    let (messages, stream) = unsafe {
        (
            &mut (*composer.scratch).messages,
            &mut (*composer.scratch).stream,
        )
    };
    if messages.is_open != 0 {
        composer.abandon();
    }
    if messages.bytes != 0 {
        stream.lose(counters, counter::RECORD_LIMIT, messages.bytes);
    }
}

/// Keeps what the call has made of its stream, and its end if that has come.
#[inline(always)]
fn close(scratch: *mut Scratch, counters: Counters, way: Way) -> Option<()> {
    // SAFETY: a map's value that only this program on this CPU uses.
    let (messages, stream, sock) =
        unsafe { (&(*scratch).messages, (*scratch).stream, (*scratch).walked) };
    if messages.is_datagram != 0 {
        return None;
    }
    let state = table::at(sock.address)?;
    match way {
        Way::Receive => {
            *side::received(state) = stream;
            if messages.has_empty != 0 && socket::is_finished(sock) {
                receive::end(sock, state, counters);
            }
        }
        Way::Send => *side::sent(state) = stream,
    }
    Some(())
}
