//! Parts that older schema versions wrote read like new ones.

use super::super::repair;
use super::*;

/// Checks the server times that `examples/profiles.rs` gave to every event but the silent ones.
fn check(profile: &Profile) {
    let events = read(profile);
    assert!(events.iter().any(|event| event.server_time.is_some()));
    for (number, event) in (0..).zip(&events) {
        let silent = event.outcome == Some(Outcome::Suppressed);
        assert_eq!(
            event.server_time,
            (!silent).then_some(1000 + number),
            "{event:?}"
        );
    }
}

#[test]
fn times_of_32_bits_are_widened_in_sealed_and_in_open_parts() {
    for name in ["sealed", "killed"] {
        let (_folder, path) = copied(name);
        check(&Profile::open(&path).unwrap());
    }
}

#[test]
fn an_old_part_has_the_columns_of_a_new_one() {
    let (_folder, path) = copied("sealed");
    let profile = Profile::open(&path).unwrap();
    for batch in profile.batches() {
        assert_eq!(batch.unwrap().schema(), crate::schema());
    }
}

#[test]
fn a_repaired_old_profile_reads_the_same() {
    let (_folder, path) = copied("killed");
    let before = read(&Profile::open(&path).unwrap());
    repair(&path).unwrap();
    let after = Profile::open(&path).unwrap();
    assert_eq!((read(&after), after.unsealed()), (before, (0, 0)));
}
