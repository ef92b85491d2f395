//! Arbitrary bytes as an open part → an error, or events that repair keeps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use membench_fuzz::profiles::{Folder, TAIL, read};
use membench_profile::repair;

fuzz_target!(|content: &[u8]| {
    let folder = Folder::with(TAIL, content);
    let before = read(folder.path());
    if let Ok((claimed, events)) = before {
        assert!(
            claimed == events || events == 100_000,
            "{events} of {claimed}"
        );
    }
    let repaired = repair(folder.path());
    if let (Ok(_), Ok(before)) = (repaired, before) {
        assert_eq!(read(folder.path()).ok(), Some(before));
    }
});
