//! A sample → the analyses that it can answer.

use std::path::Path;

use super::{Options, Section};
use crate::Result;
use membench_event::Sample;
use membench_profile::require_all;

/// Reason why a sample cannot answer an analysis; `None` if it can.
fn shortfall(sample: Sample, section: Section) -> Option<&'static str> {
    match section {
        Section::Connections if sample.keys > 1 => {
            Some("`connections` would lack the requests for other keys in each pipeline and batch")
        }
        Section::Keys | Section::Misses | Section::WorkingSet | Section::Memory
            if sample.connections > 1 =>
        {
            Some("its keys are also used on connections that were left out")
        }
        Section::Requests
        | Section::Commands
        | Section::Hits
        | Section::Sizes
        | Section::Ttl
        | Section::Times
        | Section::Keys
        | Section::Misses
        | Section::WorkingSet
        | Section::Memory
        | Section::Connections => None,
    }
}

/// Removes the analyses that a sample cannot answer. Returns the other options and the names of those removed, or an
/// error if one of them was requested by name.
pub(super) fn restrict(
    options: &Options,
    sample: Sample,
    profile: &Path,
) -> Result<(Options, Vec<&'static str>)> {
    let lacking: Vec<_> = Section::ALL
        .iter()
        .filter_map(|section| Some((*section, shortfall(sample, *section)?)))
        .collect();
    let requested = |section: &Section| {
        options
            .only
            .as_ref()
            .is_some_and(|only| only.contains(section))
    };
    if let Some((_, why)) = lacking.iter().find(|(section, _)| requested(section)) {
        require_all(sample, profile, why)?;
    }
    let names = lacking.iter().map(|(section, _)| section.name()).collect();
    let answered = |section: &Section| lacking.iter().all(|(lacking, _)| lacking != section);
    let only = Section::ALL
        .iter()
        .copied()
        .filter(|section| options.includes(*section) && answered(section));
    Ok((
        Options {
            only: Some(only.collect()),
            ..options.clone()
        },
        names,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn analyses_that_a_sample_cannot_answer_are_left_out_and_refused_by_name() {
        for (keys, connections, lacking) in [
            (1, 1, &[][..]),
            (100, 1, &["connections"]),
            (1, 4, &["misses", "keys", "working_set", "memory"]),
        ] {
            let sample = Sample { keys, connections };
            let path = Path::new("x.mb");
            let all = Options::default();
            let (rest, left_out) = restrict(&all, sample, path).expect("nothing requested by name");
            assert_eq!(left_out, lacking, "{sample}");
            assert_eq!(
                rest.only.map(|only| only.len()),
                Some(Section::ALL.len() - lacking.len())
            );
            for section in Section::ALL {
                let one = Options {
                    only: Some(vec![*section]),
                    ..Options::default()
                };
                let refused = matches!(
                    restrict(&one, sample, path),
                    Err(Error::Profile(membench_profile::Error::Sampled { .. }))
                );
                assert_eq!(
                    refused,
                    lacking.contains(&section.name()),
                    "{sample} {section:?}"
                );
            }
        }
    }
}
