//! Targets that stop answering, each with a log of its own → what the report says of the answers that are missing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use membench_event::{Command, Event, OptionsTable, Outcome};
use membench_replay::{Observer, Options, Progress, Recording, Report, in_memory, run_recording};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Wait for the last answers that the replay documents, ns.
const DRAIN: u64 = 10 * SECOND;

/// A target's reaction to a `get`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Miss,
    Nothing,
    Close,
}

/// Requests that a target has read, by what it did with them.
#[derive(Clone, Debug, Default)]
struct Log {
    answered: u64,
    ignored: u64,
    closed: u64,
}

/// A target that decides on every `get` by its number, and writes a log.
struct Target {
    address: String,
    log: Arc<Mutex<Log>>,
}

impl Target {
    fn start(reply: impl Fn(u64) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let log = Arc::new(Mutex::new(Log::default()));
        let (reply, kept) = (Arc::new(reply), Arc::clone(&log));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (reply, log) = (Arc::clone(&reply), Arc::clone(&log));
                thread::spawn(move || serve(client, &*reply, &log));
            }
        });
        Self { address, log: kept }
    }

    fn log(&self) -> Log {
        self.log.lock().unwrap().clone()
    }
}

fn serve(client: TcpStream, reply: &dyn Fn(u64) -> Reply, log: &Mutex<Log>) {
    let mut writer = client.try_clone().unwrap();
    for line in BufReader::new(client).lines() {
        let Ok(line) = line else { return };
        let written = if line.starts_with("stats") {
            writer.write_all(b"STAT curr_items 0\r\nSTAT curr_connections 1\r\nEND\r\n")
        } else {
            let mut log = log.lock().unwrap();
            match reply(log.answered + log.ignored + log.closed) {
                Reply::Miss => {
                    log.answered += 1;
                    writer.write_all(b"END\r\n")
                }
                Reply::Nothing => {
                    log.ignored += 1;
                    Ok(())
                }
                Reply::Close => {
                    log.closed += 1;
                    return;
                }
            }
        };
        if written.is_err() {
            return;
        }
    }
}

/// Makes `count` gets, one a millisecond, over `connections` connections.
fn gets(count: u32, connections: u32) -> Recording<'static> {
    let events = (0..count).map(|index| Event {
        time: u64::from(index) * MILLISECOND,
        connection: index % connections,
        batch: index,
        request: index,
        key: Some(1),
        key_size: Some(20),
        outcome: Some(Outcome::Miss),
        ..Event::new(Command::Get)
    });
    in_memory(events.collect(), OptionsTable::default(), Vec::new())
}

fn replay(target: &Target, recording: &Recording<'_>, observer: &mut dyn Observer) -> Report {
    let options = Options {
        allow_nonempty: true,
        ..Options::default()
    };
    run_recording(recording, &target.address, &options, observer).unwrap()
}

fn to_the_end(target: &Target, recording: &Recording<'_>) -> Report {
    replay(target, recording, &mut |_: &Progress| true)
}

#[test]
fn a_target_that_freezes_for_good_is_slow_in_the_percentiles() {
    let target = Target::start(|number| {
        if number < 200 {
            Reply::Miss
        } else {
            Reply::Nothing
        }
    });
    let report = to_the_end(&target, &gets(1000, 5));
    let log = target.log();
    assert_eq!((report.answered, log.answered), (200, 200));
    assert_eq!(report.unanswered["no_answer_in_time"], log.ignored);
    assert_eq!((report.sent, report.errors), (1000, 800));
    for times in [&report.response_ns, &report.service_ns, &report.wire_ns] {
        let times = &times.overall;
        assert_eq!((times.count, times.unanswered), (1000, 800));
        // 200 of 1,000 were answered, so all of these fall on requests that waited to the end.
        assert_eq!(
            times.at_least,
            ["p50", "p90", "p95", "p99", "p999", "max", "mean"]
        );
        assert!(times.p50 >= DRAIN, "{times:?}");
    }
    assert_eq!(report.client_ns.overall.count, 200);
}

#[test]
fn a_target_that_answers_half_is_slow_above_the_median() {
    let target = Target::start(|number| {
        if number % 1000 < 500 {
            Reply::Miss
        } else {
            Reply::Nothing
        }
    });
    let report = to_the_end(&target, &gets(1000, 1000));
    let log = target.log();
    let get = &report.response_ns.by_command["get"];
    assert_eq!(
        (report.answered, get.unanswered),
        (log.answered, log.ignored)
    );
    assert_eq!(log.answered, 500);
    assert_eq!(get.at_least, ["p90", "p95", "p99", "p999", "max", "mean"]);
    assert!(get.p50 < DRAIN && get.p90 >= DRAIN, "{get:?}");
}

