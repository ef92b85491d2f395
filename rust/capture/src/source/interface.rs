//! An interface → its packets, through programs of ours at the kernel's traffic control.

use std::{fs, io, path::PathBuf};

use membench_bpf::{
    Capability, Counters, Direction, Filters, Heartbeat, Hook, Link as ProgramLink, Loaded, Rings,
    VerifierLog, possible_cpus,
};
use membench_common::{PORTS, counter, global};
use membench_decode::packet::{Link, Packet, PacketError};
use membench_event::Anchor;

use crate::{
    Error, Followed, KernelError, Result, SourceSpec, clock,
    selection::namespaces,
    source::end::Ended,
    source::{
        Description,
        frames::{Frames, Taken},
        packets::{Feed, FeedLosses, TIME_BASIS},
        sockets::{
            self, globals,
            options::{Attachment, Facts},
        },
    },
};

/// Capabilities of programs at an interface. Without `CAP_PERFMON` the verifier also explores speculative paths, which
/// exceeds its limit on our loops.
const NEEDED: [Capability; 3] = [Capability::Bpf, Capability::Perfmon, Capability::NetAdmin];
/// The programs, and the direction that each sees.
const PROGRAMS: [(&str, Direction); 2] = [
    ("membench_in", Direction::Ingress),
    ("membench_out", Direction::Egress),
];
/// Size of the rings, relative to those of the socket hooks: they hold whole packets, values and all.
const ROOM: u64 = 4;
/// Interval at which the interface is looked for, ns.
const LOOKS: u64 = 1_000_000_000;
/// Folder in which the kernel describes interfaces.
const DESCRIBED: &str = "/sys/class/net";
/// `IFF_LOOPBACK`, the flag of loopback interfaces.
const LOOPBACK: u32 = 8;

/// Packets of an interface, as they pass. Once open it needs no privilege.
pub(crate) struct Interface {
    /// The moment before the first program was attached.
    begun: Anchor,
    name: String,
    index: String,
    link: Link,
    rings: Rings,
    counters: Counters,
    heartbeat: Heartbeat,
    hooks: Attached,
    facts: Facts,
    frames: Frames,
    malformed: u64,
    /// When the interface was last looked for, ns.
    looked: u64,
    failure: Option<String>,
    /// Keeps programs and maps in the kernel.
    _object: Loaded,
}

impl Interface {
    /// Attaches to an interface; from then on packets of the followed ports are captured.
    pub(crate) fn open(
        name: &str,
        followed: &Followed,
        ring_bytes: u32,
        attachment: Option<Attachment>,
    ) -> Result<Self> {
        Capability::require(&NEEDED)?;
        let link = link(name)?;
        let cpus = possible_cpus()?;
        let size = sockets::ring_size(u64::from(ring_bytes) * ROOM, None)?;
        let mut object = load(followed, link, cpus).map_err(refused)?;
        let rings = Rings::create(&object, "rings", size)?;
        let counters = sockets::open_counters(&object.map("counters")?, cpus)?;
        let heartbeat = Heartbeat::open(&object.map("heartbeat")?)?;
        let programs = &PROGRAMS[..if is_loopback(name)? { 1 } else { 2 }];
        let begun = clock::anchor();
        let attached = Attached::attach(&mut object, name, programs, attachment);
        let (hooks, fallback) = attached.map_err(|error| refused(error.into()))?;
        heartbeat.beat();
        let facts = sockets::facts(hooks.attachment().name(), fallback, size);
        Ok(Self {
            begun,
            index: index(name)?,
            name: name.to_owned(),
            link,
            rings,
            counters,
            heartbeat,
            hooks,
            facts,
            frames: Frames::default(),
            malformed: 0,
            looked: clock::monotonic_ns(),
            failure: None,
            _object: object,
        })
    }

    /// Returns the next packet, if one is there.
    pub(crate) fn next_packet(&mut self) -> Option<Packet<'_>> {
        self.heartbeat.beat();
        loop {
            let (mut taken, frames) = (None, &mut self.frames);
            self.rings
                .take_next(&mut |record| taken = Some(frames.take(record)));
            match taken? {
                Taken::Whole => return Some(self.frames.packet(self.link)),
                Taken::Part => {}
                Taken::Malformed => self.malformed += 1,
            }
        }
    }

    /// Tells the programs that somebody is going to drain the rings.
    pub(crate) fn beat(&self) {
        self.heartbeat.beat();
    }

    /// Returns why there will be no more packets, if so. Looks for the interface once a second; `now` is in ns of
    /// `CLOCK_MONOTONIC`.
    pub(crate) fn failure(&mut self, now: u64) -> Option<&str> {
        if now.saturating_sub(self.looked) >= LOOKS {
            self.looked = now;
            if index(&self.name).ok().as_ref() != Some(&self.index) {
                self.failure = Some(format!("{} is not there any more", self.name));
            }
        }
        self.failure.as_deref()
    }

    /// Returns how many packets did not reach the ring whole, because it was full or the recorder had been silent.
    pub(crate) fn dropped(&self) -> u64 {
        self.counters.sum(counter::PACKETS_DROPPED as usize)
    }

    /// Returns how many packets could not be read.
    pub(crate) fn unreadable(&self) -> u64 {
        self.counters.sum(counter::PACKETS_UNREADABLE as usize)
    }

    /// Returns how many packets passed that are of the ports, or in tunnels that may hold some.
    pub(crate) fn passed(&self) -> u64 {
        self.counters.sum(counter::PACKETS as usize)
    }

    /// Returns how this capture works.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Returns the shell command that removes the programs if this process and its helper are killed; `None` where the
    /// kernel does it.
    pub(crate) fn removal(&self) -> Option<String> {
        self.hooks.removal()
    }

    /// Stops capturing. Packets in the rings can still be taken. Returns the command that removes the programs by hand if
    /// detaching failed.
    pub(crate) fn detach(&mut self) -> Option<String> {
        self.hooks.detach()
    }
}

