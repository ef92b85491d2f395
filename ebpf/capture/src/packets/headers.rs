//! A packet → if it is of a followed port, or in a tunnel that may hold such a packet.
//!
//! Only the outer headers are walked. User space removes tunnels, so what is passed on in vain costs time, and nothing else.

use aya_ebpf::programs::TcContext;
use membench_bpf_lib::{
    abi::{IPPROTO_TCP, IPPROTO_UDP},
    kernel::global,
    server,
};

/// Bytes before the network header: Ethernet's 14, or 0.
#[unsafe(no_mangle)]
static LINK: u32 = 14;

/// 1 if packets of every port are followed.
#[unsafe(no_mangle)]
static ANY_PORT: u32 = 0;

const ETHER_TYPE: usize = 12;
const TAG: usize = 4;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TAGS: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];
/// Ethernet frames and packets with labels (MPLS) inside an Ethernet frame.
const WRAPPED: [u16; 3] = [0x6558, 0x8847, 0x8848];
/// Most VLAN tags that are walked. A tag that the driver has stripped is not in the packet.
const MOST_TAGS: u32 = 2;
/// Most extension headers between the IPv6 header and the transport header that are walked.
const EXTENSIONS: u32 = 8;
/// Largest offset at which another extension header is looked for.
const FARTHEST: usize = 512;
const TCP: u8 = IPPROTO_TCP as u8;
const UDP: u8 = IPPROTO_UDP as u8;
/// Protocols that carry other packets: IPv4, IPv6, GRE, Ethernet, MPLS.
const TUNNELS: [u8; 5] = [4, 41, 47, 97, 137];
/// UDP ports of VXLAN (also Linux's former one), VXLAN-GPE, GENEVE, MPLS.
const TUNNEL_PORTS: [u16; 5] = [4789, 8472, 4790, 6081, 6635];
const UDP_HEADER: usize = 8;

/// A reason to pass a packet on.
#[derive(Clone, Copy)]
pub enum Sight {
    /// It is of a followed port.
    Port,
    /// It may hold another packet, whose ports stand somewhere behind this offset.
    Tunnel(usize),
}

/// Walks the outer headers; `None` for a packet that is certainly not of a followed port.
#[inline(always)]
pub fn find(ctx: &TcContext) -> Option<Sight> {
    let (kind, network) = network(ctx)?;
    if kind == IPV4 {
        after_ipv4(ctx, network)
    } else if kind == IPV6 {
        after_ipv6(ctx, network)
    } else if is_tag(kind) || WRAPPED.contains(&kind) {
        tunnel(network)
    } else {
        None
    }
}

/// Returns type and offset of the network header, or of the first header that is not walked.
#[inline(always)]
fn network(ctx: &TcContext) -> Option<(u16, usize)> {
    if global(&LINK) == 0 {
        let [first] = load::<1>(ctx, 0)?;
        return match first >> 4 {
            4 => Some((IPV4, 0)),
            6 => Some((IPV6, 0)),
            _ => None,
        };
    }
    let mut at = ETHER_TYPE;
    let mut kind = number(ctx, at)?;
    let mut passed = 0;
    while passed < MOST_TAGS && is_tag(kind) {
        at += TAG;
        kind = number(ctx, at)?;
        passed += 1;
    }
    Some((kind, at + 2))
}

#[inline(always)]
fn is_tag(kind: u16) -> bool {
    TAGS.contains(&kind)
}

#[inline(always)]
fn after_ipv4(ctx: &TcContext, at: usize) -> Option<Sight> {
    let header = load::<20>(ctx, at)?;
    let length = (header[0] as usize & 0xf) * 4;
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    // Only the first fragment has ports.
    if fragment & 0x1fff != 0 {
        return None;
    }
    transport(ctx, at + length, header[9])
}

#[inline(always)]
fn after_ipv6(ctx: &TcContext, at: usize) -> Option<Sight> {
    let [.., next, _] = load::<8>(ctx, at)?;
    let (mut at, mut next) = (at + 40, next);
    let mut passed = 0;
    while passed < EXTENSIONS && at <= FARTHEST {
        let length = match next {
            // Hop-by-hop, routing, destination options, mobility, HIP, shim6.
            0 | 43 | 60 | 135 | 139 | 140 => 8,
            // Authentication.
            51 => 4,
            // Fragment.
            44 => 0,
            _ => return transport(ctx, at, next),
        };
        let header = load::<4>(ctx, at)?;
        at += match length {
            8 => (header[1] as usize + 1) * 8,
            4 => (header[1] as usize + 2) * 4,
            _ => {
                // Only the first fragment has ports.
                if u16::from_be_bytes([header[2], header[3]]) >> 3 != 0 {
                    return None;
                }
                8
            }
        };
        next = header[0];
        passed += 1;
    }
    tunnel(at)
}

#[inline(always)]
fn transport(ctx: &TcContext, begin: usize, protocol: u8) -> Option<Sight> {
    if protocol != TCP && protocol != UDP {
        return if TUNNELS.contains(&protocol) {
            tunnel(begin)
        } else {
            None
        };
    }
    if follows_any() {
        return Some(Sight::Port);
    }
    let [a, b, c, d] = load::<4>(ctx, begin)?;
    let (source, destination) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    if server::is_followed_port(destination) || server::is_followed_port(source) {
        Some(Sight::Port)
    } else if protocol == UDP
        && (TUNNEL_PORTS.contains(&destination) || is_vxlan(ctx, begin + UDP_HEADER))
    {
        tunnel(begin)
    } else {
        None
    }
}

/// True for the header that VXLAN has on any port.
#[inline(always)]
fn is_vxlan(ctx: &TcContext, at: usize) -> bool {
    matches!(load::<8>(ctx, at), Some([8, 0, 0, 0, _, _, _, 0]))
}

/// Takes a packet that may hold another one.
#[inline(always)]
fn tunnel(begin: usize) -> Option<Sight> {
    Some(if follows_any() {
        Sight::Port
    } else {
        Sight::Tunnel(begin)
    })
}

/// True if packets of every port are followed. The verifier removes the code that looks for ports if so.
#[inline(always)]
fn follows_any() -> bool {
    global(&ANY_PORT) != 0
}

#[inline(always)]
fn number(ctx: &TcContext, at: usize) -> Option<u16> {
    load::<2>(ctx, at).map(u16::from_be_bytes)
}

/// Loads bytes of the packet, linear or not; `None` if it is too short for them.
#[inline(always)]
fn load<const LENGTH: usize>(ctx: &TcContext, at: usize) -> Option<[u8; LENGTH]> {
    ctx.load::<[u8; LENGTH]>(at).ok()
}
