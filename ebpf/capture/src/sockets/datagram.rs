//! A datagram that was received or sent → one record with its peer.
//!
//! After a receive the kernel has not yet written the peer to the caller's memory when the hook fires: the address
//! there is the peer of the datagram that this thread received before. A client's socket is followed if it is
//! connected, and tells its peer itself.

use membench_bpf_lib::{heartbeat, kernel::Structure};
use membench_common::{Header, RECORD_PAYLOAD, counter, kind, responses};

use crate::{
    call::{
        iovec,
        registers::{self, Arguments, Shape},
    },
    follow,
    keep::{
        composer::{Buffer, Composer},
        datagram::{PREFIX, message_peer, write_prefix},
        response,
        rules::Moved,
    },
    scratch::{self, Scratch},
    sockets::walk,
    stream::{announce, state::Stream, storage},
};

/// Most bytes kept of a datagram.
const MOST: u64 = RECORD_PAYLOAD as u64 - PREFIX;

/// Records a datagram that was received.
#[inline(always)]
pub fn received<const STANDBY: bool>(moved: Moved<Structure>) -> Option<()> {
    if follow::is_client() {
        let scratch = scratch::for_receives::<STANDBY>()?;
        return keep_client(
            moved,
            scratch,
            registers::receiving(),
            kind::DATAGRAM_RESPONSE,
        );
    }
    // memcached receives a datagram into one buffer.
    let arguments = match registers::receiving() {
        Ok(arguments) if matches!(arguments.shape, Shape::Buffer) => arguments,
        Ok(_) => return lose(moved, counter::OTHER_SYSCALL),
        Err(cause) => return lose(moved, cause),
    };
    let scratch = scratch::for_receives::<STANDBY>()?;
    let composer = begin(moved, scratch, kind::DATAGRAM_REQUEST)?;
    write_prefix(composer.draft, arguments.peer);
    keep_buffer(composer, arguments.address, u64::from(moved.length));
    Some(())
}

/// Records a datagram that was sent.
#[inline(always)]
pub fn sent<const STANDBY: bool>(moved: Moved<Structure>) -> Option<()> {
    let scratch = scratch::for_sends::<STANDBY>()?;
    if follow::is_client() {
        return keep_client(moved, scratch, registers::sending(), kind::DATAGRAM_REQUEST);
    }
    let arguments = match registers::sending() {
        Ok(arguments) if !matches!(arguments.shape, Shape::Messages) => arguments,
        Ok(_) => return lose(moved, counter::OTHER_SYSCALL),
        Err(cause) => return lose(moved, cause),
    };
    let count = iovec::copy(&mut scratch.draft, arguments);
    let composer = begin(moved, scratch, kind::DATAGRAM_RESPONSE)?;
    let peer = match arguments.shape {
        Shape::Message => message_peer(composer.draft, arguments.address),
        _ => arguments.peer,
    };
    write_prefix(composer.draft, peer);
    match arguments.shape {
        Shape::Message if follow::responses() == responses::BYTES => {
            walk::keep_response(composer, count);
        }
        Shape::Message => {
            let first = iovec::vector(composer.draft, 0);
            keep_start(composer, first);
        }
        _ => keep_start(composer, [arguments.address, u64::from(moved.length)]),
    }
    Some(())
}

/// Keeps a datagram that a client sent or received.
#[inline(always)]
fn keep_client(
    moved: Moved<Structure>,
    scratch: &mut Scratch,
    arguments: Result<Arguments, u32>,
    kind: u32,
) -> Option<()> {
    let arguments = match arguments {
        Ok(arguments) if !matches!(arguments.shape, Shape::Messages) => arguments,
        Ok(_) => return lose(moved, counter::OTHER_SYSCALL),
        Err(cause) => return lose(moved, cause),
    };
    let count = iovec::copy(&mut scratch.draft, arguments);
    let composer = begin(moved, scratch, kind)?;
    write_prefix(composer.draft, 0);
    match arguments.shape {
        Shape::Buffer => keep_buffer(composer, arguments.address, u64::from(moved.length)),
        _ => walk::keep_whole(composer, count),
    }
    Some(())
}

/// Starts the datagram's record, once the socket's own record is in the ring.
#[inline(always)]
fn begin(moved: Moved<Structure>, scratch: &mut Scratch, kind: u32) -> Option<Composer<'_>> {
    let Moved {
        sock,
        counters,
        length,
        time,
    } = moved;
    if heartbeat::is_unattended(time) {
        return lose(moved, counter::UNATTENDED);
    }
    let Some(state) = storage::state(sock) else {
        return lose(moved, counter::NO_STATE);
    };
    state.identify(sock);
    if !announce::announce(state, sock, counters, time) {
        return lose(moved, counter::RING_FULL);
    }
    let Scratch { draft, stream } = scratch;
    *stream = Stream::new();
    let header = Header {
        kind,
        call_length: length,
        ..state.header(time)
    };
    Some(Composer::with_prefix(
        PREFIX, draft, stream, counters, header,
    ))
}

#[inline(always)]
fn lose<T>(moved: Moved<Structure>, cause: u32) -> Option<T> {
    moved.counters.add(cause, u64::from(moved.length));
    None
}

/// Keeps a datagram in one buffer as far as there is room.
#[inline(always)]
fn keep_buffer(mut composer: Composer<'_>, address: u64, length: u64) {
    let head = if length > MOST { MOST } else { length };
    composer.add::<MOST, 0>(Buffer {
        address,
        length,
        head,
        tail: 0,
    });
    composer.emit();
}

/// Keeps the start of a datagram, with its frame header.
#[inline(always)]
fn keep_start(mut composer: Composer<'_>, [address, in_first]: [u64; 2]) {
    let left = composer.left();
    let first = if in_first > left { left } else { in_first };
    if first > 0 {
        response::add(&mut composer, address, first, 0);
    }
    let left = composer.left();
    if left > 0 {
        composer.add_nothing(left);
    }
    composer.emit();
}
