//! Targets that send without end, a byte now and then, or nothing → a clear end, soon, in bounded memory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use membench_event::{Command, Event, OptionsTable, Outcome};
use membench_replay::{Error, Options, Progress, Report, Result, in_memory, run_recording};

const STATISTICS: &[u8] =
    b"STAT pid 1\r\nSTAT curr_items 0\r\nSTAT curr_connections 1\r\nSTAT bytes_read 0\r\nEND\r\n";
/// Longest time that any of these may take: several times the longest wait, for a busy machine.
const SOON: Duration = Duration::from_mins(1);

/// Starts a server that answers each line by `answer`, on a thread for each connection. Returns its address.
fn server(answer: fn(&str, &mut TcpStream) -> std::io::Result<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                for line in BufReader::new(stream)
                    .lines()
                    .map_while(std::result::Result::ok)
                {
                    if answer(&line, &mut writer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Writes the bytes again and again, until the other side hangs up.
fn forever(bytes: &[u8], pause: Duration, to: &mut TcpStream) -> std::io::Result<()> {
    loop {
        to.write_all(bytes)?;
        std::thread::sleep(pause);
    }
}

/// Replays some hundred `get`, for one second at most, and returns what that gave and how long it took.
fn replay(address: &str, options: &Options) -> (Result<Report>, Duration) {
    let get = |request: u32| Event {
        time: u64::from(request) * 1_000_000,
        request,
        batch: request,
        key: Some(u64::from(request)),
        key_size: Some(20),
        value_size: Some(10),
        outcome: Some(Outcome::Hit),
        ..Event::new(Command::Get)
    };
    let recording = in_memory(
        (0..300).map(get).collect(),
        OptionsTable::default(),
        Vec::new(),
    );
    let begun = Instant::now();
    let report = run_recording(&recording, address, options, &mut |_: &Progress| false);
    (report, begun.elapsed())
}

/// Resident memory of this process at its peak, bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kilobytes = line.split_ascii_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}

#[test]
fn statistics_without_end_are_refused() {
    let targets = [
        server(|_, to| forever(&b"STAT a b\r\n".repeat(1_000), Duration::ZERO, to)),
        server(|_, to| forever(&b"S".repeat(65_536), Duration::ZERO, to)),
        server(|_, to| forever(b"STAT a b\r\n", Duration::from_millis(200), to)),
        server(|_, to| forever(b"S", Duration::from_millis(200), to)),
        server(|_, _| Ok(())),
    ];
    for target in targets {
        let (report, took) = replay(&target, &Options::default());
        let error = report.err().unwrap();
        let is_told = matches!(
            error,
            Error::TargetProtocol { .. }
                | Error::TargetSilent { .. }
                | Error::TargetUnreachable { .. }
        );
        assert!(is_told, "{error}");
        assert!(took < SOON, "{took:?}: {error}");
    }
    assert!(peak() < 500_000_000);
}

#[test]
fn answers_without_end_do_not_keep_a_replay_from_being_stopped() {
    let targets = [
        server(|line, to| match line {
            "stats" => to.write_all(STATISTICS),
            _ => forever(&b"VALUE k 0 1\r\nx\r\n".repeat(2_000), Duration::ZERO, to),
        }),
        server(|line, to| match line {
            "stats" => to.write_all(STATISTICS),
            _ => forever(&b"STORED\r\n".repeat(8_000), Duration::ZERO, to),
        }),
        server(|line, to| {
            if line == "stats" {
                return to.write_all(STATISTICS);
            }
            to.write_all(b"VALUE k 0 4294967295\r\n")?;
            forever(&b"x".repeat(65_536), Duration::ZERO, to)
        }),
    ];
    for target in targets {
        let (report, took) = replay(&target, &Options::default());
        assert!(report.is_ok(), "{:?}", report.err());
        assert!(took < SOON, "{took:?}");
    }
    assert!(peak() < 500_000_000);
}

#[test]
fn a_target_that_never_answers_a_store_ends_the_warming_up() {
    let target = server(|line, to| {
        let answer = if line == "stats" { STATISTICS } else { b"" };
        to.write_all(answer)
    });
    let options = Options {
        warm: true,
        ..Options::default()
    };
    let (report, took) = replay(&target, &options);
    assert!(matches!(report.err(), Some(Error::TargetSilent { .. })));
    assert!(took < SOON, "{took:?}");
}
