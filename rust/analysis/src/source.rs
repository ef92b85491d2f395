//! A profile → the input of its analysis: events, and facts that they do not carry.

use super::{
    Analysis, ConnectionFacts, Context, KnownConnections, Options, Overview, analyze_events,
    sampled,
};
use crate::Result;
use membench_event::ConnectionRow;
use membench_profile::{Manifest, Profile};

/// Analyzes the workload that a profile recorded, in one pass over its events.
///
/// ```
/// # use membench_event::{Command, Event, OptionsTable, Outcome};
/// # use membench_profile::{End, Header, Profile, Writer};
/// use membench_analysis::{Options, Section, analyze};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("production.mb");
/// # let mut writer = Writer::create(&path, Header::default(), false)?;
/// # let get = |time, outcome| Event {
/// #     time,
/// #     request: time as u32,
/// #     key: Some(42),
/// #     outcome: Some(outcome),
/// #     ..Event::new(Command::Get)
/// # };
/// # let events = [get(1, Outcome::Miss), get(2, Outcome::Hit), get(3, Outcome::Hit), get(4, Outcome::Hit)];
/// # writer.append(&events, &OptionsTable::default())?;
/// # writer.finish(End::default())?;
/// let profile = Profile::open(&path)?;
/// let options = Options { only: Some(vec![Section::Hits]), ..Options::default() };
/// let analysis = analyze(&profile, &options)?;
/// let hits = analysis.hits.expect("requested");
/// assert_eq!((hits.all.reads, hits.all.ratio), (4, Some(0.75)));
/// assert!(analysis.memory.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn analyze(profile: &Profile, options: &Options) -> Result<Analysis> {
    let mut context = context(profile)?;
    let (options, not_told) = sampled::restrict(options, context.sample, profile.path())?;
    context.overview.not_told = not_told;
    analyze_events(profile.events()?, &context, &options)
}

fn context(profile: &Profile) -> Result<Context> {
    let manifest = profile.manifest();
    let known = known_connections(profile)?;
    Ok(Context {
        start: Some(manifest.header.anchor.monotonic_ns),
        duration: manifest.duration_ns,
        options: profile.options(),
        sample: manifest.header.sample,
        // A killed recorder may not have written any.
        connections: (!known.is_empty()).then_some(known),
        overview: overview(profile, manifest),
    })
}

fn known_connections(profile: &Profile) -> Result<KnownConnections> {
    let used = profile.used_connections()?;
    let mut known = KnownConnections::default();
    for row in profile.connections()? {
        let facts = facts(&row?);
        known.add(&facts, used.contains(facts.connection));
    }
    Ok(known)
}

fn overview(profile: &Profile, manifest: &Manifest) -> Overview {
    let name = profile.path().file_name().unwrap_or_default();
    let losses = manifest.ledger.losses();
    Overview {
        name: name.to_string_lossy().into_owned(),
        started_utc_ns: Some(manifest.header.anchor.utc_ns),
        duration_s: profile.duration_s(),
        complete: manifest.ledger.complete,
        sample: manifest.header.sample,
        not_told: Vec::new(),
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

#[cfg(test)]
mod tests {
    use super::super::synthetic::{get, set};
    use super::*;
    use membench_event::{Event, OptionsTable};
    use membench_profile::{End, Header, Writer};

    const START: u64 = 5_000_000_000;

    fn recorded(path: &std::path::Path) -> Result<Profile> {
        let mut header = Header::default();
        header.anchor.monotonic_ns = START;
        header.anchor.utc_ns = 1_700_000_000_000_000_000;
        let later = |event: Event| Event {
            time: START + event.time,
            ..event
        };
        let events = [set(0, 1, 5, 60), get(1, 1, Some(5)), get(2, 2, None)].map(later);
        let mut writer = Writer::create(path, header, false)?;
        writer.append(&events, &OptionsTable::default())?;
        let mut end = End {
            duration_ns: 2_000_000_000,
            ..End::default()
        };
        end.ledger.ring_full = 7;
        writer.finish(end)?;
        Ok(Profile::open(path)?)
    }

    #[test]
    fn a_profile_is_analyzed_with_its_duration_and_losses() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let profile = recorded(&folder.path().join("small.mb"))?;
        let analysis = analyze(&profile, &Options::default())?;
        assert_eq!(analysis.profile.name, "small.mb");
        assert!((analysis.profile.duration_s - 2.0).abs() < 1e-9);
        assert_eq!(analysis.profile.losses.get("ring_full"), Some(&7));
        let requests = analysis.requests.expect("asked for");
        assert_eq!((requests.count, requests.mean_per_s), (3, Some(1.5)));
        assert_eq!(analysis.hits.expect("asked for").all.ratio, Some(0.5));
        Ok(())
    }
}
