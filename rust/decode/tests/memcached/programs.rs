//! The memcacheds to test with: the installed one, and those that `MEMBENCH_SERVERS` lists.

use std::process::Command;

/// The memcached that is always asked.
pub(crate) const INSTALLED: &str = "memcached";

/// Returns the programs to test with.
pub(crate) fn programs() -> Vec<String> {
    let further = std::env::var("MEMBENCH_SERVERS").unwrap_or_default();
    let all = [INSTALLED].into_iter().chain(further.split_whitespace());
    all.map(str::to_owned).collect()
}

/// Returns the version that a program reports, `1.6.18`.
pub(crate) fn version(program: &str) -> String {
    let told = Command::new(program).arg("-V").output().unwrap().stdout;
    let told = String::from_utf8(told).unwrap();
    told.trim().rsplit(' ').next().unwrap().to_owned()
}
