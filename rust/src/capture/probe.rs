//! Whether the kernel's socket calls can be recorded here: found out by trying.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use membench_common::counter;
use serde::Serialize;

use crate::decode::Responses;
use crate::{Error, Result};

use super::{Followed, Kernel, KernelOptions};

/// What is sent over a connection of our own to make the hooks fire.
const PING: &[u8] = b"version\r\n";

/// One step of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was tried.
    pub name: &'static str,
    /// Whether it worked.
    pub works: bool,
    /// What was seen.
    pub detail: String,
}

/// What a trial of `ebpf:any` came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// Whether it can be recorded from.
    pub works: bool,
    /// Which hooks.
    pub tier: Option<&'static str>,
    /// Why not.
    pub why: Option<String>,
    /// What would change that.
    pub remedy: Option<String>,
    /// Step by step.
    pub checks: Vec<Check>,
}

/// Loads and attaches the programs, makes them fire on a connection of our own, and detaches.
pub fn probe() -> Probe {
    let mut checks = Vec::new();
    match try_hooks(&mut checks) {
        Ok(tier) => Probe {
            works: true,
            tier: Some(tier),
            why: None,
            remedy: None,
            checks,
        },
        Err(error) => {
            let (why, remedy) = (Some(error.to_string()), error.hint());
            Probe {
                works: false,
                tier: None,
                why,
                remedy,
                checks,
            }
        }
    }
}

fn try_hooks(checks: &mut Vec<Check>) -> Result<&'static str> {
    let network = |source| Error::Io {
        path: "a loopback connection".into(),
        source,
    };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(network)?;
    let port = listener.local_addr().map_err(network)?.port();
    let options = KernelOptions {
        followed: Followed::ports(&[port]),
        responses: Responses::Bytes,
        ring_bytes: 0,
        ..KernelOptions::default()
    };
    let attached = Kernel::attach(&options);
    note(
        checks,
        "load and attach",
        attached.as_ref().map(|kernel| kernel.facts().to_string()),
    );
    let mut kernel = attached?;
    let fired = exchange(&listener)
        .map_err(network)
        .and_then(|()| fired(&kernel));
    note(
        checks,
        "fire",
        fired
            .as_ref()
            .map(|()| format!("{} bytes seen both ways", PING.len())),
    );
    fired?;
    let mut records = 0;
    kernel.drain(16, &mut |_| records += 1);
    note(
        checks,
        "ring",
        Ok::<_, &Error>(format!("{records} records")),
    );
    kernel.detach();
    Ok(kernel.facts().tier)
}

fn note(checks: &mut Vec<Check>, name: &'static str, result: std::result::Result<String, &Error>) {
    let (works, detail) = match result {
        Ok(detail) => (true, detail),
        Err(error) => (false, error.to_string()),
    };
    checks.push(Check {
        name,
        works,
        detail,
    });
}

/// Moves the same bytes both ways over a connection whose server side is ours.
fn exchange(listener: &TcpListener) -> std::io::Result<()> {
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    let mut bytes = vec![0; PING.len()];
    client.write_all(PING)?;
    server.read_exact(&mut bytes)?;
    server.write_all(&bytes)?;
    client.read_exact(&mut bytes)
}

fn fired(kernel: &Kernel) -> Result<()> {
    let counters = kernel.counters();
    let seen = [
        counters[counter::REQUEST_BYTES as usize],
        counters[counter::RESPONSE_BYTES as usize],
    ];
    if seen == [PING.len() as u64; 2] {
        Ok(())
    } else {
        Err(Error::HooksSilent {
            seen,
            sent: PING.len() as u64,
        })
    }
}
