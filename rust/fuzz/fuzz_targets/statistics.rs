//! Arbitrary bytes as a server's answer to `stats` → an error, or no more counters than it has lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use membench_capture::fuzzing::ask;
use membench_fuzz::servers::answering;

fuzz_target!(|answer: &[u8]| {
    let lines = answer.iter().filter(|byte| **byte == b'\n').count();
    if let Ok((counters, clients)) = ask(answering(answer)) {
        assert!(
            counters + clients <= lines,
            "{counters} and {clients} of {lines}"
        );
    }
});
