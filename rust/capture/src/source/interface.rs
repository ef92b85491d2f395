//! An interface → its packets, through programs of ours at the kernel's traffic control.

use std::fs;
use std::path::PathBuf;

use aya::util::online_cpus;
use aya::{Ebpf, EbpfLoader};
use membench_common::{counter, global, program};
use membench_decode::packet::{Link, Packet, PacketError};

use crate::bpf::classifier::{Hooks, Place};
use crate::bpf::counters::{Counters, Heartbeat};
use crate::bpf::failure;
use crate::bpf::privileges::{INTERFACES, require};
use crate::bpf::ring::{Rings, Size};
use crate::source::frames::Frame;
use crate::source::sockets as load;
use crate::source::sockets::options::{Attachment, Facts};
use crate::source::sockets::{OBJECT, globals};
use crate::{Error, KernelError, Result, clock};

/// The rings hold whole packets, values and all: so many times what those of the socket hooks have.
const ROOM: u32 = 4;
/// How often it is made sure that the interface is still there, ns.
const LOOKS: u64 = 1_000_000_000;
/// Where the kernel describes interfaces.
const DESCRIBED: &str = "/sys/class/net";
/// The flag of loopback interfaces.
const LOOPBACK: u32 = 8;

/// Packets of an interface, as they pass. Once open it needs no privilege.
pub(crate) struct Interface {
    name: String,
    index: String,
    link: Link,
    rings: Rings,
    counters: Counters,
    heartbeat: Heartbeat,
    hooks: Hooks,
    facts: Facts,
    /// Where the packet that is handed over is kept.
    room: Vec<u8>,
    malformed: u64,
    looked: u64,
    failure: Option<String>,
    /// Keeps programs and maps in the kernel.
    _object: Ebpf,
}

impl Interface {
    /// Attaches to an interface; from then on packets of these ports are captured.
    pub(crate) fn open(
        name: &str,
        ports: &[u16],
        ring_bytes: u32,
        attachment: Option<Attachment>,
    ) -> Result<Self> {
        require(&INTERFACES)?;
        let link = link(name)?;
        let cpus = load::cpus()?;
        let online = online_cpus().map_err(load::unreadable)?;
        let size = Size::of(ring_bytes.saturating_mul(ROOM), None, online.len());
        let mut object = load(ports, link, cpus)?;
        let rings = Rings::make(&mut object, size, cpus, &online)?;
        let counters = Counters::map(load::descriptor(&object, "counters")?, cpus)?;
        let heartbeat = Heartbeat::map(load::descriptor(&object, "heartbeat")?)?;
        let place = Place {
            interface: name,
            is_loopback: is_loopback(name)?,
        };
        let attached = Hooks::attach(&mut object, place, attachment);
        let (hooks, fallback) = attached.map_err(refused)?;
        heartbeat.beat();
        let facts = Facts {
            hooks: hooks.attachment().name(),
            fallback,
            kernel_release: load::kernel_release(),
            object_sha256: load::object_sha256(),
            ring_bytes: size.total(),
            rings: size.rings,
        };
        Ok(Self {
            index: index(name)?,
            name: name.to_owned(),
            link,
            rings,
            counters,
            heartbeat,
            hooks,
            facts,
            room: Vec::new(),
            malformed: 0,
            looked: clock::monotonic_ns(),
            failure: None,
            _object: object,
        })
    }

