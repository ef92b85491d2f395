//! A socket's state → records about the socket itself: who it is, that its peer is done, where its streams ended.

use core::mem::size_of;

use membench_bpf_lib::{
    abi::{AF_INET6, AF_UNIX},
    context,
    counters::Counters,
    kernel::Sock,
    ring,
    user::zero,
};
use membench_common::{Close, Header, Socket, counter, field, kind};

use crate::{
    follow,
    stream::state::{Edge, State, Stream},
};

/// Puts the socket's record into the ring, once; returns false while the ring is full.
#[inline(always)]
pub fn announce(state: &mut State, sock: impl Sock, counters: Counters, time: u64) -> bool {
    if state.announced == 0 && output_socket(state, sock, time) {
        counters.add(counter::RECORDS, 1);
        state.announced = 1;
    }
    if state.announced == 0 {
        counters.add(counter::RECORDS_RING_FULL, 1);
    }
    state.announced != 0
}

/// Puts the record of the end of the received stream into the ring; returns false if the ring is full.
#[inline(always)]
pub fn output_end(state: &mut State, counters: Counters, time: u64) -> bool {
    let Stream {
        offset, call, lost, ..
    } = *state.received();
    let header = Header {
        kind: kind::END,
        offset,
        call,
        lost,
        ..state.header(time)
    };
    let done = ring::output((&raw const header).cast(), size_of::<Header>() as u64);
    count(counters, done);
    done
}

/// Puts the last record of an announced socket into the ring. `after` are the bytes that moved after the last calls.
#[inline(always)]
pub fn output_close(state: &State, counters: Counters, after: Edge) {
    count(counters, output_totals(state, after));
}

#[inline(always)]
fn output_totals(state: &State, after: Edge) -> bool {
    let time = context::now();
    let close = Close {
        request_offset: state.request.offset,
        response_offset: state.response.offset,
        request_lost: state.request.lost,
        response_lost: state.response.lost,
        request_after: after.request,
        response_after: after.response,
    };
    let record = (
        Header {
            kind: kind::CLOSE,
            ..state.header(time)
        },
        close,
    );
    ring::output(
        (&raw const record).cast(),
        size_of::<(Header, Close)>() as u64,
    )
}

#[inline(always)]
fn count(counters: Counters, done: bool) {
    counters.add(
        if done {
            counter::RECORDS
        } else {
            counter::RECORDS_RING_FULL
        },
        1,
    );
}

#[inline(always)]
fn output_socket(state: &State, sock: impl Sock, time: u64) -> bool {
    let record = (
        Header {
            kind: kind::SOCKET,
            ..state.header(time)
        },
        identity(sock, state.before),
    );
    ring::output(
        (&raw const record).cast(),
        size_of::<(Header, Socket)>() as u64,
    )
}

#[inline(always)]
fn identity(sock: impl Sock, before: Edge) -> Socket {
    let family = sock.read::<u16>(field::SOCK_FAMILY);
    let (local, remote) = match family {
        AF_UNIX => {
            let [own, peer] = inodes(sock);
            (
                zerocopy::transmute!([own, 0]),
                zerocopy::transmute!([peer, 0]),
            )
        }
        AF_INET6 => (
            wide_address(sock, field::SOCK_LOCAL6),
            wide_address(sock, field::SOCK_REMOTE6),
        ),
        _ => (
            address(sock, field::SOCK_LOCAL),
            address(sock, field::SOCK_REMOTE),
        ),
    };
    Socket {
        namespace: sock.namespace(),
        pid: context::process(),
        family,
        protocol: sock.read(field::SOCK_PROTOCOL),
        local_port: match family {
            AF_UNIX => follow::path(sock).unwrap_or(0),
            _ => sock.read(field::SOCK_LOCAL_PORT),
        },
        remote_port: u16::from_be(sock.read(field::SOCK_REMOTE_PORT)),
        local,
        remote,
        request_before: before.request,
        response_before: before.response,
    }
}

#[inline(always)]
fn address(sock: impl Sock, field: usize) -> [u8; 16] {
    let zero = zero() as u32;
    words([sock.read(field), zero, zero, zero])
}

#[inline(always)]
fn wide_address(sock: impl Sock, field: usize) -> [u8; 16] {
    words([
        sock.read_at(field, 0),
        sock.read_at(field, 1),
        sock.read_at(field, 2),
        sock.read_at(field, 3),
    ])
}

#[inline(always)]
fn words(words: [u32; 4]) -> [u8; 16] {
    zerocopy::transmute!(words)
}

/// Returns the inode numbers of a UNIX-domain socket and of its peer, 0 for one that is not there. `/proc/net/unix`
/// lists the same numbers.
#[inline(always)]
fn inodes(sock: impl Sock) -> [u64; 2] {
    if !follow::has_paths() {
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
