//! One pass over a profile → what it says about the workload.

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
pub use connections::{ConnectionFacts, Connections};
pub use curve::{Knee, Point};
pub use error::{Error, Result};
pub use hits::{HitRatio, Hits};
pub use keys::{HotKey, Keys, TopShare};
pub use memory::Memory;
pub use misses::Misses;
pub use quantiles::{Bin, Quantiles};
pub use requests::{Burst, Requests};
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

/// What to find out, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only these analyses; none: all.
    pub only: Option<Vec<Section>>,
    /// How the size of an item is counted.
    pub item_size: ItemSize,
}

impl Options {
    fn includes(&self, section: Section) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.contains(&section))
    }
}

/// What is known beside the events.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Start of the recording, `CLOCK_MONOTONIC` ns; none: the first event.
    pub start: Option<u64>,
    /// Its duration, ns; none: up to the last event.
    pub duration: Option<u64>,
    /// What the events' `options` stand for.
    pub options: OptionsTable,
    /// Connections, idle ones included.
    pub connections: Option<Vec<ConnectionFacts>>,
    /// Which share of the traffic was recorded.
    pub sample: Sample,
    /// What the report says about the recording.
    pub overview: Overview,
}

/// The recording that was analyzed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Overview {
    /// File name.
    pub name: String,
    /// When it began, UTC ns since 1970.
    pub started_utc_ns: Option<u64>,
    /// How long it took, s.
    pub duration_s: f64,
    /// Whether every byte is accounted for; none if it was not sealed.
    pub complete: Option<bool>,
    /// Which share of the traffic was recorded.
    pub sample: Sample,
    /// Analyses that a sample cannot tell.
    pub not_told: Vec<&'static str>,
    /// Each loss that is not 0: its name in the ledger, and how much.
    pub losses: std::collections::BTreeMap<String, u64>,
}

/// What a profile says about the workload. Analyses not asked for are none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Analysis {
    /// Version of this form.
    pub schema_version: u32,
    /// The recording.
    pub profile: Overview,
    /// Rate over time, bursts.
    pub requests: Option<Requests>,
    /// What was asked, most frequent first.
    pub commands: Option<Vec<CommandShare>>,
    /// Hit ratio by command and over time.
    pub hits: Option<Hits>,
    /// Why reads missed.
    pub misses: Option<Misses>,
    /// Popularity of keys.
    pub keys: Option<Keys>,
    /// Sizes of keys and values.
    pub sizes: Option<Sizes>,
    /// Expiry times.
    pub ttl: Option<Ttl>,
    /// Connections, pipelining, batches.
    pub connections: Option<Connections>,
    /// Distinct and live keys and bytes.
    pub working_set: Option<WorkingSet>,
    /// Hit ratio by memory size.
    pub memory: Option<Memory>,
    /// Server time and queue time.
    pub times: Option<Times>,
}

/// Analyzes events in order of (time, connection, batch, request).
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
