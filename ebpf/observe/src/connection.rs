//! A followed socket → its connection's addresses, and the sums of the connection's requests.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    btf_maps::{Array, HashMap},
    macros::btf_map,
};
use membench_bpf_lib::{
    abi::{AF_INET, AF_INET6},
    kernel::{Sock, Structure},
};
use membench_common::{
    field,
    observe::{BUCKETS, Connected, Connection, TCP_RETRANSMITS, TCP_ROUND_TRIP, part},
};

use crate::{place, socket::Socket, sums::bucket};

/// User space sets the size, and removes connections that are idle.
#[btf_map(name = "connections")]
static CONNECTIONS: HashMap<Connection, Connected, 1> = HashMap::new();

/// A connection without requests, as nothing of that size fits on the stack.
#[btf_map(name = "unused")]
static UNUSED: Array<Connected, 1> = Array::new();

/// Returns the addresses of a connection.
#[inline(always)]
pub fn of(tcp: Structure) -> Connection {
    let family = Sock::read::<u16>(tcp, field::SOCK_FAMILY);
    Connection {
        remote: remote(tcp, family),
        family,
        remote_port: u16::from_be(Sock::read(tcp, field::SOCK_REMOTE_PORT)),
        local_port: Sock::read(tcp, field::SOCK_LOCAL_PORT),
        padding: 0,
    }
}

#[inline(always)]
fn remote(tcp: Structure, family: u16) -> [u8; 16] {
    let mut remote = [0_u64; 2];
    if family == AF_INET {
        remote[0] = u64::from(Sock::read::<u32>(tcp, field::SOCK_REMOTE));
    } else if family == AF_INET6 {
        remote = [
            tcp.read_at(field::SOCK_REMOTE6, 0),
            tcp.read_at(field::SOCK_REMOTE6, 1),
        ];
    }
    // SAFETY: both are 16 bytes without padding.
    unsafe { core::mem::transmute::<[u64; 2], [u8; 16]>(remote) }
}

/// Adds a request, which a send of `length` bytes answers, to its connection. Without room, it is in no connection's sums.
#[inline(always)]
pub fn add(socket: &Socket, tcp: Structure, length: u32, parts: &[u64; part::COUNT]) -> Option<()> {
    let key = of(tcp);
    let connected = match CONNECTIONS.get_ptr_mut(key) {
        Some(connected) => connected,
        None => {
            let unused = UNUSED.get(0)?;
            let _ = CONNECTIONS.insert(key, unused, u64::from(BPF_NOEXIST));
            CONNECTIONS.get_ptr_mut(key)?
        }
    };
    let mut part = 0;
    while part < part::COUNT {
        // SAFETY: a map's value, which only calls on this connection write, one after the other.
        unsafe { (*connected).sums[part] += parts[part] };
        part += 1;
    }
    let bucket = bucket(parts[part::WHOLE]) & (BUCKETS - 1);
    // SAFETY: as above, and the index is masked.
    unsafe {
        (*connected).requests += 1;
        (*connected).read += u64::from(socket.read_bytes());
        (*connected).sent += u64::from(length);
        (*connected).worker = socket.worker - 1;
        (*connected).round_trip = place::read(tcp, TCP_ROUND_TRIP);
        (*connected).retransmits = place::read(tcp, TCP_RETRANSMITS);
        *(&raw mut (*connected).histogram).cast::<u32>().add(bucket) += 1;
    }
    Some(())
}
