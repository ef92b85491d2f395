//! A datagram → its peer, and the bytes before the parts of its record.
//!
//! One socket serves all clients, and several threads, so a datagram is a stream by itself and the peer comes from the
//! caller's memory.

use core::mem::size_of;

use membench_bpf_lib::{
    abi::{SA_FAMILY, SOCKADDR_IN, SOCKADDR_IN6},
    context,
    counters::Counters,
    kernel::Sock,
    server,
    user::{read_user, zero},
};
use membench_common::{Datagram, counter, field};

use crate::{
    call::registers::{Arguments, Shape},
    follow,
    scratch::{Draft, Scratch},
};

/// Bytes of a record before its parts, besides the header.
pub const PREFIX: u64 = size_of::<Datagram>() as u64;

/// Writes the bytes before the parts: the peer's address, zeros if it could not be read, and the thread.
#[inline(always)]
pub fn write_prefix(draft: &mut Draft, peer: u64) {
    let prefix = (&raw mut draft.payload).cast::<Datagram>();
    // SAFETY: the payload begins with the prefix.
    unsafe {
        (*prefix).name = [0; SOCKADDR_IN6 as usize];
        (*prefix).thread = context::thread();
    }
    let name = prefix.cast::<u8>();
    if peer != 0 && !read_user::<SOCKADDR_IN6>(name, SOCKADDR_IN6, peer) {
        read_user::<SOCKADDR_IN>(name, SOCKADDR_IN, peer);
    }
}

/// Reads the address of the peer's address: the first member of a `struct msghdr`.
#[inline(always)]
pub fn message_peer(draft: &mut Draft, message: u64) -> u64 {
    draft.read_word::<8>(message)
}

/// Counts what a client sends to a followed port from a socket that is not connected. It is not decoded, as nothing
/// tells whose the responses are.
#[inline(always)]
pub fn count_unconnected(
    sock: impl Sock,
    length: i32,
    program: u32,
    scratch: impl FnOnce() -> Option<&'static mut Scratch>,
    arguments: impl FnOnce() -> Result<Arguments, u32>,
) -> Option<()> {
    let is_candidate = follow::is_client()
        && length > 0
        && sock.is_udp()
        && sock.read::<u16>(field::SOCK_REMOTE_PORT) == 0;
    if !is_candidate {
        return None;
    }
    let draft = &mut scratch()?.draft;
    let peer = match arguments() {
        Ok(arguments) if matches!(arguments.shape, Shape::Buffer) => arguments.peer,
        // Adding zero keeps LLVM from merging this load with the one above: the verifier rejects an instruction that
        // reads through two kinds of pointers.
        Ok(arguments) if matches!(arguments.shape, Shape::Message) => {
            message_peer(draft, arguments.address) + zero()
        }
        _ => return None,
    };
    if server::is_followed_port(port_at(draft, peer)) && follow::admits(sock) {
        Counters::for_program(program)?.add(counter::UDP, length as u64);
    }
    Some(())
}

/// Returns the port of a `struct sockaddr_in` or `sockaddr_in6`, which follows the family; 0 if it could not be read.
#[inline(always)]
fn port_at(draft: &mut Draft, address: u64) -> u16 {
    u16::from_be((draft.read_word::<4>(address) >> (8 * SA_FAMILY)) as u16)
}
