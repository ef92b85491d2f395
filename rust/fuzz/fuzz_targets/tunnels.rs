//! Arbitrary bytes as packets of each link type, with everything that may be around a segment → no panic, and every byte
//! accounted for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use membench_decode::packet::{Flows, Link, Packet, Ports};
use membench_decode::privacy::KeyHasher;
use membench_fuzz::{LIMITS, Streams};

fuzz_target!(|packets: Vec<(u16, u16, &[u8])>| {
    let Ok(hasher) = KeyHasher::random() else {
        return;
    };
    let mut streams = Streams::new(hasher);
    let mut flows = Flows::following(Ports::Any, LIMITS);
    for (at, (link, missing, bytes)) in packets.iter().enumerate() {
        let packet = Packet {
            time: at as u64 * 1_000_000,
            link: Link::from_number(u32::from(*link)).unwrap_or(Link::Ethernet),
            bytes,
            length: bytes.len() as u32 + u32::from(*missing),
            way: None,
        };
        flows.take(&packet, &mut |found| streams.take(&found));
    }
    flows.finish(&mut |found| streams.take(&found));
    streams.end();
});
