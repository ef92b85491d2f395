//! An interface → its packets, through libpcap.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use membench_decode::packet::{Link, Packet, PacketError};
use membench_event::Anchor;

use crate::selection::namespaces;
use crate::source::end::Ended;
use crate::source::packets::{Feed, FeedLosses, TIME_BASIS};
use crate::source::{Clock, Description};
use crate::sys::pcap::{Handle, OpenOptions, PcapError};
use crate::{Error, Followed, Result, SourceSpec, clock};

/// Nothing is cut off a packet.
const SNAPLEN: u32 = 256 << 10;
/// Time for which the kernel may hold packets back, ms.
const TIMEOUT_MS: u16 = 10;
/// Factor by which the buffer is larger than the hooks' rings: it holds whole packets, values and all.
const ROOM: u64 = 4;
/// The smallest buffer that holds some packets, bytes, and the largest that libpcap accepts.
const BUFFERS: (u64, u64) = (2 << 20, 1 << 30);
/// Accepts packets behind MPLS labels.
const LABELS: &str = "ether proto 0x8847 or ether proto 0x8848";

/// A live capture.
pub(crate) struct Libpcap {
    /// Time before the first packet was captured, ns since 1970.
    begun: u64,
    handle: Handle,
    link: Link,
    interface: String,
    buffer_bytes: u32,
    version: String,
    /// libpcap's counters of drops when they were last read; they wrap.
    drops: [u32; 2],
    /// Packets dropped in all.
    dropped: u64,
    /// End of the capture, ns since 1970: later packets are not taken.
    until: Option<u64>,
    /// The reason why libpcap gave up.
    failure: Option<String>,
}

impl Libpcap {
    /// Opens an interface, or `any`, for packets of the followed ports.
    pub(crate) fn open(interface: &str, followed: &Followed, buffer_bytes: u32) -> Result<Self> {
        let buffer_bytes = buffer(buffer_bytes)?;
        let failed = |error| failure(interface, error);
        let begun = clock::anchor().utc_ns;
        let mut handle = Handle::open(&OpenOptions {
            interface,
            buffer_bytes,
            timeout_ms: TIMEOUT_MS,
            snaplen: SNAPLEN,
        })
        .map_err(failed)?;
        let number = u32::try_from(handle.link()).unwrap_or(u32::MAX);
        let link = Link::from_number(number).ok_or_else(|| PacketError::LinkType {
            path: PathBuf::from(interface),
            number,
        })?;
        // Not every link type knows tags and labels.
        let mut filters = filters(followed).into_iter();
        let most = filters.next().unwrap_or_default();
        filters
            .fold(handle.filter(&most), |done, filter| {
                done.or_else(|_| handle.filter(&filter))
            })
            .map_err(failed)?;
        let version = handle.version();
        let drops = handle.drops().unwrap_or_default();
        Ok(Self {
            begun,
            handle,
            link,
            interface: interface.to_owned(),
            buffer_bytes,
            version,
            drops,
            dropped: 0,
            until: None,
            failure: None,
        })
    }

    /// Adds what was dropped since the last time.
    fn count_drops(&mut self) {
        if let Some(now) = self.handle.drops() {
            for (before, now) in self.drops.iter().zip(now) {
                self.dropped += u64::from(now.wrapping_sub(*before));
            }
            self.drops = now;
        }
    }

    /// The library's name and version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }
}

impl Feed for Libpcap {
    fn describe(&mut self) -> Description {
        let utc_ns = self.begun;
        Description {
            anchor: Anchor {
                monotonic_ns: utc_ns,
                utc_ns,
            },
            clock: Clock::Utc,
            buffer_bytes: self.buffer_bytes.into(),
            facts: serde_json::json!({
                "libpcap": self.version(),
                "buffer_bytes": self.buffer_bytes,
            }),
            ..Description::new(SourceSpec::Libpcap(self.interface.clone()), TIME_BASIS)
        }
    }

