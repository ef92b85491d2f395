//! Objects are read, and their globals and sizes set, without a kernel and without privileges.

use membench_bpf::{
    Capability, Counters, Error, Global, Kind, Link, Loaded, Map, Object, Ring, Rings, Runs,
};

use crate::assembler;

fn parse(section: &str) -> Object {
    Object::parse("test.bpf.o", assembler::object(section, 0)).unwrap()
}

#[test]
fn an_object_lists_its_programs_maps_and_globals() {
    let object = parse("tp_btf");
    assert_eq!(object.name(), "test.bpf.o");
    let programs: Vec<_> = object.programs().iter().collect();
    assert_eq!(programs, [(&"count".to_owned(), &Kind::BtfTracepoint)]);
    let kinds = ["counters", "events", "names", "percpu"].map(|map| object.maps()[map].kind);
    assert_eq!(kinds, ["array", "ringbuf", "hash", "percpu_array"]);
    let globals: Vec<_> = object.globals().keys().collect();
    assert_eq!(globals, ["HITS", "STEP"]);
    let expected = Global {
        section: ".rodata".into(),
        offset: 0,
        size: 8,
    };
    assert_eq!(object.globals()["STEP"], expected);
}

#[test]
fn names_that_the_object_lacks_and_wrong_sizes_are_refused() {
    let mut object = parse("xdp");
    let error = object.set_global("NONE", &1_u64).err().unwrap();
    assert_eq!(
        error.to_string(),
        "Failed to load eBPF program: test.bpf.o has no global NONE"
    );
    let error = object.set_global("STEP", &1_u32).err().unwrap();
    assert_eq!(
        error.to_string(),
        "Failed to load eBPF program: global STEP has 8 bytes, got: 4"
    );
    assert!(matches!(
        object.set_max_entries("none", 1),
        Err(Error::Absent { item: "map", .. })
    ));
    assert!(matches!(
        object.use_only(["none"]),
        Err(Error::Absent {
            item: "program",
            ..
        })
    ));
}

#[test]
fn bytes_that_are_no_object_are_refused() {
    for bytes in [&b""[..], b"#!/bin/sh\n", &[0x7f, b'E', b'L', b'F']] {
        let error = Object::parse("x.o", bytes.to_vec()).err().unwrap();
        let text = error.to_string();
        assert!(
            text.starts_with("Failed to load eBPF program: x.o is not an eBPF object: "),
            "{text}"
        );
    }
}

#[test]
fn the_capabilities_are_those_of_the_programs_that_are_used() {
    let mut object = parse("classifier");
    assert_eq!(
        object.capabilities(),
        [Capability::Bpf, Capability::NetAdmin]
    );
    object.use_only([]).unwrap();
    assert_eq!(object.capabilities(), [Capability::Bpf]);
    assert_eq!(
        parse("perf_event").capabilities(),
        [Capability::Bpf, Capability::Perfmon]
    );
}

#[test]
fn everything_can_be_used_from_any_thread() {
    fn is_sync<T: Send + Sync>() {}
    fn is_send<T: Send>() {}
    is_sync::<Object>();
    is_sync::<Loaded>();
    is_sync::<Map>();
    is_sync::<Link>();
    is_sync::<Counters>();
    is_sync::<Runs>();
    is_send::<Ring>();
    is_send::<Rings>();
}

#[test]
fn a_ring_whose_next_power_of_two_has_no_number_is_refused() {
    let mut object = parse("xdp");
    for size in [(1 << 31) + 1, 3 << 30, u32::MAX] {
        object.set_max_entries("events", size).unwrap();
        let Err(Error::RingSize { map, found, .. }) = object.load().map(drop) else {
            panic!("a ring of {size} bytes was made");
        };
        assert_eq!((map.as_str(), found), ("events", size));
    }
}
