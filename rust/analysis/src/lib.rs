//! A profile, read in one pass → statistics of its workload.

#![forbid(unsafe_code)]

mod commands;
mod connections;
mod curve;
mod effect;
mod error;
mod hits;
mod items;
mod keys;
mod memory;
mod misses;
mod numbering;
mod numbers;
mod operation;
mod pass;
mod quantiles;
mod requests;
mod sampled;
mod seconds;
mod section;
mod series;
mod sizes;
mod slabs;
mod source;
mod stack;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;
mod times;
pub mod top;
mod ttl;
mod working_set;
mod zipf;

use serde::Serialize;

pub use commands::{CommandShare, OutcomeCount};
pub use connections::{ConnectionFacts, Connections, KnownConnections};
pub use curve::{Knee, Point};
pub use error::{Error, Result};
pub use hits::{HitRatio, Hits};
pub use keys::{HotKey, Keys, TopShare};
pub use memory::Memory;
pub use misses::Misses;
pub use quantiles::{Bin, Quantiles};
pub use requests::{Burst, Requests};
pub use seconds::{Second, Spread, slowest_seconds};
pub use section::Section;
pub use series::Series;
pub use sizes::Sizes;
pub use slabs::ItemSize;
pub use source::analyze;
pub use times::{CommandTimes, Times};
pub use ttl::{CommonTtl, Ttl};
pub use working_set::WorkingSet;
pub use zipf::Zipf;

use membench_event::Sample;
use membench_event::{Event, OptionsTable};

/// Version of the JSON form of [`Analysis`].
pub const SCHEMA_VERSION: u32 = 1;

/// Choice of analyses and of how they count.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Analyses to run; `None` runs all.
    pub only: Option<Vec<Section>>,
    /// Method of counting the size of an item.
    pub item_size: ItemSize,
}

impl Options {
    fn includes(&self, section: Section) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.contains(&section))
    }
}

/// Facts about a recording that its events do not carry.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Start of the recording, `CLOCK_MONOTONIC` ns; `None` takes the first event.
    pub start: Option<u64>,
    /// Duration of the recording, ns; `None` ends it at the last event.
    pub duration: Option<u64>,
    /// Options strings that the events refer to.
    pub options: OptionsTable,
    /// All connections, including idle ones, if known.
    pub connections: Option<KnownConnections>,
    /// Share of the traffic that was recorded.
    pub sample: Sample,
    /// Description of the recording for the report.
    pub overview: Overview,
}

/// Description of the analyzed recording.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Overview {
    /// File name of the profile.
    pub name: String,
    /// Start of the recording, UTC ns since 1970.
    pub started_utc_ns: Option<u64>,
    /// Duration of the recording, s.
    pub duration_s: f64,
    /// True if nothing was lost; `None` unless the recorder itself sealed the profile.
    pub complete: Option<bool>,
    /// Share of the traffic that was recorded.
    pub sample: Sample,
    /// Analyses that were left out because the sample cannot answer them.
    pub not_told: Vec<&'static str>,
    /// Losses other than 0, by their names in the ledger.
    pub losses: std::collections::BTreeMap<String, u64>,
}

/// Statistics of a workload. Analyses that did not run are `None`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Analysis {
    /// Version of this JSON form.
    pub schema_version: u32,
    /// Description of the recording.
    pub profile: Overview,
    /// Request rate over time, and bursts.
    pub requests: Option<Requests>,
    /// Requests and outcomes by command, most frequent first.
    pub commands: Option<Vec<CommandShare>>,
    /// Hit ratio by command and over time.
    pub hits: Option<Hits>,
    /// Causes of misses.
    pub misses: Option<Misses>,
    /// Popularity of keys.
    pub keys: Option<Keys>,
    /// Sizes of keys and values.
    pub sizes: Option<Sizes>,
    /// Expiry times.
    pub ttl: Option<Ttl>,
    /// Connections, pipelining, batches.
    pub connections: Option<Connections>,
    /// Distinct keys and live items, and the memory they take.
    pub working_set: Option<WorkingSet>,
    /// Hit ratio by memory size.
    pub memory: Option<Memory>,
    /// Server time and queue time.
    pub times: Option<Times>,
}

/// Analyzes events, which must be ordered by (time, connection, batch, request).
pub fn analyze_events(
    events: impl Iterator<Item = membench_profile::Result<Event>>,
    context: &Context,
    options: &Options,
) -> Result<Analysis> {
    let mut pass = pass::Pass::new(context, options);
    for event in events {
        pass.event(event?)?;
    }
    pass.finish()
}