    /// The next packet, if one is there.
    pub(crate) fn next_packet(&mut self) -> Option<Packet<'_>> {
        self.heartbeat.beat();
        loop {
            let (mut frame, room) = (None, &mut self.room);
            let is_there = self
                .rings
                .take_next(&mut |record| frame = Frame::read(record, room));
            match frame {
                Some(frame) => return Some(frame.packet(self.link, &self.room)),
                None if is_there => self.malformed += 1,
                None => return None,
            }
        }
    }

    /// Tells the programs that somebody will drain the rings.
    pub(crate) fn beat(&self) {
        self.heartbeat.beat();
    }

    /// Why there will be no more packets, if so; `now` is the clock's, ns.
    pub(crate) fn failure(&mut self, now: u64) -> Option<&str> {
        if now.saturating_sub(self.looked) >= LOOKS {
            self.looked = now;
            if index(&self.name).ok().as_ref() != Some(&self.index) {
                self.failure = Some(format!("{} is not there any more", self.name));
            }
        }
        self.told_failure()
    }

    /// The same, without looking again.
    pub(crate) fn told_failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Packets that did not reach their ring, or not whole: it was full, or this recorder had been silent.
    pub(crate) fn dropped(&self) -> u64 {
        self.counters.sums()[counter::PACKETS_DROPPED as usize] + self.malformed
    }

    /// Packets whose headers could not be followed.
    pub(crate) fn unreadable(&self) -> u64 {
        self.counters.sums()[counter::PACKETS_UNREADABLE as usize]
    }

    /// Packets of the ports that passed.
    pub(crate) fn passed(&self) -> u64 {
        self.counters.sums()[counter::PACKETS as usize]
    }

    /// `ebpf:` and the interface.
    pub(crate) fn name(&self) -> String {
        format!("ebpf:{}", self.name)
    }

    /// How it works.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What removes the programs, should this process and its helper be killed; none where the kernel does it.
    pub(crate) fn removal(&self) -> Option<String> {
        self.hooks.removal()
    }

    /// Stops capturing. What is in the rings can still be taken. Returns what could not be removed.
    pub(crate) fn detach(&mut self) -> Option<String> {
        self.hooks.detach()
    }
}

/// Makes the maps; programs are loaded one by one.
fn load(ports: &[u16], link: Link, cpus: u32) -> Result<Ebpf> {
    let ports = globals::port_list(ports)?;
    let link_header: u32 = if link == Link::Ethernet { 14 } else { 0 };
    let mut loader = EbpfLoader::new();
    loader
        .map_max_entries("rings", cpus)
        .map_max_entries("counters", cpus * program::COUNT)
        .map_max_entries("packet_scratch", cpus)
        .override_global(global::PORTS, &ports, true)
        .override_global(global::LINK, &link_header, true);
    let object = loader.load(OBJECT);
    object.map_err(|error| refused(failure::load(failure::OBJECT, error)))
}

/// What each packet of the interface begins with.
fn link(interface: &str) -> Result<Link> {
    match described(interface, "type")?.parse() {
        // Ethernet and loopback.
        Ok(1 | 772) => Ok(Link::Ethernet),
        // Point-to-point protocols, bare IP, tunnels over IPv4 and IPv6, TUN and WireGuard.
        Ok(512 | 519 | 768 | 769 | 776 | 65534) => Ok(Link::Raw),
        number => Err(PacketError::LinkType {
            path: PathBuf::from(interface),
            number: number.unwrap_or(u32::MAX),
        }
        .into()),
    }
}

/// Packets pass a loopback interface twice: out, and in again.
fn is_loopback(interface: &str) -> Result<bool> {
    let flags = described(interface, "flags")?;
    let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16);
    Ok(flags.is_ok_and(|flags| flags & LOOPBACK != 0))
}

/// The number of an interface, which none gets again.
fn index(interface: &str) -> Result<String> {
    described(interface, "ifindex")
}

fn described(interface: &str, what: &str) -> Result<String> {
    let path = PathBuf::from(DESCRIBED).join(interface).join(what);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(Error::Io { path, source }),
    }
}

/// The capabilities are there: what is not allowed all the same is forbidden by a policy.
fn refused(error: Error) -> Error {
    match error {
        Error::Kernel(KernelError::MissingCapabilities { .. }) => KernelError::Load {
            name: failure::OBJECT,
            source: std::io::Error::from_raw_os_error(libc::EPERM),
            log: String::new(),
        }
        .into(),
        other => other,
    }
}
