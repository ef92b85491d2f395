//! Capture files built by hand → packets and damage.

use std::io::{Cursor, Write};

use super::byte_order::Order;
use super::*;

const FRAME: &[u8] = b"\x45\0\0\x14 and the rest of it";

fn classic(
    order: Order,
    nanoseconds: bool,
    link: u32,
    records: &[(u32, u32, &[u8], u32)],
) -> Vec<u8> {
    let word = |value: u32| match order {
        Order::Big => value.to_be_bytes(),
        Order::Little => value.to_le_bytes(),
    };
    let magic: u32 = if nanoseconds {
        0xa1b2_3c4d
    } else {
        0xa1b2_c3d4
    };
    // Two halves, the first of which is 2, and the second 4.
    let version: u32 = match order {
        Order::Big => 0x0002_0004,
        Order::Little => 0x0004_0002,
    };
    let mut file: Vec<u8> = [magic, version, 0, 0, 65_535, link]
        .into_iter()
        .flat_map(word)
        .collect();
    for (seconds, fraction, bytes, length) in records {
        let captured = u32::try_from(bytes.len()).unwrap();
        file.extend(
            [*seconds, *fraction, captured, *length]
                .into_iter()
                .flat_map(word),
        );
        file.extend(*bytes);
    }
    file
}

/// Builds a block from its type and content, padded.
fn block(order: Order, kind: u32, content: &[u8]) -> Vec<u8> {
    let word = |value: u32| match order {
        Order::Big => value.to_be_bytes(),
        Order::Little => value.to_le_bytes(),
    };
    let mut content = content.to_vec();
    content.resize(content.len().next_multiple_of(4), 0);
    let length = u32::try_from(content.len() + 12).unwrap();
    [&word(kind)[..], &word(length), &content, &word(length)].concat()
}

fn section(order: Order) -> Vec<u8> {
    let magic = match order {
        Order::Big => 0x1a2b_3c4d_u32.to_be_bytes(),
        Order::Little => 0x1a2b_3c4d_u32.to_le_bytes(),
    };
    block(order, 0x0a0d_0d0a, &[&magic[..], &[0; 12]].concat())
}

