//! A target's address and statistics → permission to replay against it, and the growth of its counters afterwards.

pub(crate) mod address;
pub(crate) mod lines;
pub(crate) mod warm;

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use crate::clock::{SECOND, monotonic};
use crate::target::address::Address;
use crate::target::lines::Lines;
use crate::{Error, Result};

/// Longest wait for a whole answer on the control connection.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Most lines of an answer: `stats conns` of [`LISTED_MAX`] connections has six for each.
const LINES_MAX: usize = 100_000;

/// Longest wait for the target to read the last bytes written, ns.
const SETTLE: u64 = 2 * SECOND;

/// Longest wait for an answer of a target that has left others out, or of a run that is to end.
const LITTLE_PATIENCE: Duration = Duration::from_millis(500);

const STATISTICS: &[u8] = b"stats\r\n";

/// Most connections for which `stats conns` is asked; with more, all of them count as clients.
const LISTED_MAX: u64 = 10_000;

/// memcached's statistics: name → value.
pub(crate) type Statistics = BTreeMap<String, String>;

/// Server to replay against, with a control connection for its statistics.
#[derive(Debug)]
pub(crate) struct Target {
    name: String,
    address: Address,
    control: Lines,
    /// Longest wait for a whole answer on it.
    patience: Duration,
    /// Bytes sent on the control connection.
    asked: u64,
}

impl Target {
    /// Opens the control connection to `HOST:PORT` or `unix:PATH`. Of several addresses of a host the first that takes
    /// a connection is the target.
    pub(crate) fn connect(name: &str) -> Result<Self> {
        Self::connect_to_first(name, resolve(name)?)
    }

    fn connect_to_first(name: &str, addresses: Vec<Address>) -> Result<Self> {
        let mut refused = None;
        for address in addresses {
            match Lines::connect(&address, PATIENCE) {
                Ok(control) => {
                    return Ok(Self {
                        name: name.to_owned(),
                        address,
                        control,
                        patience: PATIENCE,
                        asked: 0,
                    });
                }
                Err(source) => refused = refused.or(Some(source)),
            }
        }
        let refused = refused.unwrap_or_else(|| io::ErrorKind::NotFound.into());
        Err(unreachable(name, refused))
    }

    /// Waits no longer than half a second for each answer from now on.
    pub(crate) fn expect_little(&mut self) {
        self.patience = LITTLE_PATIENCE;
    }

    /// Opens a further connection.
    pub(crate) fn another(&self) -> Result<Lines> {
        Lines::connect(&self.address, PATIENCE).map_err(|source| self.failed(source))
    }

    /// Returns the name as given.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address that took the control connection.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Asks for the current statistics.
    pub(crate) fn statistics(&mut self) -> Result<Statistics> {
        let lines = self.ask(STATISTICS)?;
        Ok(lines.iter().filter_map(|line| statistic(line)).collect())
    }

    /// Refuses a target that holds items or serves others.
    pub(crate) fn refuse_if_busy(&mut self, statistics: &Statistics) -> Result<()> {
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

    /// Waits until the target has read `written` bytes since `before`, for at most two seconds. Returns its statistics
    /// then, and the number of bytes it has read, without those of the control connection.
    pub(crate) fn settled(
        &mut self,
        before: &Statistics,
        written: u64,
    ) -> Result<(Statistics, u64)> {
        let deadline = monotonic() + SETTLE;
        let asked_before = self.asked;
        loop {
            let statistics = self.statistics()?;
            let read =
                number(&statistics, "bytes_read").saturating_sub(number(before, "bytes_read"));
            let replayed = read.saturating_sub(self.asked - asked_before);
            if replayed >= written || monotonic() > deadline {
                return Ok((statistics, replayed));
            }
        }
    }

    /// Returns the number of connections of other clients. `curr_connections` includes memcached's listening sockets
    /// in some versions, so the connections are listed and those that serve a client are counted.
    fn clients(&mut self, connections: u64) -> Result<u64> {
        let others = connections.saturating_sub(1);
        if others == 0 || others > LISTED_MAX {
            return Ok(others);
        }
        let lines = self.ask(b"stats conns\r\n")?;
        let states = lines.iter().filter_map(|line| line.split_once(":state "));
        let serving =
            states.filter(|(_, state)| !matches!(*state, "conn_listening" | "conn_closed"));
        Ok((serving.count() as u64).saturating_sub(1).min(others))
    }

    /// Sends a `stats` request and returns the lines of its answer, without `END`.
    fn ask(&mut self, request: &[u8]) -> Result<Vec<String>> {
        self.asked += request.len() as u64;
        let deadline = Instant::now() + self.patience;
        let sent = self.control.write(request);
        sent.map_err(|source| self.failed(source))?;
        let mut lines = Vec::new();
        loop {
            let line = self.line(deadline)?;
            match line.as_str() {
                "END" => return Ok(lines),
                line if line.starts_with("STAT ") && lines.len() < LINES_MAX => {
                    lines.push(line.to_owned());
                }
                _ => {
                    return Err(Error::TargetProtocol {
                        target: self.name.clone(),
                        answer: line.chars().take(80).collect(),
                    });
                }
            }
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<String> {
        let mut line = Vec::new();
        match self.control.read(&mut line, deadline) {
            Ok(()) => Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned()),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Makes the error for a connection that was made, and then failed.
    pub(crate) fn failed(&self, source: io::Error) -> Error {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock,
        };
        let target = self.name.clone();
        match source.kind() {
            WouldBlock | TimedOut => Error::TargetSilent { target },
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => {
                Error::TargetClosed { target }
            }
            _ => unreachable(&self.name, source),
        }
    }
}

fn unreachable(target: &str, source: io::Error) -> Error {
    let target = target.to_owned();
    Error::TargetUnreachable { target, source }
}

fn resolve(name: &str) -> Result<Vec<Address>> {
    Address::resolve(name).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => Error::TargetAddress {
            given: name.to_owned(),
        },
        _ => unreachable(name, error),
    })
}

fn statistic(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
    Some((name.to_owned(), value.to_owned()))
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
        let addresses = vec![closed.clone(), open.clone(), closed.clone()];
        let target = Target::connect_to_first("cache:11211", addresses).unwrap();
        assert_eq!(target.address(), &open);
        let refused = Target::connect_to_first("cache:11211", vec![closed.clone(), closed]);
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
