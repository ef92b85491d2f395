//! Recordings of several servers → several memcacheds; targets that do not tell their state; shares of several processes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../decode/tests/memcached/mod.rs"]
mod memcached;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use membench_event::{Command, Event, OptionsTable, Outcome};
use membench_replay::{
    Error, Extent, Options, Progress, RecordedServer, Recording, Report, Servers, Share,
    StoredHistograms, Targets, in_memory, merge, run_recording,
};

use memcached::Memcached;

const MILLISECOND: u64 = 1_000_000;

/// Makes a recording of six connections, two to each of three servers, with forty requests each; the first request of
/// each connection finds an item.
fn three_servers() -> Recording<'static> {
    let events = (0..240u32).map(|index| {
        let (connection, request) = (index % 6, index / 6);
        let event = Event {
            time: u64::from(index) * MILLISECOND,
            connection,
            batch: request,
            request,
            key: Some(connection.into()),
            key_size: Some(20),
            value_size: Some(10),
            ..Event::new(Command::Set)
        };
        if request == 0 {
            return Event {
                command: Command::Get,
                outcome: Some(Outcome::Hit),
                ..event
            };
        }
        Event {
            ttl: Some(0),
            outcome: Some(Outcome::Stored),
            ..event
        }
    });
    let named = |name: &str| RecordedServer {
        name: name.to_owned(),
        share: None,
    };
    let mut recording = in_memory(events.collect(), OptionsTable::default(), Vec::new());
    recording.servers = Servers {
        by_ordinal: BTreeMap::from([
            (4, named("11211")),
            (5, named("11212")),
            (9, named("11213")),
        ]),
        of_connection: (0..6).zip([4, 4, 5, 5, 9, 9]).collect(),
    };
    recording
}

fn replay(recording: &Recording<'_>, targets: Targets, options: &Options) -> Report {
    run_recording(recording, targets, options, &mut |_: &Progress| true).unwrap()
}

fn error(targets: impl Into<Targets>, options: &Options) -> Error {
    let mut follow = |_: &Progress| true;
    run_recording(&three_servers(), targets, options, &mut follow).unwrap_err()
}

fn of_servers(pairs: &[(&str, &Memcached)]) -> Targets {
    let pairs = pairs.iter();
    Targets::OfServers(
        pairs
            .map(|(name, target)| ((*name).into(), target.address()))
            .collect(),
    )
}

fn warm() -> Options {
    Options {
        warm: true,
        ..Options::default()
    }
}

/// Returns a counter of a server.
fn counter(server: &Memcached, name: &str) -> u64 {
    let mut client = server.client();
    client.write_all(b"stats\r\n").unwrap();
    let mut lines = BufReader::new(client).lines().map_while(Result::ok);
    let wanted = format!("STAT {name} ");
    let found = lines.find_map(|line| line.strip_prefix(&wanted)?.parse().ok());
    found.unwrap()
}

#[test]
fn each_server_is_replayed_to_its_own_target() {
    let (one, two) = (Memcached::start(), Memcached::start());
    let targets = of_servers(&[("11211", &one), ("11212", &two), ("11213", &two)]);
    let report = replay(&three_servers(), targets, &warm());
    assert_eq!((report.sent, report.planned, report.errors), (240, 240, 0));
    assert_eq!(report.outcomes.replayed["get"]["hit"], 6, "{report:#?}");
    assert_eq!(report.warm.as_ref().unwrap().keys, 6);
    // Six items were stored beforehand, in the target of each.
    assert_eq!(
        (counter(&one, "cmd_set"), counter(&two, "cmd_set")),
        (78 + 2, 156 + 4)
    );
    assert_eq!(
        (counter(&one, "get_hits"), counter(&two, "get_hits")),
        (2, 4)
    );
    let server = report.server.unwrap();
    assert!(server.bytes_agree, "{server:#?}");
    assert_eq!(server.counters["cmd_set"], 234);
    let planned: Vec<u64> = report.targets.iter().map(|target| target.planned).collect();
    assert_eq!(planned, [80, 160]);
    assert_eq!(report.targets[1].servers, ["11212", "11213"]);
}

#[test]
fn what_other_servers_got_is_counted_as_left_out() {
    let target = Memcached::start();
    let one = Targets::One {
        target: target.address(),
        server: Some("11213".to_owned()),
    };
    let report = replay(&three_servers(), one, &warm());
    assert_eq!((report.sent, report.skipped["other_server"]), (80, 160));
    assert_eq!(counter(&target, "cmd_set"), 78 + 2);
    assert!(report.targets.is_empty());
}

#[test]
fn several_servers_without_a_choice_are_named() {
    let target = Memcached::start();
    let told = error(&target.address(), &Options::default());
    assert!(matches!(told, Error::SeveralServers { .. }));
    assert!(
        told.to_string().contains("3 servers: 11211, 11212, 11213"),
        "{told}"
    );
    assert_eq!(counter(&target, "cmd_set"), 0);
}