#[test]
fn a_target_that_dies_fails_what_it_did_not_answer() {
    let target = Target::start(|number| {
        if number < 300 {
            Reply::Miss
        } else {
            Reply::Close
        }
    });
    let report = to_the_end(&target, &gets(1000, 1));
    let log = target.log();
    assert_eq!(report.answered, log.answered);
    let unsent: u64 = report.unsent.values().sum();
    let unanswered: u64 = report.unanswered.values().sum();
    assert_eq!(report.sent + unsent, 1000);
    assert_eq!(unanswered + report.answered, report.sent);
    assert!(unanswered >= log.closed && log.closed > 0, "{log:?}");
    let times = &report.response_ns.overall;
    assert_eq!((times.count, times.unanswered), (1000, 700));
    assert!(times.at_least.contains(&"p50"), "{times:?}");
}

/// Ends the run from another thread's point of view: at any time, not at an interval.
struct Stopper {
    answered: Arc<AtomicBool>,
}

impl Observer for Stopper {
    fn interval(&mut self, _: &Progress) -> bool {
        true
    }

    fn goes_on(&mut self) -> bool {
        !self.answered.load(Ordering::Relaxed)
    }
}

#[test]
fn a_run_that_is_stopped_reports_what_it_did_up_to_then() {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let target = Target::start(move |number| {
        stopped.fetch_or(number >= 300, Ordering::Relaxed);
        Reply::Miss
    });
    let mut observer = Stopper { answered: stop };
    let report = replay(&target, &gets(60_000, 3), &mut observer);
    assert!(report.stopped && report.duration_s < report.planned_s / 2.0);
    assert!((report.planned_s - 60.0).abs() < 0.1);
    assert_eq!(report.answered, target.log().answered);
    assert_eq!((report.errors, report.answered), (0, report.sent));
    assert_eq!(report.sent + report.unsent["stopped"], 60_000);
    assert_eq!(report.response_ns.overall.unanswered, 0);
    let recorded: u64 = report.outcomes.recorded["get"].values().sum();
    assert_eq!(recorded, report.sent);
}

#[test]
fn a_run_that_is_stopped_tells_how_long_requests_have_waited() {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let target = Target::start(move |number| {
        stopped.fetch_or(number >= 600, Ordering::Relaxed);
        if number < 100 {
            Reply::Miss
        } else {
            Reply::Nothing
        }
    });
    let report = replay(&target, &gets(60_000, 3), &mut Stopper { answered: stop });
    let times = &report.response_ns.overall;
    assert_eq!(
        (report.answered, times.count - times.unanswered),
        (100, 100)
    );
    assert!(
        times.unanswered >= 500 && times.max >= 500 * MILLISECOND,
        "{times:?}"
    );
    assert!(report.unanswered["stopped"] >= 500);
    assert!(report.duration_s < 60.0);
}

#[test]
fn a_run_can_be_stopped_before_its_first_request() {
    let stop = Arc::new(AtomicBool::new(true));
    let target = Target::start(|_| Reply::Miss);
    let options = Options::default();
    let recording = gets(70_000, 1);
    let refused = run_recording(
        &recording,
        &target.address,
        &options,
        &mut Stopper { answered: stop },
    );
    assert!(matches!(refused, Err(membench_replay::Error::Stopped)));
    assert_eq!(target.log().answered, 0);
}

#[test]
fn a_target_that_reads_nothing_more_ends_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = thread::spawn(move || {
        let mut held = Vec::new();
        for client in listener.incoming().flatten() {
            if held.is_empty() {
                // The control connection; all others are never read.
                let control = client.try_clone().unwrap();
                thread::spawn(move || serve(control, &|_| Reply::Nothing, &Mutex::default()));
            }
            held.push(client);
        }
    });
    let sets = (0..600u32).map(|index| Event {
        time: u64::from(index) * MILLISECOND,
        batch: index,
        request: index,
        key: Some(1),
        key_size: Some(20),
        value_size: Some(1_000_000),
        ttl: Some(0),
        ..Event::new(Command::Set)
    });
    let recording = in_memory(sets.collect(), OptionsTable::default(), Vec::new());
    let options = Options {
        allow_nonempty: true,
        ..Options::default()
    };
    let report = run_recording(&recording, &address, &options, &mut |_: &Progress| true).unwrap();
    drop(serving);
    let unsent: u64 = report.unsent.values().sum();
    assert_eq!(
        report.unsent.keys().collect::<Vec<_>>(),
        [&"no_answer_in_time"]
    );
    assert_eq!((report.sent + unsent, report.answered), (600, 0));
    assert_eq!(report.response_ns.overall.unanswered, 600);
    assert!(report.response_ns.overall.p50 >= DRAIN / 2);
}
