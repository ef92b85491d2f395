//! Facts about targets, as results tell them.

use serde::Serialize;

/// Target as it was found.
#[derive(Clone, Debug, Serialize)]
pub struct TargetFacts {
    /// Address as given; addresses with commas if there are several.
    pub name: String,
    /// Version of memcached; `None` if it does not tell, or if they differ.
    pub version: Option<String>,
    /// Number of memcached's worker threads.
    pub threads: Option<String>,
    /// Names of the statistics that it does not tell, of those that a replay asks for.
    pub untold: Vec<&'static str>,
}

/// One of several targets.
#[derive(Clone, Debug, Serialize)]
pub struct TargetShare {
    /// Address as given.
    pub name: String,
    /// Version of memcached.
    pub version: Option<String>,
    /// Names of the recorded servers that it stands for.
    pub servers: Vec<String>,
    /// Requests to send to it.
    pub planned: u64,
}
