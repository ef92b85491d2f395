//! Arbitrary bytes as a key file → a key only if they are one, and always the same key.
#![no_main]

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use libfuzzer_sys::fuzz_target;
use membench_decode::privacy::KeyHasher;

/// Returns true if the content is 16 bytes, or 32 hexadecimal digits with white space behind them.
fn is_key(content: &[u8]) -> bool {
    let digits = content.trim_ascii_end();
    content.len() == 16 || digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit)
}

fuzz_target!(|content: &[u8]| {
    let path = std::env::temp_dir().join(format!("membench-fuzz-key-{}", std::process::id()));
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path);
    if file.and_then(|mut file| file.write_all(content)).is_err() {
        return;
    }
    let read = || KeyHasher::from_file(&path, None).map(|hasher| hasher.fingerprint());
    match (read(), read()) {
        (Ok(one), Ok(other)) => assert!(is_key(content) && one == other),
        (Err(_), Err(_)) => assert!(!is_key(content) || content.len() > 60),
        _ => panic!("one of two readings failed"),
    }
    let _ = std::fs::remove_file(&path);
});