fn le(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn interface(link: u16, options: &[u8]) -> Vec<u8> {
    block(
        Order::Little,
        1,
        &[&link.to_le_bytes()[..], &[0, 0], &[0; 4], options].concat(),
    )
}

fn packet(interface: u32, time: u64, bytes: &[u8], options: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let mut content = le(&[
        interface,
        (time >> 32) as u32,
        time as u32,
        length,
        length + 7,
    ]);
    content.extend(bytes);
    content.resize(content.len().next_multiple_of(4), 0);
    content.extend(options);
    block(Order::Little, 6, &content)
}

fn read(file: &[u8]) -> Result<Reader, PacketError> {
    Reader::read(Path::new("test.pcap"), Box::new(Cursor::new(file.to_vec())))
}

/// Time, captured bytes and original length of a packet.
type Taken = (u64, Vec<u8>, u32);

/// Reads every packet, and the damage if any.
fn packets(file: &[u8]) -> (Vec<Taken>, Option<Damage>) {
    let mut reader = read(file).unwrap();
    let mut all = Vec::new();
    while let Some(packet) = reader.next_packet() {
        all.push((packet.time, packet.bytes.to_vec(), packet.length));
    }
    (all, reader.damage())
}

#[test]
fn both_byte_orders_and_both_resolutions_give_nanoseconds() {
    for (order, nanoseconds, expected) in [
        (Order::Big, false, 3_000_007_000),
        (Order::Little, false, 3_000_007_000),
        (Order::Big, true, 3_000_000_007),
        (Order::Little, true, 3_000_000_007),
    ] {
        let file = classic(order, nanoseconds, 101, &[(3, 7, FRAME, 99)]);
        assert_eq!(packets(&file), (vec![(expected, FRAME.to_vec(), 99)], None));
    }
}

#[test]
fn records_of_a_patched_libpcap_are_longer() {
    let mut file = classic(Order::Little, false, 1, &[]);
    file[..4].copy_from_slice(&0xa1b2_cd34_u32.to_le_bytes());
    for seconds in [3, 4] {
        let captured = u32::try_from(FRAME.len()).unwrap();
        file.extend(le(&[seconds, 7, captured, 99, 2, 0x0008_0000]));
        file.extend(FRAME);
    }
    let expected = [3_000_007_000, 4_000_007_000].map(|time| (time, FRAME.to_vec(), 99));
    assert_eq!(packets(&file), (expected.to_vec(), None));
}

#[test]
fn files_that_were_joined_are_read_one_after_the_other() {
    let record = |seconds| (seconds, 7, FRAME, 99);
    let first = classic(Order::Little, false, 1, &[record(5)]);
    let second = classic(Order::Big, true, 101, &[record(3), record(4)]);
    let file = [&first[..], &second, &first, &first[..24]].concat();
    let (read, damage) = packets(&file);
    let times: Vec<u64> = read.iter().map(|(time, ..)| *time).collect();
    let expected = [5_000_007_000, 3_000_000_007, 4_000_000_007, 5_000_007_000];
    assert_eq!((times, damage), (expected.to_vec(), None));
    let mut reader = self::read(&file).unwrap();
    while reader.next_packet().is_some() {}
    assert_eq!(reader.captures(), 4);
    let unknown = classic(Order::Little, false, 105, &[]);
    let damage = packets(&[&first[..], &unknown].concat()).1;
    assert_eq!(damage, Some(Damage::Link { number: 105 }));
}

#[test]
fn compressed_files_are_decompressed() {
    let plain = classic(
        Order::Little,
        false,
        1,
        &[(1, 2, FRAME, 22), (1, 3, b"x", 1)],
    );
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    let expected = packets(&plain);
    assert_eq!(expected.0.len(), 2);
    for compressed in [gzip.finish().unwrap(), zstd] {
        assert_eq!(packets(&compressed), expected);
        let cut = compressed[..compressed.len() - 9].to_vec();
        if let Ok(mut reader) = Reader::read(Path::new("cut"), Box::new(Cursor::new(cut))) {
            while reader.next_packet().is_some() {}
            assert!(reader.damage().is_some());
        }
    }
}

#[test]
fn a_truncated_file_yields_its_whole_packets_and_reports_the_cut() {
    let whole = classic(
        Order::Big,
        false,
        1,
        &[(1, 0, FRAME, 22), (2, 0, FRAME, 22)],
    );
    let record = 16 + FRAME.len();
    for end in 24..whole.len() {
        let (read, damage) = packets(&whole[..end]);
        let expected = (end - 24) / record;
        let at_edge = (end - 24) % record == 0;
        assert_eq!((read.len(), damage.is_none()), (expected, at_edge), "{end}");
    }
}

#[test]
fn a_file_that_is_no_capture_is_refused_with_what_was_found() {
    let unknown = classic(Order::Little, false, 105, &[]);
    for (file, expected) in [
        (&b""[..], "it is empty"),
        (b"\xd4\xc3", "it has 2 bytes"),
        (b"get key\r\n", "it begins with 67657420"),
        (&unknown[..20], "it ends within its header"),
        (&unknown, "link type 105"),
    ] {
        let Err(error) = read(file) else {
            panic!("{expected}")
        };
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn absurd_lengths_end_the_reading() {
    let mut file = classic(Order::Little, false, 1, &[(1, 0, FRAME, 22)]);
    file.extend(le(&[1, 0, 0x7fff_ffff, 60]));
    let (read, damage) = packets(&file);
    assert_eq!(read.len(), 1);
    assert!(
        matches!(
            damage,
            Some(Damage::Length {
                length: 0x7fff_ffff,
                ..
            })
        ),
        "{damage:?}"
    );
    for length in [0, 8, 13, 0xffff_fff0] {
        let file = [section(Order::Little), interface(1, b""), le(&[6, length])].concat();
        assert!(packets(&file).1.is_some(), "{length}");
    }
}

#[test]
fn each_interface_has_its_own_resolution_and_offset() {
    let resolution = |value: u8| [9, 0, 1, 0, value, 0, 0, 0];
    let offset = [&[14, 0, 8, 0][..], &100_i64.to_le_bytes()].concat();
    let file = [
        section(Order::Little),
        interface(1, b""),
        interface(1, &resolution(9)),
        interface(101, &resolution(0x8a)),
        interface(1, &offset),
        packet(0, 5_000_001, FRAME, b""),
        packet(1, 5_000_000_001, FRAME, b""),
        packet(2, 5 * 1024 + 512, FRAME, b""),
        packet(3, 5_000_001, FRAME, b""),
    ]
    .concat();
    let times: Vec<u64> = packets(&file).0.iter().map(|packet| packet.0).collect();
    assert_eq!(
        times,
        [5_000_001_000, 5_000_000_001, 5_500_000_000, 105_000_001_000]
    );
}

#[test]
fn sections_may_change_the_byte_order_and_other_blocks_are_skipped() {
    let big = [
        section(Order::Big),
        block(Order::Big, 1, &[0, 1, 0, 0, 0, 0, 0, 0]),
        block(
            Order::Big,
            6,
            &[&[0; 8][..], &[0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 2], b"hi"].concat(),
        ),
    ];
    let little = [
        section(Order::Little),
        block(Order::Little, 0xbad, &[7; 64]),
        interface(1, b""),
        block(Order::Little, 3, &[&le(&[2])[..], b"ho"].concat()),
    ];
    let (read, damage) = packets(&[big.concat(), little.concat()].concat());
    let bytes: Vec<&[u8]> = read.iter().map(|packet| &packet.1[..]).collect();
    assert_eq!((bytes, damage), (vec![&b"hi"[..], b"ho"], None));
}

#[test]
fn drops_reported_by_packets_and_statistics_are_counted_once() {
    let count =
        |code: u16, value: u64| [&code.to_le_bytes()[..], &[8, 0], &value.to_le_bytes()].concat();
    let statistics = |drops: u64| {
        block(
            Order::Little,
            5,
            &[le(&[0, 0, 0]), count(5, drops), count(7, 1)].concat(),
        )
    };
    let file = [
        section(Order::Little),
        interface(1, b""),
        packet(0, 1, FRAME, &count(4, 3)),
        statistics(2),
        statistics(4),
    ]
    .concat();
    let mut reader = read(&file).unwrap();
    while reader.next_packet().is_some() {}
    assert_eq!((reader.dropped(), reader.damage()), ((5, 0), None));
}

#[test]
fn unsupported_link_types_are_skipped_and_undescribed_interfaces_end_the_reading() {
    let file = [
        section(Order::Little),
        interface(147, b""),
        packet(0, 1, FRAME, b""),
    ]
    .concat();
    let (read, damage) = packets(&file);
    assert_eq!(
        (read.len(), damage),
        (0, Some(Damage::Link { number: 147 }))
    );
    let file = [section(Order::Little), packet(3, 1, FRAME, b"")].concat();
    assert!(matches!(
        packets(&file).1,
        Some(Damage::Interface { interface: 3, .. })
    ));
}
