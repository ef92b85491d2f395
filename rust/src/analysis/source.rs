//! A profile → its events and what is known beside them.

use super::{Analysis, ConnectionFacts, Context, Options, Overview, analyze_events};
use crate::Result;
use crate::profile::{ConnectionRow, Manifest, Profile};

/// Finds out what a profile says about the workload, in one pass.
pub fn analyze(profile: &Profile, options: &Options) -> Result<Analysis> {
    analyze_events(profile.events()?, &context(profile)?, options)
}

fn context(profile: &Profile) -> Result<Context> {
    let manifest = profile.manifest();
    let rows = profile.connections()?;
    Ok(Context {
        start: Some(manifest.header.anchor.monotonic_ns),
        duration: manifest.duration_ns,
        options: profile.options(),
        // A recorder that was killed wrote none.
        connections: (!rows.is_empty()).then(|| rows.iter().map(facts).collect()),
        overview: overview(profile, manifest),
    })
}

fn overview(profile: &Profile, manifest: &Manifest) -> Overview {
    let name = profile.path().file_name().unwrap_or_default();
    let losses = manifest.ledger.losses();
    Overview {
        name: name.to_string_lossy().into_owned(),
        started_utc_ns: Some(manifest.header.anchor.utc_ns),
        duration_s: profile.duration_s(),
        complete: manifest.ledger.complete,
        losses: losses
            .iter()
            .filter(|(_, amount)| *amount > 0)
            .map(|(name, amount)| ((*name).to_owned(), *amount))
            .collect(),
    }
}

fn facts(row: &ConnectionRow) -> ConnectionFacts {
    ConnectionFacts {
        connection: row.connection,
        client: row.client,
        opened: row.opened,
        closed: row.closed,
    }
}
