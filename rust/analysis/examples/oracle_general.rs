//! A trace in libCacheSim's oracleGeneral format → its analysis as JSON, with item sizes as simulators count them.
//!
//! `cargo run --release --example oracle_general -- FILE`
#![expect(clippy::print_stdout, reason = "the result")]

use std::error::Error;

use membench_analysis::{Context, ItemSize, Options, analyze_events};
use membench_event::{Command, Event};

/// Size of a record, bytes: time (s, u32), id (u64), size (u32), next access (i64, unused); little-endian.
const RECORD: usize = 24;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: oracle_general FILE")?;
    let bytes = std::fs::read(path)?;
    let events = bytes
        .chunks_exact(RECORD)
        .zip(0..)
        .filter_map(|(record, ordinal)| {
            let time = u32::from_le_bytes(record[..4].try_into().ok()?);
            let id = u64::from_le_bytes(record[4..12].try_into().ok()?);
            let size = u32::from_le_bytes(record[12..16].try_into().ok()?);
            Some(Ok(read(ordinal, time, id, size)))
        });
    let options = Options {
        item_size: ItemSize::KeyAndValue,
        ..Options::default()
    };
    let analysis = analyze_events(events, &Context::default(), &options)?;
    println!("{}", serde_json::to_string(&analysis)?);
    Ok(())
}

/// Returns a `get` whose outcome is unknown.
fn read(ordinal: u32, seconds: u32, id: u64, size: u32) -> Event {
    Event {
        time: u64::from(seconds) * 1_000_000_000,
        batch: ordinal,
        request: ordinal,
        key: Some(id),
        value_size: Some(size),
        ..Event::new(Command::Get)
    }
}
