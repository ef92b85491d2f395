//! A capture goes on after every privilege is given up. A process of its own, with one thread: it cannot be undone.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use membench_capture::{Followed, Kernel, KernelOptions, counter, give_up_privileges};
use membench_decode::Responses;
use membench_event::Failure;

const PORT: u16 = 21119;

fn main() {
    let options = KernelOptions {
        followed: Followed::ports(&[PORT]),
        responses: Responses::Bytes,
        ring_bytes: 1 << 20,
        ..KernelOptions::default()
    };
    let kernel = Kernel::attach(&options);
    give_up_privileges().unwrap();
    nothing_is_left();
    match kernel {
        Ok(mut kernel) => still_captures(&mut kernel),
        Err(error) if std::env::var_os("MEMBENCH_REQUIRE_ROOT").is_some() => panic!("{error}"),
        Err(error) => eprintln!("skipped: a capture without privileges: {error}"),
    }
    if let Err(error) = Kernel::attach(&options) {
        assert!(
            error
                .to_string()
                .starts_with("Insufficient permissions to load eBPF programs."),
            "{error}"
        );
        assert!(error.hint().is_some());
    } else {
        panic!("attached without privileges");
    }
}

fn nothing_is_left() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(
            status.contains(&format!("{set}:\t0000000000000000\n")),
            "{status}"
        );
    }
    assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

fn still_captures(kernel: &mut Kernel) {
    let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
    let mut client = TcpStream::connect(("127.0.0.1", PORT)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"get k\r\n").unwrap();
    server.read_exact(&mut [0; 7]).unwrap();
    assert_eq!(kernel.drain(usize::MAX, &mut |_| ()), 2);
    assert_eq!(kernel.counters()[counter::REQUEST_BYTES as usize], 7);
    assert_eq!(kernel.misses().unwrap().calls, 0);
    kernel.detach();
    client.write_all(b"get k\r\n").unwrap();
    server.read_exact(&mut [0; 7]).unwrap();
    assert_eq!(kernel.counters()[counter::REQUEST_BYTES as usize], 7);
}
