//! Packets inside packets.

use super::*;
use crate::packet::testing::{encapsulated, in_ip};

fn packet(bytes: &[u8]) -> Packet<'_> {
    Packet {
        time: 0,
        link: Link::Ethernet,
        bytes,
        length: u32::try_from(bytes.len()).unwrap(),
        way: None,
    }
}

fn segment<'a>(packet: &Packet<'a>, what: &str) -> headers::Tcp<'a> {
    match headers::parse(packet).seen {
        headers::Seen::Tcp(tcp) => tcp,
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn a_segment_is_found_in_each_encapsulation_and_in_each_inside_each() {
    let frame = request(0, 101, 501, b"get a\r\n").frame();
    for (outer, _) in encapsulated(&frame) {
        for (inner, bytes) in encapsulated(&frame) {
            let nested = encapsulated(&bytes);
            let (_, bytes) = nested.iter().find(|(name, _)| *name == outer).unwrap();
            // Those that carry no Ethernet header drop the inner one's tags and labels with it.
            let is_bare = outer.contains("IP") || outer == "MPLS in UDP";
            if !is_bare || !(inner.contains("MPLS") || inner.contains("tags")) {
                let what = format!("{inner} in {outer}");
                let tcp = segment(&packet(bytes), &what);
                assert_eq!((tcp.payload, tcp.length), (&b"get a\r\n"[..], 7), "{what}");
                assert_eq!(tcp.destination.port(), PORT, "{what}");
            }
        }
    }
}

#[test]
fn encapsulations_are_counted_by_their_names() {
    let frame = request(0, 101, 501, b"get a\r\n").frame();
    let mut flows = Flows::new(&[PORT], Limits::default());
    for (_, bytes) in encapsulated(&frame) {
        flows.take(&packet(&bytes), &mut |_| {});
    }
    let seen: Vec<_> = flows.sightings().encapsulations().collect();
    let names: Vec<_> = seen.iter().map(|(kind, _)| kind.name()).collect();
    assert_eq!(
        names,
        ["MPLS", "IP-in-IP", "GRE", "ERSPAN", "VXLAN", "GENEVE"]
    );
    let all: u64 = seen.iter().map(|(_, count)| count).sum();
    assert_eq!(flows.packets().encapsulated, all);
    assert_eq!(flows.unfollowed(), Unfollowed::default());
}

#[test]
fn what_an_encapsulated_packet_lacks_is_a_hole_or_counted() {
    let payload = [b'x'; 60];
    let frame = request(0, 101, 501, &payload).frame();
    for (what, bytes) in encapsulated(&frame) {
        for cut in 0..bytes.len() {
            let packet = Packet {
                bytes: &bytes[..cut],
                ..packet(&bytes)
            };
            match headers::parse(&packet).seen {
                headers::Seen::Tcp(tcp) => {
                    assert_eq!(tcp.length, 60, "{what} {cut}");
                    assert_eq!(tcp.payload.len(), 60 - (bytes.len() - cut), "{what} {cut}");
                }
                // Without a header there is nothing to be told apart.
                headers::Seen::Other => assert!(cut < 40, "{what} {cut}"),
                headers::Seen::Unreadable { .. } => {}
                // Its content is all that tells such a tunnel from other datagrams.
                headers::Seen::Udp(_) => assert_eq!(what, "VXLAN at another port"),
                other @ headers::Seen::Fragment { .. } => panic!("{what} {cut}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_first_fragment_of_a_tunnel_holds_a_packet_that_is_cut() {
    let frame = request(0, 101, 501, &[b'x'; 60]).frame();
    let whole = in_ip(4, &frame[14..]);
    let mut first = whole[..whole.len() - 40].to_vec();
    let length = u16::try_from(first.len() - 14).unwrap();
    first[16..18].copy_from_slice(&length.to_be_bytes());
    first[20] = 0x20;
    let first = packet(&first);
    let tcp = segment(&first, "fragment");
    assert_eq!((tcp.payload.len(), tcp.length), (20, 60));
}

#[test]
fn endless_nesting_is_unreadable() {
    let mut bytes = vec![0; 12];
    bytes.extend([0x81, 0, 0, 1].repeat(1000));
    let seen = headers::parse(&packet(&bytes)).seen;
    assert!(
        matches!(seen, headers::Seen::Unreadable { ports: None }),
        "{seen:?}"
    );
}
