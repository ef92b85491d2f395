//! A socket → true if it is a connection that a followed server accepted.

use membench_bpf_lib::{
    abi::IPPROTO_TCP,
    filter,
    kernel::{Sock, Structure, global},
};
use membench_common::{PORTS as PORT_COUNT, field};

/// The followed ports, ended by 0.
#[unsafe(no_mangle)]
static PORTS: [u16; PORT_COUNT] = [0; PORT_COUNT];

/// True if a socket is of TCP, was accepted, and has a followed port. The kernel copies an accepted socket from its
/// listener, whose backlog it keeps; one that connected has none.
#[inline(always)]
pub fn is_followed(sock: Structure) -> bool {
    has_followed_port(sock)
        && Sock::read::<u16>(sock, field::SOCK_PROTOCOL) == IPPROTO_TCP
        && Sock::read::<u32>(sock, field::SOCK_BACKLOG) != 0
}

/// True if also the current task, which makes a call on the socket, is among those asked for.
#[inline(always)]
pub fn admits(sock: Structure) -> bool {
    is_followed(sock) && filter::admits(sock)
}

#[inline(always)]
fn has_followed_port(sock: Structure) -> bool {
    let port = Sock::read::<u16>(sock, field::SOCK_LOCAL_PORT);
    let mut index = 0;
    while index < PORT_COUNT {
        match global(&PORTS[index]) {
            0 => return false,
            followed if followed == port => return true,
            _ => index += 1,
        }
    }
    false
}
