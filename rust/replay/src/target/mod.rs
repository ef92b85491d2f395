//! A target's address and statistics → permission to replay against it, and the growth of its counters afterwards.

pub(crate) mod address;
pub(crate) mod control;
pub(crate) mod endpoint;
pub(crate) mod facts;
pub(crate) mod group;
pub(crate) mod lines;
pub(crate) mod sign_in;
pub(crate) mod tls;
pub(crate) mod warm;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use membench_event::Protocol;

use crate::target::address::Address;
use crate::target::control::{Control, Refusal};
use crate::target::endpoint::Endpoint;
use crate::target::sign_in::{Credentials, SignIn};
use crate::target::tls::{Tls, TlsClient};
use crate::{Error, Result};

/// Longest wait for a whole answer on the control connection.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Name of the number of bytes that a memcached has read.
const BYTES_READ: &str = "bytes_read";

/// Names of the statistics that a replay needs.
const NEEDED: [&str; 3] = ["curr_items", "curr_connections", BYTES_READ];

/// Longest wait for an answer of a target that has left others out, or of a run that is to end.
const LITTLE_PATIENCE: Duration = Duration::from_millis(500);

/// Most connections for which `stats conns` is asked; with more, all of them count as clients.
const LISTED_MAX: u64 = 10_000;

/// memcached's statistics: name → value.
pub(crate) type Statistics = BTreeMap<String, String>;

/// Conditions of connecting to a target, beside its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// TLS; `None` is a plain connection.
    pub tls: Option<Tls>,
    /// Sign-in on each connection.
    pub sign_in: Option<SignIn>,
}

/// Server to replay against, with a control connection for its statistics.
#[derive(Debug)]
pub(crate) struct Target {
    name: String,
    endpoint: Endpoint,
    control: Control,
    /// Longest wait for a whole answer on it.
    patience: Duration,
}

impl Target {
    /// Opens the control connection to `HOST:PORT` or `unix:PATH`. Of several addresses of a host the first that takes
    /// a connection is the target.
    pub(crate) fn connect(name: &str, access: &Access) -> Result<Self> {
        let tls = access.tls.as_ref();
        let tls = tls.map(|tls| TlsClient::new(tls, name)).transpose()?;
        let credentials = access.sign_in.as_ref().map(Credentials::read).transpose()?;
        let (tls, credentials) = (tls.map(Arc::new), credentials.map(Arc::new));
        let endpoints = resolve(name)?.into_iter().map(|address| Endpoint {
            address,
            tls: tls.clone(),
            credentials: credentials.clone(),
        });
        Self::connect_to_first(name, endpoints.collect())
    }

    fn connect_to_first(name: &str, endpoints: Vec<Endpoint>) -> Result<Self> {
        let mut refused = None;
        for endpoint in endpoints {
            match Control::connect(&endpoint, PATIENCE) {
                Ok(control) => {
                    return Ok(Self {
                        name: name.to_owned(),
                        endpoint,
                        control,
                        patience: PATIENCE,
                    });
                }
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        let refused =
            refused.unwrap_or_else(|| Refusal::Unreachable(io::ErrorKind::NotFound.into()));
        Err(told(name, refused))
    }

    /// Waits no longer than half a second for each answer from now on.
    pub(crate) fn expect_little(&mut self) {
        self.patience = LITTLE_PATIENCE;
    }

    /// Opens a further connection.
    pub(crate) fn another(&self) -> Result<Control> {
        Control::connect(&self.endpoint, PATIENCE).map_err(|refusal| told(&self.name, refusal))
    }

    /// Returns the name as given.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns what took the control connection.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns the only protocol that the target takes, by the way in which it wants a sign-in; `None` if it takes any.
    pub(crate) fn only_protocol(&self) -> Option<Protocol> {
        let signed_in = self.endpoint.credentials.is_some();
        signed_in.then(|| self.control.protocol())
    }

    /// Asks for the current statistics.
    pub(crate) fn statistics(&mut self) -> Result<Statistics> {
        Ok(self.ask("")?.into_iter().collect())
    }

    /// Asks for the current statistics. A target that refuses to tell any, as proxies do, tells none.
    pub(crate) fn statistics_if_any(&mut self) -> Result<Statistics> {
        match self.statistics() {
            Err(Error::TargetProtocol { answer, .. }) if is_refusal(&answer) => {
                Ok(Statistics::new())
            }
            other => other,
        }
    }

    /// Refuses a target that holds items or serves others, or does not tell.
    pub(crate) fn refuse_if_busy(&mut self, statistics: &Statistics) -> Result<()> {
        let told = |name: &&str| statistics.contains_key(*name);
        let missing: Vec<&str> = ["curr_items", "curr_connections"]
            .into_iter()
            .filter(|name| !told(name))
            .collect();
        if !missing.is_empty() {
            return Err(Error::TargetUntold {
                target: self.name.clone(),
                missing: missing.join(" and "),
            });
        }
        let items = number(statistics, "curr_items");
        let clients = self.clients(number(statistics, "curr_connections"))?;
        if items == 0 && clients == 0 {
            return Ok(());
        }
        Err(Error::TargetBusy {
            target: self.name.clone(),
            items,
            clients,
        })
    }

    /// Returns the number of bytes sent on the control connection.
    pub(crate) fn asked(&self) -> u64 {
        self.control.asked
    }

    /// Returns the number of connections of other clients. `curr_connections` includes memcached's listening sockets
    /// in some versions, so the connections are listed and those that serve a client are counted.
    fn clients(&mut self, connections: u64) -> Result<u64> {
        let others = connections.saturating_sub(1);
        if others == 0 || others > LISTED_MAX {
            return Ok(others);
        }
        let facts = match self.ask("conns") {
            // In the binary protocol memcached lists none. It counts all of its listening sockets but one, and has two if
            // it listens at every address.
            Err(Error::TargetProtocol { .. }) => return Ok(others.saturating_sub(1)),
            other => other?,
        };
        let states = facts.iter().filter(|(name, _)| name.ends_with(":state"));
        let serving =
            states.filter(|(_, state)| !matches!(&**state, "conn_listening" | "conn_closed"));
        Ok((serving.count() as u64).saturating_sub(1).min(others))
    }

    /// Asks for statistics, of a group unless that is empty.
    fn ask(&mut self, group: &str) -> Result<Vec<(String, String)>> {
        let answer = self
            .control
            .statistics(group, Instant::now() + self.patience);
        answer.map_err(|refusal| told(&self.name, refusal))
    }

    /// Makes the error for a connection that was made, and then failed.
    pub(crate) fn failed(&self, source: io::Error) -> Error {
        told(&self.name, Refusal::Io(source))
    }
}

/// Returns the growth of the number of bytes that the target has read; `None` if it does not tell.
pub(crate) fn bytes_read(before: &Statistics, after: &Statistics) -> Option<u64> {
    let told = |statistics: &Statistics| statistics.get(BYTES_READ)?.parse::<u64>().ok();
    Some(told(after)?.saturating_sub(told(before)?))
}

/// Returns the names of the needed statistics that a target does not tell.
pub(crate) fn untold(statistics: &Statistics) -> Vec<&'static str> {
    let missing = |name: &&str| !statistics.contains_key(*name);
    NEEDED.into_iter().filter(missing).collect()
}

/// True for the answer of a server that knows the protocol and not the question.
fn is_refusal(answer: &str) -> bool {
    ["ERROR", "CLIENT_ERROR", "SERVER_ERROR"].contains(&answer.split(' ').next().unwrap_or(""))
}

/// Makes the error for a target that refused a question or a connection.
fn told(name: &str, refusal: Refusal) -> Error {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock,
    };
    let target = name.to_owned();
    let source = match refusal {
        Refusal::Strange(answer) => return Error::TargetProtocol { target, answer },
        Refusal::Unauthenticated => return Error::SignInWanted { target },
        Refusal::SignIn => return Error::SignInRefused { target },
        Refusal::Open => return Error::SignInUnwanted { target },
        Refusal::Unreachable(source) => return Error::TargetUnreachable { target, source },
        Refusal::Io(source) => source,
    };
    if let Some((fault, words)) = tls::fault(&source) {
        return Error::Tls {
            target,
            fault,
            words,
        };
    }
    match source.kind() {
        WouldBlock | TimedOut => Error::TargetSilent { target },
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => {
            Error::TargetClosed { target }
        }
        _ => Error::TargetUnreachable { target, source },
    }
}

