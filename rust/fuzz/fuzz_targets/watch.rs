//! Arbitrary bytes as memcached's log, split anywhere → the same events as unsplit, at most one a line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use membench_decode::log::{Counts, Log};
use membench_decode::privacy::KeyHasher;
use membench_event::Event;
use membench_event::{Anchor, ConnectionRow};

type Seen = (Vec<Option<u8>>, Counts, Vec<ConnectionRow>);

fn read(parts: &[&[u8]]) -> Seen {
    let hasher = KeyHasher::random().expect("random bytes");
    let mut log = Log::new(hasher, Anchor::default(), 0);
    for part in parts {
        log.take(part, 0);
    }
    log.finish();
    let mut events: Vec<Event> = log.events().to_vec();
    events.sort_by_key(|event| (event.connection, event.request));
    let sizes = events.iter().map(|event| event.key_size).collect();
    (sizes, log.counts(), log.connections().rows())
}

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, log) = input;
    let cut = usize::from(cut).min(log.len());
    let whole = read(&[log]);
    assert_eq!(read(&[&log[..cut], &log[cut..]]), whole);
    assert!(whole.0.len() as u64 <= whole.1.lines);
});
