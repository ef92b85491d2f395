//! A datagram that memcached, or a client of it, received or sent → one record with its peer.
//!
//! One socket serves all clients, and several threads: nothing is kept of it but its identity, and the peer comes from
//! the caller's memory. After a receive the kernel has not yet written it there when the hook fires: what is found is
//! the peer of the datagram that this thread received before. A client's socket is followed when it is connected, and
//! tells its peer itself.

use core::mem::size_of;

use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use membench_common::{Datagram, Header, RECORD_PAYLOAD, counter, field, kind, responses};

use crate::{
    call::{self, Arguments, Shape},
    filter,
    kernel::{self, Sock, Structure},
    maps::{self, Counters, Scratch, VECTORS},
    receive,
    record::{Buffer, Composer, read_user, zero},
    response, send, side,
    socket::{self, Stream},
    vector,
};

/// Bytes of a record before its parts, besides the header.
pub const PEER: u64 = size_of::<Datagram>() as u64;
/// `struct sockaddr_in6`, and `struct sockaddr_in`.
const NAME6: u64 = 28;
const NAME: u64 = 16;
const PAYLOAD: u64 = RECORD_PAYLOAD as u64 - PEER;
const IPPROTO_UDP: u16 = 17;

/// Whether the socket is of UDP.
#[inline(always)]
pub fn is_datagram(sock: impl Sock) -> bool {
    sock.read::<u16>(field::SOCK_PROTOCOL) == IPPROTO_UDP
}

/// A datagram that was received.
#[inline(always)]
pub fn received(sock: Structure, counters: Counters, length: u32) -> Option<()> {
    if side::is_client() {
        let (scratch, arguments) = (maps::receive_scratch()?, call::receiving());
        return keep_clients(
            sock,
            counters,
            scratch,
            length,
            arguments,
            kind::DATAGRAM_RESPONSE,
        );
    }
    // Whole into one buffer, as memcached does.
    let arguments = match call::receiving() {
        Ok(arguments) if matches!(arguments.shape, Shape::Buffer) => arguments,
        Ok(_) => return lose(counters, counter::OTHER_SYSCALL, length),
        Err(cause) => return lose(counters, cause, length),
    };
    let scratch = maps::receive_scratch()?;
    let composer = begin(sock, counters, scratch, length, kind::DATAGRAM_REQUEST)?;
    name(scratch, arguments.peer);
    keep_buffer(composer, arguments.address, u64::from(length));
    Some(())
}

/// Keeps what a client sent or received.
#[inline(always)]
fn keep_clients(
    sock: Structure,
    counters: Counters,
    scratch: *mut Scratch,
    length: u32,
    arguments: Result<Arguments, u32>,
    kind: u32,
) -> Option<()> {
    let arguments = match arguments {
        Ok(arguments) if !matches!(arguments.shape, Shape::Messages) => arguments,
        Ok(_) => return lose(counters, counter::OTHER_SYSCALL, length),
        Err(cause) => return lose(counters, cause, length),
    };
    let count = vector::copy(scratch, arguments);
    let composer = begin(sock, counters, scratch, length, kind)?;
    name(scratch, 0);
    match arguments.shape {
        Shape::Buffer => keep_buffer(composer, arguments.address, u64::from(length)),
        _ => vector::walk(composer, count, receive::STEPS, receive::keep_next),
    }
    Some(())
}

/// Keeps a datagram in one buffer as far as there is room.
#[inline(always)]
fn keep_buffer(composer: Composer, address: u64, length: u64) {
    let head = if length > PAYLOAD { PAYLOAD } else { length };
    composer.add::<PAYLOAD, 0>(Buffer {
        address,
        length,
        head,
        tail: 0,
    });
    composer.emit();
}

/// A datagram that was sent.
#[inline(always)]
pub fn sent(sock: Structure, counters: Counters, length: u32) -> Option<()> {
    let scratch = maps::send_scratch()?;
    if side::is_client() {
        let arguments = call::sending();
        return keep_clients(
            sock,
            counters,
            scratch,
            length,
            arguments,
            kind::DATAGRAM_REQUEST,
        );
    }
    let arguments = match call::sending() {
        Ok(arguments) if !matches!(arguments.shape, Shape::Messages) => arguments,
        Ok(_) => return lose(counters, counter::OTHER_SYSCALL, length),
        Err(cause) => return lose(counters, cause, length),
    };
    let count = vector::copy(scratch, arguments);
    let composer = begin(sock, counters, scratch, length, kind::DATAGRAM_RESPONSE)?;
    let peer = match arguments.shape {
        Shape::Message => pointer(scratch, arguments.address),
        _ => arguments.peer,
    };
    name(scratch, peer);
    match arguments.shape {
        Shape::Message if kernel::responses() == responses::BYTES => {
            vector::walk(composer, count, VECTORS as u32, send::keep_next);
        }
        Shape::Message => keep_begin(composer, vector::vector(scratch, 0)),
        _ => keep_begin(composer, [arguments.address, u64::from(length)]),
    }
    Some(())
}

