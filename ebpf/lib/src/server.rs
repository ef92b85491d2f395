//! A socket → true if it has a followed port, and is at the followed end of its connection.

use membench_common::{PORTS as PORT_COUNT, field};

use crate::{
    abi::{IPPROTO_TCP, IPPROTO_UDP},
    kernel::{Sock, global},
};

/// The followed ports, ended by 0.
#[unsafe(no_mangle)]
static PORTS: [u16; PORT_COUNT] = [0; PORT_COUNT];

/// `SOCK_BINDPORT_LOCK`, where it is in [`field::SOCK_LOCKS`].
#[unsafe(no_mangle)]
static PORT_LOCK: u32 = 0;

/// True if any port is followed.
#[inline(always)]
pub fn has_ports() -> bool {
    global(&PORTS[0]) != 0
}

/// True if a port is one of those followed.
#[inline(always)]
pub fn is_followed_port(port: u16) -> bool {
    any_port(|followed| followed == port)
}

/// True if the condition holds for one of the followed ports.
#[inline(always)]
pub fn any_port(holds: impl FnMut(u16) -> bool) -> bool {
    any_of(&PORTS, holds)
}

/// True if the condition holds for one of some ports, which are ended by 0 unless there are as many as fit.
#[inline(always)]
pub fn any_of(ports: &'static [u16; PORT_COUNT], mut holds: impl FnMut(u16) -> bool) -> bool {
    let mut index = 0;
    while index < PORT_COUNT {
        match global(&ports[index]) {
            0 => return false,
            port if holds(port) => return true,
            _ => index += 1,
        }
    }
    false
}

/// True if a socket is the server's end of a connection, at a followed port. In doubt it is: MPTCP keeps what tells
/// elsewhere. A UDP socket that is connected to a peer is a client's. Families without ports have 0, which is never
/// followed.
#[inline(always)]
pub fn is_server(sock: impl Sock) -> bool {
    is_followed_port(sock.read(field::SOCK_LOCAL_PORT))
        && (has_backlog(sock)
            || match sock.read::<u16>(field::SOCK_PROTOCOL) {
                IPPROTO_TCP => !has_connected(sock),
                IPPROTO_UDP => sock.read::<u16>(field::SOCK_REMOTE_PORT) == 0,
                _ => true,
            })
}

/// True if a socket is the client's end of a connection to a followed port. A client may use a followed port as its own.
#[inline(always)]
pub fn is_client(sock: impl Sock) -> bool {
    is_followed_port(u16::from_be(sock.read(field::SOCK_REMOTE_PORT))) && !has_backlog(sock)
}

/// True for an accepted socket, unless its server listens with a backlog of 0: the kernel copies the socket from the
/// listener, whose backlog it keeps. <https://github.com/torvalds/linux/blob/v6.12/net/core/sock.c#L2323>
#[inline(always)]
fn has_backlog(sock: impl Sock) -> bool {
    sock.read::<u32>(field::SOCK_BACKLOG) != 0
}

/// True if a TCP socket without a backlog has its port by itself, and so has connected. Either it was bound to the port:
/// the kernel does not pass that mark on to accepted sockets. Or `connect` chose the port, which it does only where no
/// socket is bound. A socket for which `bind` chose the port cannot be told from an accepted one.
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/inet_hashtables.c#L1057-L1066>
#[inline(always)]
fn has_connected(sock: impl Sock) -> bool {
    if u32::from(sock.read::<u8>(field::SOCK_LOCKS)) & global(&PORT_LOCK) != 0 {
        return true;
    }
    // A connection that TCP has just ended is in no bucket.
    let bucket = sock.tcp().and_then(|tcp| tcp.follow(field::SOCK_BUCKET));
    bucket.is_some_and(|bucket| {
        bucket.read::<i8>(field::BUCKET_REUSE) < 0
            && bucket.read::<i8>(field::BUCKET_REUSE_PORT) < 0
    })
}