    fn next_packet(&mut self) -> Option<Packet<'_>> {
        let captured = match self.handle.next() {
            Ok(captured) => captured?,
            Err(reason) => {
                self.failure = Some(reason);
                return None;
            }
        };
        if self.until.is_some_and(|until| captured.time > until) {
            return None;
        }
        Some(Packet {
            time: captured.time,
            link: self.link,
            bytes: captured.bytes,
            length: captured.length,
            way: None,
        })
    }

    fn look(&mut self) -> Option<Ended> {
        self.count_drops();
        let failure = self.failure.as_ref()?;
        Some(Ended::Source(format!("interface gone: {failure}")))
    }

    fn now(&self) -> Option<u64> {
        Some(clock::anchor().utc_ns)
    }

    fn namespace(&self) -> u32 {
        namespaces::own()
    }

    /// Waits for packets that the kernel holds back.
    fn detach(&mut self) -> Option<String> {
        self.until = Some(clock::anchor().utc_ns);
        thread::sleep(2 * Duration::from_millis(TIMEOUT_MS.into()));
        None
    }

    fn losses(&self) -> FeedLosses {
        FeedLosses {
            dropped: self.dropped,
            ..FeedLosses::default()
        }
    }
}

/// Returns the size of the kernel's buffer, for rings of this size.
fn buffer(ring_bytes: u32) -> Result<u32> {
    let (least, most) = BUFFERS;
    let wanted = u64::from(ring_bytes) * ROOM;
    match u32::try_from(wanted.max(least)) {
        Ok(bytes) if u64::from(bytes) <= most => Ok(bytes),
        _ => Err(Error::BufferTooLarge { wanted, most }),
    }
}

/// Filters for the followed ports, the most complete one first.
fn filters(followed: &Followed) -> Vec<String> {
    if followed.any_port {
        return vec![String::new()];
    }
    let plain = plain_filter(&followed.ports);
    let tunnels = tunnels(&followed.ports);
    let all = format!("{plain} or {tunnels}");
    let labelled = format!("{all} or {LABELS}");
    let tagged = format!("{labelled} or {}", behind_tags(&all));
    vec![tagged, labelled, all, plain]
}

/// Accepts TCP and UDP of the ports, and IPv6 packets whose transport header follows extension headers.
fn plain_filter(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(|port| format!("port {port}")).collect();
    let extended = "(ip6 and ip6[6] != 6 and ip6[6] != 17 and ip6[6] != 58)";
    format!(
        "(((tcp or udp) and ({})) or {extended})",
        ports.join(" or ")
    )
}

/// Accepts what `filter` does after one or two VLAN tags. It comes last: a tag moves what stands after it, too.
fn behind_tags(filter: &str) -> String {
    format!("(vlan and ({filter} or (vlan and ({filter}))))")
}

/// Accepts packets inside others. Those of VXLAN whose ports, at the usual place, are not ours are left out.
/// The rest is told apart here.
fn tunnels(ports: &[u16]) -> String {
    // Offset of the Ethernet frame inside, from the UDP header.
    const FRAME: u32 = 16;
    let at = |offset: u32| FRAME + offset;
    let is_ours = |offset: u32| {
        let places = [at(offset), at(offset + 2)];
        let each = ports
            .iter()
            .flat_map(|port| places.map(|place| format!("udp[{place}:2] = {port}")));
        each.collect::<Vec<_>>().join(" or ")
    };
    let (kind, four, next) = (at(12), at(14), at(20));
    let inside = format!(
        "(udp[{kind}:2] = 0x0800 and (udp[{four}] != 0x45 or {})) or \
         (udp[{kind}:2] = 0x86dd and ((udp[{next}] != 6 and udp[{next}] != 17) or {})) or \
         (udp[{kind}:2] != 0x0800 and udp[{kind}:2] != 0x86dd)",
        is_ours(34),
        is_ours(54),
    );
    let vxlan = "(udp dst port 4789 or udp dst port 8472)";
    let others = "udp dst port 4790 or udp dst port 6081 or udp dst port 6635";
    format!(
        "(ip and {vxlan} and ({inside})) or (ip6 and {vxlan}) or {others} or \
         ip proto 47 or ip proto 4 or ip proto 41 or ip proto 97 or ip proto 137 or \
         ip6 proto 47 or ip6 proto 4 or ip6 proto 41 or ip6 proto 97 or ip6 proto 137"
    )
}

fn failure(interface: &str, error: PcapError) -> Error {
    match error {
        PcapError::Missing(reason) => Error::NoLibpcap { reason },
        PcapError::Forbidden(reason) => Error::PacketsForbidden {
            interface: interface.to_owned(),
            reason,
        },
        PcapError::Failed(reason) => Error::PacketsUnavailable {
            interface: interface.to_owned(),
            reason,
        },
    }
}
