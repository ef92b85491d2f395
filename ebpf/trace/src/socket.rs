//! A descriptor → the socket's addresses, and whether its port is one of those followed.

use membench_bpf_lib::{
    abi::{AF_INET, AF_INET6},
    descriptor,
    kernel::{Probed, Sock, global},
    server,
};
use membench_common::{field, trace::Socket};

/// 1 to tell the addresses of every socket.
#[unsafe(no_mangle)]
static SOCKETS: u32 = 0;

/// 1 to leave out calls on other descriptors than sockets of the ports.
#[unsafe(no_mangle)]
static ONLY_PORTS: u32 = 0;

/// True if sockets are looked up at all.
#[inline(always)]
pub fn are_wanted() -> bool {
    server::has_ports() || global(&SOCKETS) != 0
}

/// True if calls on other descriptors than sockets of the ports are left out.
#[inline(always)]
pub fn are_alone() -> bool {
    global(&ONLY_PORTS) != 0
}

/// Looks up the socket of a descriptor; returns false if it is none.
#[inline(always)]
pub fn look_up(number: u32, to: *mut Socket) -> bool {
    let Some(sock) = descriptor::socket(number) else {
        return false;
    };
    let family = sock.read::<u16>(field::SOCK_FAMILY);
    let (local_port, remote_port) = if family == AF_INET || family == AF_INET6 {
        let remote = u16::from_be(sock.read(field::SOCK_REMOTE_PORT));
        (sock.read(field::SOCK_LOCAL_PORT), remote)
    } else {
        (0, 0)
    };
    let is_server = server::is_followed_port(local_port);
    let is_client = !is_server && server::is_followed_port(remote_port);
    // SAFETY: the caller's memory, of the current thread only.
    unsafe {
        (*to).inode = sock.identity();
        (*to).family = family;
        (*to).protocol = sock.read(field::SOCK_PROTOCOL);
        (*to).local_port = local_port;
        (*to).remote_port = remote_port;
        addresses(sock, family, to);
        (*to).followed = u32::from(is_server || is_client);
        (*to).client = u32::from(is_client);
    }
    true
}

#[inline(always)]
fn addresses(sock: Probed, family: u16, to: *mut Socket) {
    let (mut local, mut remote) = ([0_u64; 2], [0_u64; 2]);
    if family == AF_INET {
        local[0] = u64::from(sock.read::<u32>(field::SOCK_LOCAL));
        remote[0] = u64::from(sock.read::<u32>(field::SOCK_REMOTE));
    } else if family == AF_INET6 {
        local = sock.read(field::SOCK_LOCAL6);
        remote = sock.read(field::SOCK_REMOTE6);
    }
    // SAFETY: the caller's memory; both arrays have 16 bytes at multiples of 8.
    unsafe {
        (&raw mut (*to).local)
            .cast::<[u64; 2]>()
            .write_volatile(local);
        (&raw mut (*to).remote)
            .cast::<[u64; 2]>()
            .write_volatile(remote);
    }
}
