//! The messages of a call, one after the other → parts, so many in each program.

use aya_ebpf::programs::BtfTracePointContext;
use membench_common::{counter, program, responses};

use super::{
    continuation::{self, Next, Way},
    table,
};
use crate::{
    call::{Arguments, Shape},
    datagram, kernel,
    maps::{self, Counters, Scratch},
    receive::{self, LEAST_ROOM},
    record::{Composer, read_user},
    side,
    socket::{self, Stream},
    vector,
};

/// Iovecs, or messages without any, that a program takes; as many more in each of those that follow.
const STEPS: u32 = 8;
/// Size of a `struct mmsghdr`, and where it says how many bytes its message had.
pub const MESSAGE: u64 = 64;
const MESSAGE_LENGTH: u64 = 56;

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

/// Notes where the messages are; of a call with one, this opens it.
#[inline(always)]
pub fn place(
    scratch: *mut Scratch,
    arguments: Arguments,
    count: u64,
    length: u32,
    is_datagram: bool,
) {
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

/// Bytes of the message at an address.
#[inline(always)]
pub fn length_of(scratch: *mut Scratch, message: u64) -> u32 {
    // SAFETY: the scratch space belongs to this program on this CPU.
    let to = unsafe { &raw mut (*scratch).pointer };
    // SAFETY: as above; what cannot be read is 0.
    unsafe {
        *to = 0;
        read_user::<4>(to.cast(), 4, message + MESSAGE_LENGTH);
        to.read_volatile() as u32
    }
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
