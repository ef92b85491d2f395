//! An address, TLS and a sign-in → everything that connecting to a target takes.

use std::sync::Arc;

use crate::target::address::Address;
use crate::target::sign_in::Credentials;
use crate::target::tls::TlsClient;

/// Everything that connecting to a target takes.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) tls: Option<Arc<TlsClient>>,
    pub(crate) credentials: Option<Arc<Credentials>>,
}

impl From<Address> for Endpoint {
    fn from(address: Address) -> Self {
        Self {
            address,
            tls: None,
            credentials: None,
        }
    }
}

/// Endpoints of a run.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    all: Vec<Endpoint>,
    /// Index of the endpoint of each connection, by its number; empty if there is one endpoint.
    of_connection: Vec<u16>,
}

impl Endpoints {
    /// Makes the endpoint of all connections.
    pub(crate) fn only(endpoint: Endpoint) -> Self {
        Self {
            all: vec![endpoint],
            of_connection: Vec::new(),
        }
    }

    /// Makes the endpoints of several targets; `of_connection` has the index of each connection's.
    pub(crate) fn several(all: Vec<Endpoint>, of_connection: Vec<u16>) -> Self {
        Self { all, of_connection }
    }

    /// Returns the endpoint of a connection, by its number; a copy of the clients has the endpoints of the first.
    pub(crate) fn get(&self, connection: u32) -> Option<&Endpoint> {
        let once = self.of_connection.len().max(1);
        let index = self.of_connection.get(connection as usize % once);
        self.all.get(usize::from(index.copied().unwrap_or(0)))
    }

    /// True if a connection cannot take requests as soon as it is made.
    pub(crate) fn take_time(&self) -> bool {
        let mut all = self.all.iter();
        all.any(|endpoint| endpoint.tls.is_some() || endpoint.credentials.is_some())
    }
}
