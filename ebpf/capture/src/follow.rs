//! A socket → true if this capture follows it: by port or path, by the filters, and by the sample.
//!
//! An accepted UNIX-domain socket shares the address of its listener. The client's socket is mostly unnamed, but its
//! peer leads to that address.

use membench_bpf_lib::{
    abi::SA_FAMILY,
    filter,
    kernel::{Probed, Sock, global},
    server,
};
use membench_common::{PATH_WORDS, SOCKET_PATHS, field, responses, side};

const WORD: u32 = 4;

/// The followed paths, padded with zeros.
#[unsafe(no_mangle)]
static PATHS: [[u32; PATH_WORDS]; SOCKET_PATHS] = [[0; PATH_WORDS]; SOCKET_PATHS];

/// Lengths of the addresses with these paths, ended by 0.
#[unsafe(no_mangle)]
static PATH_LENGTHS: [u32; SOCKET_PATHS] = [0; SOCKET_PATHS];

#[unsafe(no_mangle)]
static SIDE: u32 = side::SERVER;

#[unsafe(no_mangle)]
static RESPONSES: u32 = responses::BYTES;

#[unsafe(no_mangle)]
static SAMPLE: u32 = 1;

/// 1 if standby programs are attached.
#[unsafe(no_mangle)]
static STANDBY: u32 = 0;

/// True if the clients' ends of connections are followed, not the servers'. The verifier removes the other side's code.
#[inline(always)]
pub fn is_client() -> bool {
    global(&SIDE) == side::CLIENT
}

/// Returns what is kept of responses, one of [`responses`].
#[inline(always)]
pub fn responses() -> u32 {
    global(&RESPONSES)
}

/// True if the programs note where the stream of receives is.
#[inline(always)]
pub fn notes_receives() -> bool {
    !is_client() || responses() != responses::NONE
}

/// True if the programs note where the stream of sends is.
#[inline(always)]
pub fn notes_sends() -> bool {
    is_client() || responses() != responses::NONE
}

/// True if standby programs are attached. The verifier removes what only they need if not.
#[inline(always)]
pub fn has_standby() -> bool {
    global(&STANDBY) != 0
}

/// True if the capture follows a socket, and the current call on it. `outlived_port` says whether the socket was
/// followed by a port that it no longer has.
#[inline(always)]
pub fn is_followed<S: Sock>(sock: S, outlived_port: impl FnOnce(S) -> bool) -> bool {
    (has_followed_port(sock) || outlived_port(sock) || has_followed_path(sock)) && admits(sock)
}

/// [`is_followed`] for hooks that see only TCP. Skips the path check, whose helper (`bpf_skc_to_unix_sock`) needs Linux
/// 5.16.
#[inline(always)]
pub fn is_followed_tcp(sock: impl Sock) -> bool {
    has_followed_port(sock) && admits(sock)
}

/// True if the filters admit the current call, and the sample the connection.
#[inline(always)]
pub fn admits(sock: impl Sock) -> bool {
    filter::admits(sock) && is_sampled(sock)
}

/// True if a socket has a followed port, and is at the followed end of its connection.
#[inline(always)]
fn has_followed_port(sock: impl Sock) -> bool {
    if is_client() {
        server::is_client(sock)
    } else {
        server::is_server(sock)
    }
}

/// True if the connection is in the sample. Decided by the client's address and port, which stay the same as long as
/// the connection; multiplying by 2^64 / golden ratio spreads them evenly.
/// <https://en.wikipedia.org/wiki/Hash_function#Fibonacci_hashing>
#[inline(always)]
fn is_sampled(sock: impl Sock) -> bool {
    let one_in = u64::from(global(&SAMPLE));
    if one_in <= 1 {
        return true;
    }
    let port = u64::from(sock.read::<u16>(field::SOCK_REMOTE_PORT));
    let address = u64::from(sock.read::<u32>(field::SOCK_REMOTE));
    let spread = (address << 16 | port).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (spread * one_in) >> 32 == 0
}

/// True if any path is followed. The verifier removes the code for UNIX-domain sockets if none is.
#[inline(always)]
pub fn has_paths() -> bool {
    global(&PATH_LENGTHS[0]) != 0
}

#[inline(always)]
fn has_followed_path(sock: impl Sock) -> bool {
    has_paths() && sock.unix().and_then(path_of).is_some()
}

/// Returns the index of the followed path to which a UNIX-domain socket is bound; on the client's side, its peer.
#[inline(always)]
pub fn path(sock: impl Sock) -> Option<u16> {
    // `unix` checks the family again. Without this check the verifier explores 3 % more in `messages`.
    if !has_paths() || !sock.is_unix() {
        return None;
    }
    path_of(sock.unix()?)
}

#[inline(always)]
fn path_of<S: Sock>(unix: S) -> Option<u16> {
    if is_client() {
        // `peer` is typed `struct sock` but points to a larger `struct unix_sock`. The verifier rejects reads past the
        // `sock`, so the peer is probed.
        let peer = Probed::new(unix.follow(field::UNIX_PEER)?.address());
        return path_at(peer.follow(field::UNIX_ADDRESS)?);
    }
    path_at(unix.follow(field::UNIX_ADDRESS)?)
}

/// Returns the index of the followed path that a `struct unix_address` holds.
#[inline(always)]
fn path_at(address: impl Sock) -> Option<u16> {
    let length = address.read::<u32>(field::ADDRESS_LENGTH);
    let mut index = 0;
    while index < SOCKET_PATHS && global(&PATH_LENGTHS[index]) != 0 {
        if global(&PATH_LENGTHS[index]) == length && is_path(address, index) {
            return Some(index as u16);
        }
        index += 1;
    }
    None
}

/// True if an address as long as the `index`th path holds that path. Compares every word without early exit, so that
/// the verifier explores one path instead of one per word; it knows the length, which is the path's.
#[inline(always)]
fn is_path(address: impl Sock, index: usize) -> bool {
    let length = global(&PATH_LENGTHS[index]) - SA_FAMILY;
    let (mut word, mut differs) = (0, 0);
    while word < PATH_WORDS {
        let done = word as u32 * WORD;
        if done >= length {
            break;
        }
        let left = length - done;
        let mask = if left >= WORD {
            u32::MAX
        } else {
            (1 << (8 * left)) - 1
        };
        let found: u32 = address.read_from(field::ADDRESS_NAME, (SA_FAMILY + done) as usize);
        differs |= (found & mask) ^ global(&PATHS[index][word]);
        word += 1;
    }
    differs == 0
}