/// The attached programs of an interface.
enum Attached {
    /// Links, which end with this process.
    Tcx(Vec<ProgramLink>),
    /// Filters, which a helper removes.
    Clsact(Filters),
}

impl Attached {
    /// Loads and attaches the programs in the way that is wanted, else in the first way that this kernel has. Also
    /// returns why the first way was not taken.
    fn attach(
        object: &mut Loaded,
        interface: &str,
        programs: &[(&str, Direction)],
        wanted: Option<Attachment>,
    ) -> membench_bpf::Result<(Self, Option<String>)> {
        for (name, _) in programs {
            object.program(name)?.load(None)?;
        }
        if wanted == Some(Attachment::Clsact) {
            let filters = Filters::attach(object, interface, programs)?;
            return Ok((Self::Clsact(filters), None));
        }
        match attach_tcx(object, interface, programs) {
            Ok(links) => Ok((Self::Tcx(links), None)),
            Err(error) if wanted.is_none() && is_unknown(&error) => {
                let filters = Filters::attach(object, interface, programs)?;
                let why = "no TCX, which Linux 6.6 has".to_owned();
                Ok((Self::Clsact(filters), Some(why)))
            }
            Err(error) => Err(error),
        }
    }

    fn attachment(&self) -> Attachment {
        match self {
            Self::Tcx(_) => Attachment::Tcx,
            Self::Clsact(_) => Attachment::Clsact,
        }
    }

    fn removal(&self) -> Option<String> {
        match self {
            Self::Tcx(_) => None,
            Self::Clsact(filters) => Some(filters.removal_command()),
        }
    }

    fn detach(&mut self) -> Option<String> {
        match self {
            Self::Tcx(links) => {
                links.clear();
                None
            }
            Self::Clsact(filters) => filters.detach(),
        }
    }
}

fn attach_tcx(
    object: &mut Loaded,
    interface: &str,
    programs: &[(&str, Direction)],
) -> membench_bpf::Result<Vec<ProgramLink>> {
    let link = |(name, direction): &(&str, Direction)| {
        let hook = Hook::Tcx {
            interface: interface.into(),
            direction: *direction,
        };
        object.program(name)?.attach(&hook)
    };
    programs.iter().map(link).collect()
}

/// Returns true if the kernel does not know this way of attaching.
fn is_unknown(error: &KernelError) -> bool {
    let KernelError::Attach { source, .. } = error else {
        return false;
    };
    matches!(
        source.raw_os_error(),
        Some(libc::EINVAL | libc::EOPNOTSUPP | libc::E2BIG)
    )
}

/// Makes the maps; programs are loaded one by one.
fn load(followed: &Followed, link: Link, cpus: u32) -> Result<Loaded> {
    let link_header: u32 = if link == Link::Ethernet { 14 } else { 0 };
    let ports = if followed.any_port {
        [0; PORTS]
    } else {
        globals::port_list(&followed.ports)?
    };
    let mut object = sockets::object(cpus)?;
    object
        .use_only(PROGRAMS.map(|(name, _)| name))?
        .set_max_entries("packet_scratch", cpus)?
        .set_global(global::PORTS, &ports)?
        .set_global(global::ANY_PORT, &u32::from(followed.any_port))?
        .set_global(global::LINK, &link_header)?;
    Ok(object.load()?)
}

/// Returns the header that every packet of the interface begins with.
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

/// Returns true for a loopback interface, which packets pass twice: out, and in again.
fn is_loopback(interface: &str) -> Result<bool> {
    let flags = described(interface, "flags")?;
    let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16);
    Ok(flags.is_ok_and(|flags| flags & LOOPBACK != 0))
}

/// Returns the number of an interface, which no other gets later.
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

/// Reports a refusal as that of a policy: the capabilities were there when the interface was opened.
fn refused(error: Error) -> Error {
    match error {
        Error::Kernel(KernelError::MissingCapabilities { .. }) => KernelError::Load {
            name: sockets::OBJECT_NAME.into(),
            source: io::Error::from_raw_os_error(libc::EPERM),
            log: VerifierLog::default(),
        }
        .into(),
        other => other,
    }
}

impl Feed for Interface {
    fn describe(&mut self) -> Description {
        Description {
            buffer_bytes: self.facts.ring_bytes,
            kernel: Some(self.facts.clone()),
            removal: self.removal(),
            anchor: self.begun,
            ..Description::new(SourceSpec::Interface(self.name.clone()), TIME_BASIS)
        }
    }

    fn next_packet(&mut self) -> Option<Packet<'_>> {
        Self::next_packet(self)
    }

    fn look(&mut self) -> Option<Ended> {
        let failure = self.failure(clock::monotonic_ns())?;
        Some(Ended::Source(format!("interface gone: {failure}")))
    }

    fn now(&self) -> Option<u64> {
        Some(clock::monotonic_ns())
    }

    fn namespace(&self) -> u32 {
        namespaces::own()
    }

    fn detach(&mut self) -> Option<String> {
        Self::detach(self)
    }

    fn beat(&self) {
        Self::beat(self);
    }

    fn losses(&self) -> FeedLosses {
        FeedLosses {
            dropped: self.dropped(),
            unreadable: self.unreadable(),
            malformed: self.malformed,
            damaged: 0,
        }
    }
}
