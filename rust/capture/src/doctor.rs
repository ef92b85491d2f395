//! Sources that attach to this machine → which of them work here, found out by trying.

#[cfg(feature = "ebpf")]
mod hooks;

use membench_event::Failure;
use serde::Serialize;

use crate::Result;
#[cfg(feature = "ebpf")]
use crate::doctor::hooks::{try_interface, try_sockets};
#[cfg(feature = "pcap")]
use crate::source::libpcap::Libpcap;
#[cfg(not(all(feature = "ebpf", feature = "pcap")))]
use crate::source::missing;

/// Port in the trial's filter; it needs no traffic.
#[cfg(feature = "pcap")]
const TRIAL_PORT: u16 = 11211;

/// One step of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Name of the step.
    pub name: String,
    /// True if it worked.
    pub works: bool,
    /// The observation.
    pub detail: String,
}

/// The result of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// True if the source can be recorded.
    pub works: bool,
    /// The hooks that were used.
    pub hooks: Option<&'static str>,
    /// The reason why it does not work.
    pub why: Option<String>,
    /// The remedy.
    pub remedy: Option<String>,
    /// The steps of the trial.
    pub checks: Vec<Check>,
}

/// Loads and attaches the programs, makes them fire on a connection of our own, and detaches.
pub fn probe() -> Probe {
    let mut checks = Vec::new();
    let tried = try_sockets(&mut checks).map(Some);
    conclude(tried, checks)
}

/// Opens an interface (`any` for all) through libpcap, sets a filter, and closes it.
pub fn probe_packets(interface: &str) -> Probe {
    let mut checks = Vec::new();
    let tried = try_libpcap(interface, &mut checks);
    conclude(tried.map(|()| None), checks)
}

#[cfg(feature = "pcap")]
fn try_libpcap(interface: &str, checks: &mut Vec<Check>) -> Result<()> {
    let opened = Libpcap::open(interface, &crate::Followed::ports(&[TRIAL_PORT]), 0);
    let version = opened.as_ref().map(|opened| opened.version().to_owned());
    note(checks, &format!("open and filter {interface}"), version);
    opened.map(drop)
}

#[cfg(not(feature = "pcap"))]
fn try_libpcap(_: &str, _: &mut Vec<Check>) -> Result<()> {
    Err(missing("pcap", "pcap:INTERFACE"))
}

#[cfg(not(feature = "ebpf"))]
fn try_sockets(_: &mut Vec<Check>) -> Result<&'static str> {
    Err(missing("ebpf", "ebpf:any"))
}

#[cfg(not(feature = "ebpf"))]
fn try_interface(_: &mut Vec<Check>) -> Result<&'static str> {
    Err(missing("ebpf", "ebpf:INTERFACE"))
}

/// Attaches to the loopback interface, passes packets of our own, and detaches.
pub fn probe_interface() -> Probe {
    let mut checks = Vec::new();
    let tried = try_interface(&mut checks).map(Some);
    conclude(tried, checks)
}

fn conclude(tried: Result<Option<&'static str>>, checks: Vec<Check>) -> Probe {
    match tried {
        Ok(hooks) => Probe {
            works: true,
            hooks,
            why: None,
            remedy: None,
            checks,
        },
        Err(error) => {
            let (why, remedy) = (
                Some(error.to_string()),
                error.hint().map(|hint| hint.for_command_line()),
            );
            Probe {
                works: false,
                hooks: None,
                why,
                remedy,
                checks,
            }
        }
    }
}

#[cfg(any(feature = "ebpf", feature = "pcap"))]
fn note(checks: &mut Vec<Check>, name: &str, result: std::result::Result<String, &crate::Error>) {
    let (works, detail) = match result {
        Ok(detail) => (true, detail),
        Err(error) => (false, error.to_string()),
    };
    checks.push(Check {
        name: name.to_owned(),
        works,
        detail,
    });
}
