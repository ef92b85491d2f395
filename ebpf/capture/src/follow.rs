//! A UNIX-domain socket → at which of the followed paths it was accepted, and who it is.
//!
//! An accepted socket shares the address of the one that listens; its client's is mostly nameless, but leads to it as
//! its peer. There are no sequence numbers, and no hook at the end but the read that returns nothing.

use membench_common::{PATH_WORDS, SOCKET_PATHS, field};

use crate::{
    exit::fd::Walked,
    kernel::{Sock, global},
    side,
};

/// Its family.
pub const AF_UNIX: u16 = 1;
/// Length of what stands before the path in an address.
const FAMILY: u32 = 2;
const WORD: u32 = 4;

/// The paths, padded with zeros.
#[unsafe(no_mangle)]
static PATHS: [[u32; PATH_WORDS]; SOCKET_PATHS] = [[0; PATH_WORDS]; SOCKET_PATHS];

/// Lengths of the addresses with these paths, ended by 0.
#[unsafe(no_mangle)]
static PATH_LENGTHS: [u32; SOCKET_PATHS] = [0; SOCKET_PATHS];

/// Whether any path is followed: if not, the verifier removes what looks into these sockets.
#[inline(always)]
fn is_wanted() -> bool {
    global(&PATH_LENGTHS[0]) != 0
}

/// Which of the followed paths the socket is bound to; a client's, its peer.
#[inline(always)]
pub fn path(sock: impl Sock) -> Option<u16> {
    if !is_wanted() || sock.read::<u16>(field::SOCK_FAMILY) != AF_UNIX {
        return None;
    }
    if side::is_client() {
        // What the kernel declares a socket is longer, as all of its family are: the verifier would not look there.
        let peer = Walked::at(sock.unix()?.follow(field::UNIX_PEER)?.address());
        return path_at(peer.follow(field::UNIX_ADDRESS)?);
    }
    path_at(sock.unix()?.follow(field::UNIX_ADDRESS)?)
}

/// Which of the followed paths this address is.
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

/// Whether an address as long as this path is it. All of it is looked at, and its length is that of the path, which the
/// verifier knows: it goes one way through here, not one for each word that may differ.
#[inline(always)]
fn is_path(address: impl Sock, index: usize) -> bool {
    let length = global(&PATH_LENGTHS[index]) - FAMILY;
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
        let found: u32 = address.read_from(field::ADDRESS_NAME, (FAMILY + done) as usize);
        differs |= (found & mask) ^ global(&PATHS[index][word]);
        word += 1;
    }
    differs == 0
}

/// The inode numbers of this socket and of its peer, 0 where there is none: `/proc/net/unix` has them too.
#[inline(always)]
pub fn inodes(sock: impl Sock) -> [u64; 2] {
    if !is_wanted() {
        return [0; 2];
    }
    let peer = sock.unix().and_then(|unix| unix.follow(field::UNIX_PEER));
    [inode(sock), peer.map_or(0, inode)]
}

#[inline(always)]
fn inode(sock: impl Sock) -> u64 {
    let inode = sock
        .follow(field::SOCK_SOCKET)
        .and_then(|socket| socket.follow(field::SOCKET_FILE))
        .and_then(|file| file.follow(field::FILE_INODE));
    inode.map_or(0, |inode| inode.read(field::INODE_NUMBER))
}
