//! Arbitrary bytes as a sealed part, whose manifest says nothing about it → an error, or the events that it claims.
#![no_main]

use libfuzzer_sys::fuzz_target;
use membench_fuzz::profiles::{Folder, PART, read};

fuzz_target!(|content: &[u8]| {
    let folder = Folder::with(PART, content);
    if let Ok((claimed, events)) = read(folder.path()) {
        assert!(
            claimed == events || events == 100_000,
            "{events} of {claimed}"
        );
    }
});
