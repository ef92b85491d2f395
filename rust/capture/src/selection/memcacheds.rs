//! Processes called memcached → what they listen on, to be named where nothing was found.

use std::fs;

use crate::selection::listeners::{self, Endpoint};
use crate::selection::namespaces;

/// Name of memcached's process.
const MEMCACHED: &str = "memcached";
/// Most servers that are named.
const MOST_NAMED: usize = 4;

/// Describes the memcacheds that run on this machine, as far as this user sees them: `port 11212 (pid 812)`. Returns
/// `None` if there are none.
pub fn describe() -> Option<String> {
    let mut named: Vec<String> = Vec::new();
    for process in namespaces::processes() {
        let is_memcached =
            fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim_end() == MEMCACHED);
        let pid = process
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        if let Some(pid) = pid.filter(|_| is_memcached) {
            let mut places: Vec<String> = listeners::of_process(pid).iter().map(place).collect();
            places.sort_unstable();
            places.dedup();
            if places.is_empty() {
                places.push("a port that this user cannot see".to_owned());
            }
            named.push(format!("{} (pid {pid})", places.join(" and ")));
        }
    }
    named.sort_unstable();
    let more = named.len().saturating_sub(MOST_NAMED);
    named.truncate(MOST_NAMED);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    (!named.is_empty()).then(|| named.join(", "))
}

fn place(endpoint: &Endpoint) -> String {
    match endpoint.path() {
        Some(path) => path,
        None => format!("port {}", endpoint.port()),
    }
}