/// Counts what a client sends to a followed port from a socket that is not connected: it is not decoded, as nothing
/// tells whose the answers are.
#[inline(always)]
pub fn count_unconnected(
    sock: impl Sock,
    length: i32,
    program: u32,
    scratch: impl FnOnce() -> Option<*mut Scratch>,
    arguments: impl FnOnce() -> Result<Arguments, u32>,
) -> Option<()> {
    let is_candidate = side::is_client()
        && length > 0
        && is_datagram(sock)
        && sock.read::<u16>(field::SOCK_REMOTE_PORT) == 0;
    if !is_candidate {
        return None;
    }
    let scratch = scratch()?;
    let peer = match arguments() {
        Ok(arguments) if matches!(arguments.shape, Shape::Buffer) => arguments.peer,
        // Not the same instruction as above, which would have two kinds of pointers.
        Ok(arguments) if matches!(arguments.shape, Shape::Message) => {
            pointer(scratch, arguments.address) + zero()
        }
        _ => return None,
    };
    let port = port_at(scratch, peer);
    if kernel::is_followed(port) && filter::admits(sock) {
        Counters::of(program)?.add(counter::UDP, length as u64);
    }
    Some(())
}

/// The port of a `struct sockaddr_in` or `sockaddr_in6`, which stands behind the family; 0 if it is not there.
#[inline(always)]
fn port_at(scratch: *mut Scratch, address: u64) -> u16 {
    // SAFETY: the scratch space belongs to this program on this CPU.
    let to = unsafe { &raw mut (*scratch).pointer };
    // SAFETY: just written, or 0.
    unsafe {
        *to = 0;
        if address != 0 {
            read_user::<4>(to.cast(), 4, address);
        }
        u16::from_be((to.read_volatile() >> 16) as u16)
    }
}

/// Keeps the begin of a datagram, with its frame header.
#[inline(always)]
fn keep_begin(composer: Composer, [address, in_first]: [u64; 2]) {
    let left = composer.left();
    let first = if in_first > left { left } else { in_first };
    if first > 0 {
        response::add(composer, address, first, 0);
    }
    if composer.left() > 0 {
        composer.add_nothing(composer.left());
    }
    composer.emit();
}

/// Starts a record, once the socket's own is in the ring.
#[inline(always)]
fn begin(
    sock: Structure,
    counters: Counters,
    scratch: *mut Scratch,
    length: u32,
    kind: u32,
) -> Option<Composer> {
    // SAFETY: takes no arguments.
    let time = unsafe { bpf_ktime_get_ns() };
    if maps::is_unattended(time) {
        return lose(counters, counter::UNATTENDED, length);
    }
    let Some(state) = maps::state(sock) else {
        return lose(counters, counter::NO_STATE, length);
    };
    // SAFETY: a map's value; the kernel keeps it while the program runs.
    let state = unsafe { &mut *state };
    state.identify(sock);
    if !state.announce(sock, counters, time) {
        return lose(counters, counter::RING_FULL, length);
    }
    // SAFETY: a map's value that only this program on this CPU uses.
    let stream = unsafe {
        (*scratch).stream = Stream::unseen();
        &raw mut (*scratch).stream
    };
    let header = Header {
        kind,
        call_length: length,
        ..socket::empty(state.cookie, time)
    };
    Some(Composer::behind(PEER, scratch, stream, counters, header))
}

/// Writes the peer's address, zeros if it is not there, and the thread before the parts.
#[inline(always)]
pub fn name(scratch: *mut Scratch, address: u64) {
    // SAFETY: the payload's first bytes, which the composer leaves alone.
    let peer = unsafe { &raw mut (*scratch).payload }.cast::<Datagram>();
    // SAFETY: as above.
    unsafe {
        (*peer).name = [0; NAME6 as usize];
        // SAFETY: takes no arguments.
        (*peer).thread = bpf_get_current_pid_tgid() as u32;
    }
    let to = peer.cast::<u8>();
    if address != 0 && !read_user::<NAME6>(to, NAME6, address) {
        read_user::<NAME>(to, NAME, address);
    }
}

/// The address's address in a `struct msghdr`: its first member.
#[inline(always)]
pub fn pointer(scratch: *mut Scratch, message: u64) -> u64 {
    // SAFETY: the scratch space belongs to this program on this CPU.
    let to = unsafe { &raw mut (*scratch).pointer };
    // SAFETY: just written, or 0.
    unsafe {
        *to = 0;
        read_user::<8>(to.cast(), 8, message);
        to.read_volatile()
    }
}

#[inline(always)]
fn lose<T>(counters: Counters, cause: u32, length: u32) -> Option<T> {
    counters.add(cause, u64::from(length));
    None
}
