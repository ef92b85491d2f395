//! A hit → true if its task, its name and its socket are among those asked for.

use aya_ebpf::helpers::generated::bpf_get_current_comm;
use membench_bpf_lib::{
    filter,
    kernel::{Probed, Sock, global, pointer},
    server,
};
use membench_common::{
    field, member,
    probe::{COMM, COMMS, socket},
};

use crate::{operands::Operands, settings::SETTINGS};

/// True if the current task is one of those asked for.
#[inline(always)]
pub fn admits_task() -> bool {
    filter::admits_task() && (global(&SETTINGS.comms[0][0]) == 0 || has_comm())
}

/// True if the hit's socket has one of the ports asked for, or none is asked for.
#[inline(always)]
pub fn admits_socket(operands: impl Operands) -> bool {
    if global(&SETTINGS.ports[0]) == 0 {
        return true;
    }
    match ports(operands) {
        Some((local, remote)) => is_listed(local) || is_listed(remote),
        None => false,
    }
}

/// True if hits are narrowed to ports.
#[inline(always)]
pub fn has_ports() -> bool {
    global(&SETTINGS.ports[0]) != 0
}

/// Returns the local and the remote port.
#[inline(always)]
fn ports(operands: impl Operands) -> Option<(u16, u16)> {
    let place = global(&SETTINGS.socket_place);
    let sock = match global(&SETTINGS.socket) {
        socket::SOCK => operands.word(place, 8)?,
        socket::SOCKET => pointer(operands.word(place, 8)?, member::SOCKET_SOCK)?,
        socket::FIELDS => {
            let remote = operands.word(global(&SETTINGS.remote_place), 2)?;
            return Some((operands.word(place, 2)? as u16, remote as u16));
        }
        _ => return None,
    };
    let sock = Probed::new(sock);
    let remote: u16 = sock.read(field::SOCK_REMOTE_PORT);
    Some((sock.read(field::SOCK_LOCAL_PORT), u16::from_be(remote)))
}

#[inline(always)]
fn is_listed(port: u16) -> bool {
    server::any_of(&SETTINGS.ports, |listed| listed == port)
}

#[inline(always)]
fn has_comm() -> bool {
    let mut comm = [0_u64; 2];
    // SAFETY: the size is that of `comm`; the helper fills it, with zeros after the name's end.
    unsafe { bpf_get_current_comm(comm.as_mut_ptr().cast(), COMM as u32) };
    let mut index = 0;
    while index < COMMS {
        let listed = &SETTINGS.comms[index];
        if global(&listed[0]) == 0 {
            return false;
        }
        if global(&listed[0]) == comm[0] && global(&listed[1]) == comm[1] {
            return true;
        }
        index += 1;
    }
    false
}
