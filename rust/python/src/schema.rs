//! The results whose JSON the sources do not show at a glance → an example of each, for the test of fields.

use std::net::Ipv4Addr;

use pyo3::prelude::*;
use serde::Serialize;

use membench_capture::Ended;
use membench_event::{Ledger, Packets, Server};

use crate::json;

/// One example of each type that a macro defines or that serializes itself; the names are those in Python.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Examples {
    ended: Ended,
    ledger: Ledger,
}

#[pyfunction]
fn examples() -> PyResult<String> {
    json(&Examples {
        ended: Ended::EndOfFile,
        ledger: Ledger {
            servers: vec![Server {
                path: Some(String::new()),
                address: Some(Ipv4Addr::LOCALHOST.into()),
                ..Server::default()
            }],
            packets: Some(Packets::default()),
            ring_full_by_ring: vec![0],
            ..Ledger::default()
        },
    })
}

#[pyfunction]
fn loss_terms() -> Vec<&'static str> {
    Ledger::LOSS_TERMS.to_vec()
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(examples, module)?)?;
    module.add_function(wrap_pyfunction!(loss_terms, module)?)
}
