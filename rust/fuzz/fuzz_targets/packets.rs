//! Arbitrary TCP segments and UDP datagrams of a few clients → streams whose holes are all reported, every byte accounted for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use membench_decode::packet::{Flows, Link, Packet, Ports};
use membench_decode::privacy::KeyHasher;
use membench_fuzz::{LIMITS, Streams};

const PORT: u16 = 11211;

/// Flags, sequence and acknowledgement numbers, captured share, delay after the previous segment (10 µs), payload.
type Segment<'a> = (u8, i16, i16, u8, u16, &'a [u8]);

/// Flag of a UDP datagram.
const UDP: u8 = 8;

/// Builds an IPv4 packet. The three highest bits of the flags select its direction and its client.
fn packet((flags, sequence, acknowledgement, _, _, payload): &Segment<'_>) -> Vec<u8> {
    let client = 40_000 + u16::from(flags >> 5 & 3);
    let (from, to) = match flags & 0x80 {
        0 => ((1, client), (2, PORT)),
        _ => ((2, PORT), (1, client)),
    };
    let is_udp = flags & UDP != 0;
    let headers = if is_udp { 28 } else { 40 };
    let length = u16::try_from(headers + payload.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0x45, 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 64, if is_udp { 17 } else { 6 }, 0, 0]);
    bytes.extend([10, 0, 0, from.0, 10, 0, 0, to.0]);
    bytes.extend(from.1.to_be_bytes());
    bytes.extend(to.1.to_be_bytes());
    if is_udp {
        bytes.extend((length - 20).to_be_bytes());
        bytes.extend([0; 2]);
        bytes.extend(*payload);
        return bytes;
    }
    // Numbers around zero, where they wrap.
    bytes.extend(i32::from(*sequence).to_be_bytes());
    bytes.extend(i32::from(*acknowledgement).to_be_bytes());
    bytes.extend([0x50, flags & 0x17, 1, 0, 0, 0, 0, 0]);
    bytes.extend(*payload);
    bytes
}

fuzz_target!(|input: (bool, Vec<Segment<'_>>)| {
    let (any, segments) = input;
    let Ok(hasher) = KeyHasher::random() else {
        return;
    };
    let mut streams = Streams::new(hasher);
    let ports = if any {
        Ports::Any
    } else {
        Ports::Of(vec![PORT])
    };
    let mut flows = Flows::following(ports, LIMITS);
    let mut time = 0;
    for segment in &segments {
        let bytes = packet(segment);
        time += u64::from(segment.4) * 10_000;
        // Most packets are captured whole.
        let cut = bytes.len() - usize::from(segment.3.saturating_sub(200)).min(bytes.len());
        let packet = Packet {
            time,
            link: Link::Raw,
            bytes: &bytes[..cut],
            length: bytes.len() as u32,
            way: None,
        };
        flows.take(&packet, &mut |found| streams.take(&found));
    }
    flows.finish(&mut |found| streams.take(&found));
    streams.end();
});
