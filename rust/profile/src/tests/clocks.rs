//! Clock pairs document drift in a list that stays short.

use super::super::clocks::MOST;
use super::*;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;

/// Offers a pair every second for so long, ns, and returns those in the manifest. The tests' UTC runs 1 ppm fast.
fn recorded(header: Header, length: u64) -> Vec<Anchor> {
    let (_folder, path) = place();
    let anchor = header.anchor;
    let mut writer = Writer::with_limits(None, &path, header, false, ONE_PART).unwrap();
    for elapsed in (0..=length).step_by(usize::try_from(SECOND).unwrap()) {
        writer.note_clocks(Anchor {
            monotonic_ns: anchor.monotonic_ns + elapsed,
            utc_ns: anchor.utc_ns + elapsed + elapsed / 1_000_000,
        });
    }
    writer.finish(End::default()).unwrap();
    Profile::open(&path).unwrap().manifest().clocks.clone()
}

/// Distances between neighbouring pairs, the anchor included, in minutes.
fn spacings(pairs: &[Anchor]) -> Vec<u64> {
    let times = pairs.iter().map(|pair| pair.monotonic_ns);
    let times: Vec<u64> = [START].into_iter().chain(times).collect();
    times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) / MINUTE)
        .collect()
}

#[test]
fn one_pair_a_minute_is_kept_with_its_drift() {
    let pairs = recorded(header(), 10 * MINUTE);
    assert_eq!(spacings(&pairs), [1; 10]);
    let last = pairs.last().unwrap();
    let drift = i128::from(header().anchor.utc_ns(last.monotonic_ns)) - i128::from(last.utc_ns);
    assert_eq!(drift, -600_000);
}

#[test]
fn a_recording_of_less_than_a_minute_has_none() {
    assert_eq!(recorded(header(), MINUTE - SECOND), []);
}

#[test]
fn a_full_list_is_thinned_evenly() {
    let full = MOST as u64;
    for (minutes, count, spacing) in [
        (full - 1, MOST - 1, 1),
        (full, MOST / 2, 2),
        (2 * full - 2, MOST - 1, 2),
        (2 * full, MOST / 2, 4),
        (5 * full, 5 * MOST / 8, 8),
    ] {
        let pairs = recorded(header(), minutes * MINUTE);
        assert_eq!(pairs.len(), count, "{minutes} minutes");
        assert!(spacings(&pairs).iter().all(|found| *found == spacing));
    }
}

#[test]
fn a_source_that_gives_times_in_utc_has_none() {
    let utc = Anchor {
        monotonic_ns: START,
        utc_ns: START,
    };
    let header = Header {
        anchor: utc,
        ..header()
    };
    assert_eq!(recorded(header, 10 * MINUTE), []);
}
