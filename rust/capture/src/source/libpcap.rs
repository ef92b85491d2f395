//! An interface → its packets, through libpcap.

use std::path::PathBuf;

use crate::sys::pcap::{Handle, OpenOptions, PcapError};
use crate::{Error, Result};
use membench_decode::packet::{Link, Packet, PacketError};

/// Nothing is cut off a packet.
const SNAPLEN: u32 = 256 << 10;
/// How long the kernel may hold packets back, ms.
pub(crate) const TIMEOUT_MS: u16 = 10;
/// The buffer holds whole packets, values and all: so many times what the ring of the hooks has.
const ROOM: u32 = 4;
/// The smallest buffer that holds some packets, bytes, and the largest that libpcap takes.
const BUFFERS: (u32, u32) = (2 << 20, 1 << 30);

/// A live capture.
pub(crate) struct Live {
    handle: Handle,
    link: Link,
    interface: String,
    buffer_bytes: u32,
    version: String,
    /// Drops as libpcap last told them, and their sum.
    told: [u32; 2],
    dropped: u64,
    /// Why it gave up.
    failure: Option<String>,
}

impl Live {
    /// Opens an interface, or `any`, for packets of these ports.
    pub(crate) fn open(interface: &str, ports: &[u16], buffer_bytes: u32) -> Result<Self> {
        let buffer_bytes = buffer_bytes
            .saturating_mul(ROOM)
            .clamp(BUFFERS.0, BUFFERS.1);
        let failed = |error| failure(interface, error);
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
        let plain = plain_filter(ports);
        // Not every link type knows tags.
        handle
            .filter(&tagged(&plain))
            .or_else(|_| handle.filter(&plain))
            .map_err(failed)?;
        let version = handle.version();
        let told = handle.drops().unwrap_or_default();
        Ok(Self {
            handle,
            link,
            interface: interface.to_owned(),
            buffer_bytes,
            version,
            told,
            dropped: 0,
            failure: None,
        })
    }

    /// The next packet, if one is there.
    pub(crate) fn next_packet(&mut self) -> Option<Packet<'_>> {
        match self.handle.next() {
            Ok(captured) => captured.map(|captured| Packet {
                time: captured.time,
                link: self.link,
                bytes: captured.bytes,
                length: captured.length,
                way: None,
            }),
            Err(reason) => {
                self.failure = Some(reason);
                None
            }
        }
    }

    /// Why there will be no more packets, if so: the interface is gone, for one.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Asks libpcap what was dropped since it was last asked; returns all so far.
    pub(crate) fn count_drops(&mut self) -> u64 {
        if let Some(now) = self.handle.drops() {
            for (told, now) in self.told.iter().zip(now) {
                self.dropped += u64::from(now.wrapping_sub(*told));
            }
            self.told = now;
        }
        self.dropped
    }

    /// Packets dropped, as last counted.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// `pcap:` and the interface.
    pub(crate) fn name(&self) -> String {
        format!("pcap:{}", self.interface)
    }

    /// Size of the kernel's buffer.
    pub(crate) fn buffer_bytes(&self) -> u32 {
        self.buffer_bytes
    }

    /// The library's name and version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }
}

/// TCP and UDP of the ports, and IPv6 packets whose transport stands behind extension headers.
fn plain_filter(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(|port| format!("port {port}")).collect();
    let extended = "(ip6 and ip6[6] != 6 and ip6[6] != 17 and ip6[6] != 58)";
    format!(
        "(((tcp or udp) and ({})) or {extended})",
        ports.join(" or ")
    )
}

/// The same, also behind one or two VLAN tags.
fn tagged(plain: &str) -> String {
    format!("{plain} or (vlan and ({plain} or (vlan and {plain})))")
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
