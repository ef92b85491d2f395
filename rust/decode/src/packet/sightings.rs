//! Packets that are not followed → what there was instead: ports, encapsulations, and what looks like memcached.

use std::collections::{BTreeMap, HashMap};

use super::content;
use super::encapsulation::Encapsulation;
use super::headers::{Tcp, Udp};

/// Most ports that are told apart.
const MOST_PORTS: usize = 4096;
/// Most payloads of a port that are looked at.
const MOST_LOOKS: u64 = 64;

/// Traffic of one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortTraffic {
    /// Number of the port: the lower one of a packet's two.
    pub port: u16,
    /// True for UDP, false for TCP.
    pub is_udp: bool,
    /// Number of packets.
    pub packets: u64,
    /// Payload, bytes.
    pub bytes: u64,
    /// True if payload looks like requests to a memcached.
    pub is_memcached: bool,
}

/// Traffic that is not followed, and the encapsulations of all.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    ports: HashMap<(u16, bool), PortTraffic>,
    encapsulations: BTreeMap<Encapsulation, u64>,
}

impl Sightings {
    /// Ports with traffic that is not followed: those that look like memcached first, then by bytes and packets.
    pub fn ports(&self) -> Vec<PortTraffic> {
        let mut ports: Vec<PortTraffic> = self.ports.values().copied().collect();
        ports.sort_unstable_by_key(|one| {
            let order = (one.is_memcached, one.bytes, one.packets);
            (std::cmp::Reverse(order), one.port, one.is_udp)
        });
        ports
    }

    /// Encapsulations that were removed, each with its number of packets.
    pub fn encapsulations(&self) -> impl Iterator<Item = (Encapsulation, u64)> {
        self.encapsulations
            .iter()
            .map(|(kind, count)| (*kind, *count))
    }

    pub(super) fn note_encapsulation(&mut self, encapsulation: Encapsulation) {
        *self.encapsulations.entry(encapsulation).or_default() += 1;
    }

    pub(super) fn note_tcp(&mut self, tcp: &Tcp<'_>) {
        let ports = (tcp.source.port(), tcp.destination.port());
        self.note(ports, false, tcp.length, tcp.payload);
    }

    pub(super) fn note_udp(&mut self, udp: &Udp<'_>) {
        let ports = (udp.source.port(), udp.destination.port());
        // memcached's frame header.
        let payload = udp.payload.get(8..).unwrap_or_default();
        self.note(ports, true, udp.length, payload);
    }

    fn note(
        &mut self,
        (source, destination): (u16, u16),
        is_udp: bool,
        length: u32,
        payload: &[u8],
    ) {
        let port = source.min(destination);
        let key = (port, is_udp);
        if self.ports.len() >= MOST_PORTS && !self.ports.contains_key(&key) {
            return;
        }
        let traffic = self.ports.entry(key).or_insert(PortTraffic {
            port,
            is_udp,
            ..PortTraffic::default()
        });
        traffic.packets += 1;
        traffic.bytes += u64::from(length);
        if traffic.packets <= MOST_LOOKS && !payload.is_empty() && port == destination {
            traffic.is_memcached |= content::begins_requests(payload);
        }
    }
}
