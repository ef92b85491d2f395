//! Packets that are cut, fragmented, tagged or too many.

use super::*;

#[test]
fn bytes_beyond_the_snaplen_are_a_hole() {
    let segments = after_handshake(&[request(3 * US, 101, 501, b"set a 0 0 90\r\n...")]);
    let mut flows = Flows::new(&[PORT], Limits::default());
    let all = found_with(&mut flows, &segments, 14 + 20 + 20 + 10);
    assert_eq!(all[1], Plain::Bytes(Request, 0, b"set a 0 0 ".to_vec(), 7));
    let unreadable = found_with(&mut flows, &segments[3..], 14 + 20 + 10);
    assert_eq!((unreadable, flows.unfollowed().unreadable), (vec![], 1));
}

#[test]
fn memory_is_bounded_by_giving_up_gaps() {
    let limits = Limits {
        flows: 2,
        flow_bytes: 2000,
        total_bytes: 1 << 20,
    };
    let mut flows = Flows::new(&[PORT], limits);
    let mut all = found_with(&mut flows, &handshake(), WHOLE);
    for number in 0..40_u32 {
        let late = request(
            u64::from(number + 5) * US,
            201 + 100 * number,
            501,
            &[b'x'; 100],
        );
        all.extend(found_with(&mut flows, &[late], WHOLE));
    }
    let streamed = all
        .iter()
        .filter(|one| matches!(one, Plain::Bytes(_, _, bytes, _) if !bytes.is_empty()));
    assert!(streamed.count() >= 20);
    assert_eq!(all[1], bytes(Request, 100, b""));
    for port in [1, 2, 3] {
        let other = Segment {
            client: port,
            ..request(S, 1, 1, b"get a\r\n")
        };
        found_with(&mut flows, &[other], WHOLE);
    }
    assert_eq!(flows.unfollowed().no_state, 14);
}

#[test]
fn tags_options_and_extension_headers_are_skipped() {
    let segment = request(0, 101, 501, b"get a\r\n");
    let frame = segment.frame();
    let (ethernet, ip) = frame.split_at(14);
    let tag = [0x81, 0, 0, 5];
    let tagged = [&ethernet[..12], &tag, &ethernet[12..], ip].concat();
    let double = [
        &ethernet[..12],
        &[0x88, 0xa8, 0, 7],
        &tag,
        &ethernet[12..],
        ip,
    ]
    .concat();
    let mut with_options = [&[0x46][..], &ip[1..20], &[1, 1, 1, 0], &ip[20..]].concat();
    with_options[3] += 4;
    let tcp = &ip[20..];
    let length = u8::try_from(tcp.len() + 8).unwrap();
    let six = [
        &[0x60, 0, 0, 0, 0, length, 60, 64][..],
        &[0xfd; 16],
        &[0xfe; 16],
        &[6, 0, 1, 4, 0, 0, 0, 0],
        tcp,
    ]
    .concat();
    // A super-packet is too long for its length field.
    let mut long = ip.to_vec();
    long[2..4].fill(0);
    for (what, link, bytes) in [
        ("plain", Link::Ethernet, frame.clone()),
        ("one tag", Link::Ethernet, tagged),
        ("two tags", Link::Ethernet, double),
        ("options", Link::Raw, with_options),
        ("extension header", Link::Raw, six),
        ("no length", Link::Raw, long),
        ("padding", Link::Ethernet, [&frame[..], &[0; 9]].concat()),
    ] {
        let packet = Packet {
            time: 0,
            link,
            bytes: &bytes,
            length: u32::try_from(bytes.len()).unwrap(),
            way: None,
        };
        let headers::Seen::Tcp(tcp) = headers::parse(&packet).seen else {
            panic!("{what}: {:?}", headers::parse(&packet));
        };
        assert_eq!(
            (tcp.payload, tcp.length, tcp.sequence),
            (&b"get a\r\n"[..], 7, 101),
            "{what}"
        );
        assert_eq!(tcp.destination.port(), PORT, "{what}");
    }
}

#[test]
fn fragments_are_counted_if_their_ports_are_known() {
    let mut first = request(0, 101, 501, b"get a\r\n").frame();
    first[14 + 6] = 0x20;
    let mut later = first.clone();
    later[14 + 7] = 9;
    let mut flows = Flows::new(&[PORT], Limits::default());
    for bytes in [&first, &later] {
        let packet = Packet {
            time: 0,
            link: Link::Ethernet,
            bytes,
            length: u32::try_from(bytes.len()).unwrap(),
            way: None,
        };
        flows.take(&packet, &mut |found| panic!("{found:?}"));
    }
    assert_eq!(
        (flows.unfollowed().fragments, flows.packets().other),
        (1, 1)
    );
}
