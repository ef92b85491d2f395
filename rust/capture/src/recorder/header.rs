//! What a recording was asked for and how it works → the head of its manifest.

use std::path::PathBuf;

use membench_decode::privacy::KeyHasher;
use membench_event::Anchor;
use membench_profile::{Filters, Header};

use crate::recorder::RecordOptions;
use crate::source::Source;
use crate::{Followed, Yielding};

/// What is known of a recording when it starts.
pub(crate) fn header(
    options: &RecordOptions,
    followed: &Followed,
    source: &Source,
    hasher: &KeyHasher,
    anchor: Anchor,
    yielding: Yielding,
) -> Header {
    let mut header = Header {
        source: options.source.clone(),
        filters: Filters {
            ports: followed.ports.clone(),
            sockets: names(&followed.sockets),
            pids: followed.pids.clone(),
            cgroups: names(&options.selection.cgroups),
            network_namespaces: followed.network_namespaces.clone(),
        },
        responses: Some(options.responses.name().to_owned()),
        key_fingerprint: Some(hasher.fingerprint()),
        anchor,
        time_basis: followed.side.time_basis().to_owned(),
        sampling: options.sample.share(),
        sample: options.sample,
        facts: serde_json::json!({
            "yielding": yielding,
            "limits": options.limits,
        }),
        ..Header::default()
    };
    source.describe(&mut header);
    header
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    let paths = paths.iter();
    paths.map(|path| path.display().to_string()).collect()
}
