//! A socket → true if it is a connection that a followed server accepted.

use membench_bpf_lib::{
    abi::IPPROTO_TCP,
    filter,
    kernel::{Sock, Structure},
    server,
};
use membench_common::field;

/// True if a socket is of TCP, and is the server's end at a followed port.
#[inline(always)]
pub fn is_followed(sock: Structure) -> bool {
    server::is_server(sock) && Sock::read::<u16>(sock, field::SOCK_PROTOCOL) == IPPROTO_TCP
}

/// True if also the current task, which makes a call on the socket, is among those asked for.
#[inline(always)]
pub fn admits(sock: Structure) -> bool {
    is_followed(sock) && filter::admits(sock)
}
