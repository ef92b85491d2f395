//! Arbitrary bytes as a manifest → an error, or a profile whose events are all there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use membench_fuzz::profiles::{Folder, MANIFEST, checked, read};

fuzz_target!(|content: &[u8]| {
    let folder = Folder::with(MANIFEST, &checked(content));
    if let Ok((claimed, events)) = read(folder.path()) {
        assert_eq!(claimed, events);
    }
});