fn resolve(name: &str) -> Result<Vec<Address>> {
    Address::resolve(name).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => Error::TargetAddress {
            given: name.to_owned(),
        },
        _ => Error::TargetUnreachable {
            target: name.to_owned(),
            source: error,
        },
    })
}

/// Returns the counter `name`; 0 if the target has none of that name.
pub(crate) fn number(statistics: &Statistics, name: &str) -> u64 {
    statistics
        .get(name)
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}

/// Returns the growth of each counter that grew.
pub(crate) fn growth(before: &Statistics, after: &Statistics) -> BTreeMap<String, u64> {
    after
        .iter()
        .filter(|(name, _)| is_counter(name))
        .filter_map(|(name, value)| {
            let after: u64 = value.parse().ok()?;
            Some((name.clone(), after.saturating_sub(number(before, name))))
        })
        .filter(|(_, growth)| *growth > 0)
        .collect()
}

/// True for counters of commands, hits, bytes and evictions; false for gauges, settings and clocks.
fn is_counter(name: &str) -> bool {
    const STARTS: [&str; 9] = [
        "cmd_", "get_", "delete_", "incr_", "decr_", "cas_", "touch_", "bytes_", "store_",
    ];
    const NAMES: [&str; 4] = [
        "total_items",
        "total_connections",
        "evictions",
        "expired_unfetched",
    ];
    STARTS.iter().any(|start| name.starts_with(start)) || NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustix::net::SocketAddrUnix;

    use super::*;

    #[test]
    fn the_first_address_that_takes_a_connection_is_the_target() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = Address::from(listener.local_addr().unwrap());
        let closed = Address::Unix(SocketAddrUnix::new("/nonexist/memcached.sock").unwrap());
        let endpoints = |addresses: &[&Address]| {
            let each = addresses.iter().map(|address| (*address).clone().into());
            each.collect()
        };
        let some = endpoints(&[&closed, &open, &closed]);
        let target = Target::connect_to_first("cache:11211", some).unwrap();
        assert_eq!(target.endpoint().address, open);
        let none = endpoints(&[&closed, &closed]);
        let refused = Target::connect_to_first("cache:11211", none);
        assert!(matches!(refused, Err(Error::TargetUnreachable { .. })));
    }

    #[test]
    fn growth_leaves_out_gauges_and_counters_that_did_not_grow() {
        let statistics = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let before = statistics(&[("cmd_get", "5"), ("cmd_set", "1"), ("uptime", "1")]);
        let after = statistics(&[("cmd_get", "9"), ("cmd_set", "1"), ("uptime", "7")]);
        assert_eq!(
            growth(&before, &after),
            BTreeMap::from([("cmd_get".to_owned(), 4)])
        );
    }
}
