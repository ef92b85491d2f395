//! A receive on a followed socket → when the last of the bytes it takes had arrived.

use aya_ebpf::programs::BtfTracePointContext;

use super::{table, walk::Walked};
use crate::{
    arrival,
    kernel::{Sock, Structure},
    socket,
};

/// The program `walked_arrival`. The system call that runs will find the socket at the same address.
#[inline(always)]
pub fn begun(ctx: &BtfTracePointContext) -> Option<()> {
    let sock = Structure::new(ctx.arg(0))?;
    if !socket::is_followed_tcp(sock) {
        return None;
    }
    let sock = Walked::at(sock.address());
    arrival::note(sock, table::at_or_new(sock.address)?)
}
