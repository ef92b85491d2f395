//! Access to servers for `rust/fuzz`. Not part of the API.

use std::io;
use std::net::SocketAddr;

use crate::selection::listeners::Endpoint;
use crate::server::statistics::Asker;
use crate::session::peer::OwnAddresses;

/// Asks a server for its counters and its clients. Returns the number of both.
pub fn ask(server: SocketAddr) -> io::Result<(usize, usize)> {
    let (mut asker, _) = Asker::connect(&Endpoint::Inet(server), &OwnAddresses::default())?;
    let counters = asker.general()?.general.len();
    Ok((counters, asker.connections()?.len()))
}
