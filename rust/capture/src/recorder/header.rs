//! A recording's options and its open source → the head of its manifest.

use std::path::PathBuf;

use membench_profile::{Filters, Header};
use serde_json::json;

use crate::recorder::options::RecordOptions;
use crate::source::Description;
use crate::{Followed, Limits, Side, SourceSpec, Yielding};

/// Describes a recording that starts.
pub(crate) fn header(
    options: &RecordOptions,
    followed: &Followed,
    description: &Description,
    limits: Limits,
    yielding: Yielding,
) -> Header {
    let responses = (!description.spec.is_log()).then(|| options.responses.name().to_owned());
    let knows_arrival = description.spec == SourceSpec::Sockets && followed.side == Side::Server;
    let mut header = Header {
        source: description.spec.to_string(),
        filters: Filters {
            ports: followed.ports.clone(),
            sockets: names(&followed.sockets),
            pids: followed.pids.clone(),
            cgroups: names(&options.selection.cgroups),
            network_namespaces: followed.network_namespaces.clone(),
        },
        responses,
        arrival: knows_arrival.then_some(options.arrival),
        anchor: description.anchor,
        time_basis: description.time_basis.to_owned(),
        sampling: options.sample.share(),
        sample: options.sample,
        statistics_start: description.statistics_start.clone(),
        facts: description.facts.clone(),
        host: options.host.clone(),
        ..Header::default()
    };
    if let Some(kernel) = &description.kernel {
        kernel.describe(&mut header);
    }
    header.facts["yielding"] = json!(yielding);
    header.facts["limits"] = json!(limits);
    header.facts["instead"] = json!(description.instead);
    header.facts["removal"] = json!(description.removal);
    header
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    let paths = paths.iter();
    paths.map(|path| path.display().to_string()).collect()
}