/// Starts a server that answers `stats` with `statistics`, and every other line as if nothing were there.
fn untold(statistics: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let answer: &[u8] = if line.starts_with("stats") {
                        statistics
                    } else if line.starts_with("set") {
                        b"STORED\r\n"
                    } else if line.starts_with("get") {
                        b"END\r\n"
                    } else {
                        continue;
                    };
                    if writer.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_target_that_does_not_tell_its_state_is_written_to_only_if_allowed() {
    let table: [(&[u8], &[&str]); 3] = [
        (
            b"STAT version 1.0-proxy\r\nEND\r\n",
            &["curr_items", "curr_connections", "bytes_read"],
        ),
        (
            b"STAT curr_items 0\r\nSTAT curr_connections 1\r\nEND\r\n",
            &["bytes_read"],
        ),
        (
            b"ERROR\r\n",
            &["curr_items", "curr_connections", "bytes_read"],
        ),
    ];
    for (statistics, missing) in table {
        let address = untold(statistics);
        let one = || Targets::One {
            target: address.clone(),
            server: Some("11211".to_owned()),
        };
        if missing.contains(&"curr_items") {
            error(one(), &Options::default());
        }
        let options = Options {
            allow_nonempty: true,
            ..Options::default()
        };
        let report = replay(&three_servers(), one(), &options);
        assert_eq!(report.target.untold.len(), missing.len());
        assert!(
            missing
                .iter()
                .all(|name| report.target.untold.contains(name))
        );
        assert!(report.server.is_none(), "{report:#?}");
        assert_eq!((report.answered, report.errors), (80, 0));
    }
}

#[test]
fn a_share_without_a_connection_is_an_error_of_its_caller() {
    let server = Memcached::start();
    let options = Options {
        share: Share { index: 7, of: 8 },
        allow_nonempty: true,
        ..warm()
    };
    let targets = of_servers(&[("11211", &server), ("11212", &server), ("11213", &server)]);
    let error = error(targets, &options);
    let is_told = matches!(
        error,
        Error::EmptyShare {
            index: 7,
            of: 8,
            ..
        }
    );
    assert!(is_told, "{error:?}");
}

#[test]
fn shares_of_several_processes_are_together_what_one_sends() {
    let options = |index, of| Options {
        share: Share { index, of },
        allow_nonempty: true,
        keep_histograms: true,
        extent: Extent {
            copies: 2,
            ..Extent::default()
        },
        ..warm()
    };
    let to =
        |server: &Memcached| of_servers(&[("11211", server), ("11212", server), ("11213", server)]);
    let (whole, shared) = (Memcached::start(), Memcached::start());
    let one = replay(&three_servers(), to(&whole), &options(0, 1));
    let parts: Vec<Report> = (0..3)
        .map(|index| replay(&three_servers(), to(&shared), &options(index, 3)))
        .collect();
    let sum = |of: fn(&Report) -> u64| parts.iter().map(of).sum::<u64>();
    assert_eq!(sum(|part| part.planned), one.planned);
    assert_eq!(sum(|part| part.sent), 480);
    assert_eq!(sum(|part| part.answered), one.answered);
    assert_eq!(sum(|part| part.warm.as_ref().unwrap().keys), 12);
    assert!(
        parts
            .iter()
            .all(|part| part.planned == 160 && part.server.is_none())
    );
    for name in ["cmd_get", "cmd_set", "curr_items", "total_items"] {
        assert_eq!(counter(&shared, name), counter(&whole, name), "{name}");
    }
    let stored: Vec<StoredHistograms> = parts
        .iter()
        .map(|part| part.histograms.clone().unwrap())
        .collect();
    let merged = merge(&stored).unwrap();
    let response = &merged.summaries["response"];
    assert_eq!(response.overall.count, one.response_ns.overall.count);
    assert_eq!(
        response.by_command["set"].count,
        one.response_ns.by_command["set"].count
    );
    let longest = parts.iter().map(|part| part.response_ns.overall.max).max();
    assert_eq!(Some(response.overall.max), longest);
}

#[test]
fn processes_that_share_a_replay_begin_at_one_time() {
    let target = Memcached::start();
    let to = || of_servers(&[("11211", &target)]);
    let now = SystemTime::now();
    let utc = |time: SystemTime| {
        u64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
    };
    let options = |start: SystemTime| Options {
        start_at: Some(utc(start)),
        allow_nonempty: true,
        ..Options::default()
    };
    let begin = now + Duration::from_secs(3);
    let report = replay(&three_servers(), to(), &options(begin));
    assert_eq!(report.sent, 80);
    assert!(SystemTime::now() >= begin + Duration::from_millis(230));
    let told = error(to(), &options(now - Duration::from_secs(1)));
    assert!(matches!(told, Error::StartPassed { .. }), "{told}");
    let alone = Options {
        share: Share { index: 0, of: 2 },
        ..Options::default()
    };
    assert!(matches!(error(to(), &alone), Error::SharedTarget));
}
