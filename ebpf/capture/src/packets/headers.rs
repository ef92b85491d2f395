//! A packet → where its headers begin and end, and its ports.

use aya_ebpf::programs::TcContext;
use membench_bpf_lib::{
    abi::{IPPROTO_TCP, IPPROTO_UDP},
    kernel::global,
};
use membench_common::HEADERS;

/// Bytes before the network header: Ethernet's 14, or 0.
#[unsafe(no_mangle)]
static LINK: u32 = 14;

const ETHER_TYPE: usize = 12;
const TAG: usize = 4;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// Most extension headers between the IPv6 header and the transport header.
const EXTENSIONS: u32 = 8;
const TCP: u8 = IPPROTO_TCP as u8;
const UDP: u8 = IPPROTO_UDP as u8;
const UDP_HEADER: usize = 8;
/// Length of a TCP header without options.
const TCP_HEADER: usize = 20;

/// A reason to skip a packet.
#[derive(Clone, Copy)]
pub enum Unfit {
    /// Neither TCP nor UDP, or a fragment other than the first.
    Other,
    /// Possibly TCP or UDP, but with headers that are too many, too long or inconsistent.
    Unreadable,
}

/// Offsets of a packet's headers, and its ports.
#[derive(Clone, Copy)]
pub struct Place {
    pub network: usize,
    pub transport: usize,
    /// Offset of the payload.
    pub end: usize,
    pub source: u16,
    pub destination: u16,
    /// True if the payload is recorded: that of TCP packets which are no fragments.
    pub wanted: bool,
}

/// The transport header: its offset, its protocol, and true if it is in a fragment.
struct Transport {
    begin: usize,
    protocol: u8,
    is_fragment: bool,
}

/// Walks the headers of all layers.
#[inline(always)]
pub fn find(ctx: &TcContext) -> Result<Place, Unfit> {
    let (kind, network) = network(ctx)?;
    let transport = match kind {
        IPV4 => after_ipv4(ctx, network)?,
        IPV6 => after_ipv6(ctx, network)?,
        _ => return Err(Unfit::Other),
    };
    let Transport {
        begin,
        protocol,
        is_fragment,
    } = transport;
    if begin > HEADERS - 64 {
        return Err(Unfit::Unreadable);
    }
    let [a, b, c, d] = load::<4>(ctx, begin)?;
    let wanted = protocol == TCP && !is_fragment;
    Ok(Place {
        network,
        transport: begin,
        end: begin
            + if wanted {
                tcp_header(ctx, begin)?
            } else {
                UDP_HEADER
            },
        source: u16::from_be_bytes([a, b]),
        destination: u16::from_be_bytes([c, d]),
        wanted,
    })
}

/// Returns type and offset of the network header.
#[inline(always)]
fn network(ctx: &TcContext) -> Result<(u16, usize), Unfit> {
    if global(&LINK) == 0 {
        let [first] = load::<1>(ctx, 0)?;
        return match first >> 4 {
            4 => Ok((IPV4, 0)),
            6 => Ok((IPV6, 0)),
            _ => Err(Unfit::Other),
        };
    }
    let mut at = ETHER_TYPE;
    let mut kind = number(ctx, at)?;
    // A VLAN tag that the driver has stripped is not in the packet.
    if is_tag(kind) {
        at += TAG;
        kind = number(ctx, at)?;
        if is_tag(kind) {
            at += TAG;
            kind = number(ctx, at)?;
        }
    }
    if is_tag(kind) {
        return Err(Unfit::Unreadable);
    }
    Ok((kind, at + 2))
}

#[inline(always)]
fn is_tag(kind: u16) -> bool {
    kind == TAGS[0] || kind == TAGS[1] || kind == TAGS[2]
}

#[inline(always)]
fn after_ipv4(ctx: &TcContext, at: usize) -> Result<Transport, Unfit> {
    let header = load::<20>(ctx, at)?;
    let length = (header[0] as usize & 0xf) * 4;
    if header[0] >> 4 != 4 || length < 20 {
        return Err(Unfit::Unreadable);
    }
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    if fragment & 0x1fff != 0 {
        return Err(Unfit::Other);
    }
    transport(at + length, header[9], fragment & 0x2000 != 0)
}

#[inline(always)]
fn after_ipv6(ctx: &TcContext, at: usize) -> Result<Transport, Unfit> {
    let [.., next, _] = load::<8>(ctx, at)?;
    let (mut at, mut next, mut is_fragment) = (at + 40, next, false);
    let mut passed = 0;
    while passed < EXTENSIONS {
        if at > HEADERS {
            break;
        }
        let length = match next {
            // Hop-by-hop, routing, destination options, mobility, HIP, shim6.
            0 | 43 | 60 | 135 | 139 | 140 => 8,
            // Authentication.
            51 => 4,
            // Fragment.
            44 => 0,
            _ => return transport(at, next, is_fragment),
        };
        let header = load::<4>(ctx, at)?;
        at += match length {
            8 => (header[1] as usize + 1) * 8,
            4 => (header[1] as usize + 2) * 4,
            _ => {
                let fragment = u16::from_be_bytes([header[2], header[3]]);
                if fragment >> 3 != 0 {
                    return Err(Unfit::Other);
                }
                is_fragment |= fragment & 1 != 0;
                8
            }
        };
        next = header[0];
        passed += 1;
    }
    Err(Unfit::Unreadable)
}

#[inline(always)]
fn transport(begin: usize, protocol: u8, is_fragment: bool) -> Result<Transport, Unfit> {
    if protocol == TCP || protocol == UDP {
        Ok(Transport {
            begin,
            protocol,
            is_fragment,
        })
    } else {
        Err(Unfit::Other)
    }
}

/// Returns the length of a TCP header.
#[inline(always)]
fn tcp_header(ctx: &TcContext, at: usize) -> Result<usize, Unfit> {
    let [words] = load::<1>(ctx, at + 12)?;
    let length = (words >> 4) as usize * 4;
    if length < TCP_HEADER {
        return Err(Unfit::Unreadable);
    }
    Ok(length)
}

#[inline(always)]
fn number(ctx: &TcContext, at: usize) -> Result<u16, Unfit> {
    load::<2>(ctx, at).map(u16::from_be_bytes)
}

/// Loads bytes of the packet, linear or not. A packet too short for them is not TCP or UDP.
#[inline(always)]
fn load<const LENGTH: usize>(ctx: &TcContext, at: usize) -> Result<[u8; LENGTH], Unfit> {
    ctx.load::<[u8; LENGTH]>(at).map_err(|_| Unfit::Other)
}
