//! A capture outlives the privileges it was attached with, and cannot be attached without them.
//!
//! Giving up privileges cannot be undone and requires that no other thread keeps any. The test harness has threads, so
//! this file has none (`harness = false`): each test runs in a process of its own, with one thread. Like a harness it
//! takes a filter, `--ignored` and `--include-ignored`, and says of each test whether it ran.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "it reports as the test harness does")]

use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, ExitCode},
};

use membench_capture::{Followed, Kernel, KernelOptions, counter, give_up_privileges};
use membench_decode::Responses;
use membench_event::Failure;

struct Test {
    name: &'static str,
    needs_root: bool,
    run: fn(),
}

const TESTS: [Test; 2] = [
    Test {
        name: "a_capture_goes_on_after_every_privilege_is_given_up",
        needs_root: true,
        run: a_capture_goes_on_after_every_privilege_is_given_up,
    },
    Test {
        name: "attaching_without_privileges_is_refused_with_a_remedy",
        needs_root: false,
        run: attaching_without_privileges_is_refused_with_a_remedy,
    },
];

/// Names the test that a process started by `main` is to run.
const CHILD: &str = "MEMBENCH_TEST";

fn main() -> ExitCode {
    if let Ok(name) = env::var(CHILD) {
        let test = TESTS.iter().find(|test| test.name == name).unwrap();
        (test.run)();
        return ExitCode::SUCCESS;
    }
    let (flags, filters): (Vec<_>, Vec<_>) =
        env::args().skip(1).partition(|word| word.starts_with('-'));
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    let chosen = |test: &&Test| {
        (filters.is_empty() || filters.iter().any(|filter| test.name.contains(filter)))
            && (test.needs_root || !has("--ignored"))
    };
    if has("--list") {
        for test in &TESTS {
            println!("{}: test", test.name);
        }
        return ExitCode::SUCCESS;
    }
    let [mut passed, mut failed, mut ignored] = [0; 3];
    for test in TESTS.iter().filter(chosen) {
        let (count, verdict) = if test.needs_root && !has("--ignored") && !has("--include-ignored")
        {
            (&mut ignored, "ignored, root")
        } else if succeeds(test) {
            (&mut passed, "ok")
        } else {
            (&mut failed, "FAILED")
        };
        *count += 1;
        println!("test {} ... {verdict}", test.name);
    }
    println!("\ntest result: {passed} passed; {failed} failed; {ignored} ignored");
    ExitCode::from(u8::from(failed > 0))
}

fn succeeds(test: &Test) -> bool {
    let this = env::current_exe().unwrap();
    let ended = Command::new(this).env(CHILD, test.name).status().unwrap();
    ended.success()
}

fn options(port: u16) -> KernelOptions {
    KernelOptions {
        followed: Followed::ports(&[port]),
        responses: Responses::Bytes,
        ring_bytes: 1 << 20,
        ..KernelOptions::default()
    }
}

fn a_capture_goes_on_after_every_privilege_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut kernel = Kernel::attach(&options(port)).unwrap();
    give_up_privileges(0).unwrap();
    assert_no_privilege_is_left();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    // On a busy machine attaching takes longer than a recorder may be silent.
    kernel.beat();
    client.write_all(b"get k\r\n").unwrap();
    server.read_exact(&mut [0; 7]).unwrap();
    assert_eq!(kernel.drain(usize::MAX, &mut |_| ()), 2);
    assert_eq!(kernel.counters()[counter::REQUEST_BYTES as usize], 7);
    assert!(kernel.facts().standby || kernel.misses().unwrap().calls == 0);
    kernel.detach();
    client.write_all(b"get k\r\n").unwrap();
    server.read_exact(&mut [0; 7]).unwrap();
    assert_eq!(kernel.counters()[counter::REQUEST_BYTES as usize], 7);
}

fn attaching_without_privileges_is_refused_with_a_remedy() {
    give_up_privileges(0).unwrap();
    let Err(error) = Kernel::attach(&options(11211)) else {
        panic!("attached without privileges");
    };
    assert!(
        error
            .to_string()
            .starts_with("Insufficient permissions to load eBPF programs."),
        "{error}"
    );
    assert!(error.hint().is_some());
}

fn assert_no_privilege_is_left() {
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
