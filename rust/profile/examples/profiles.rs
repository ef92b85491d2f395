//! Writes the profiles that tests open: `cargo run -p membench-profile --example profiles -- tests/data`.
//!
//! `sealed` is a complete profile of 40 events on 4 connections; `killed` has the same events, as a killed recorder
//! leaves them.

use std::path::Path;

use membench_event::{Anchor, CloseSide, ConnectionRow, Transport};
use membench_event::{Command, Event, Options, OptionsTable, Outcome};
use membench_profile::{End, Header, Writer};

const START: u64 = 5_000_000_000;

fn header() -> Header {
    Header {
        source: "ebpf:any".into(),
        key_fingerprint: Some("0123456789abcdef".into()),
        anchor: Anchor {
            monotonic_ns: START,
            utc_ns: 1_700_000_000_000_000_000,
        },
        ..Header::default()
    }
}

/// Returns event `number`: every 4th is a set, every other one of these `noreply`; every 5th event misses if it is a
/// get.
fn event(number: u32, noreply: Options) -> Event {
    let (set, missed) = (number % 4 == 3, number.is_multiple_of(5));
    let silent = set && number % 8 == 3;
    Event {
        time: START + u64::from(number) * 250_000,
        connection: number % 4,
        batch: number / 4,
        request: number / 4,
        key: Some(u64::from(number % 7).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        key_size: Some(20),
        value_size: (set || !missed).then_some(100),
        request_size: Some(if set { 140 } else { 26 }),
        ttl: set.then_some(3600),
        flags: set.then_some(0),
        options: if silent { noreply } else { Options::default() },
        outcome: Some(match (set, silent, missed) {
            (true, true, _) => Outcome::Suppressed,
            (true, false, _) => Outcome::Stored,
            (false, _, true) => Outcome::Miss,
            (false, _, false) => Outcome::Hit,
        }),
        server_time: (!silent).then_some(1000 + u64::from(number)),
        ..Event::new(if set { Command::Set } else { Command::Get })
    }
}

fn connection(ordinal: u32) -> ConnectionRow {
    ConnectionRow {
        connection: ordinal,
        server: 0,
        client: 0,
        transport: Transport::Tcp4,
        opened: Some(START),
        closed: Some(START + 10_000_000),
        close_side: Some(CloseSide::Client),
        lost_bytes: 0,
        resyncs: 0,
    }
}

fn written(path: &Path) -> membench_profile::Result<Writer> {
    let mut options = OptionsTable::default();
    let noreply = options.intern("noreply").unwrap_or_default();
    let events: Vec<Event> = (0..40).map(|number| event(number, noreply)).collect();
    let mut writer = Writer::create(path, header(), true)?;
    writer.append(&events, &options)?;
    writer.flush()?;
    Ok(writer)
}

fn main() -> membench_profile::Result<()> {
    let folder = std::env::args_os().nth(1).unwrap_or_default();
    let folder = Path::new(&folder);
    written(&folder.join("sealed"))?.finish(End {
        connections: (0..4).map(connection).collect(),
        stopped_by: "duration".into(),
        duration_ns: 10_000_000,
        ..End::default()
    })?;
    let mut killed = written(&folder.join("killed"))?;
    killed.append_connections((0..2).map(connection).collect())?;
    killed.save_open_connections(&[connection(2), connection(3)])
}
