//! Arbitrary bytes as a table: sealed, or as a killed recorder leaves it → an error, or rows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use membench_fuzz::profiles::{CONNECTIONS, ENDED, Folder, LOSSES, read};

fuzz_target!(|content: &[u8]| {
    let names: &[&str] = if content.starts_with(b"PAR1") {
        &[CONNECTIONS, LOSSES]
    } else {
        &[ENDED]
    };
    for name in names {
        let folder = Folder::with(name, content);
        let _ = read(folder.path());
    }
});
