//! A target's address and statistics → whether it may be replayed against, and what its counters say afterwards.

pub(crate) mod warm;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::{Error, Result};

use crate::clock::{SECOND, monotonic};

/// How long the target may take to answer outside the measured time.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the target may take to read what was written last, ns.
const SETTLE: u64 = 2 * SECOND;

const STATISTICS: &[u8] = b"stats\r\n";

/// Connections beyond which `stats conns` is not asked for.
const LISTED_MAX: u64 = 10_000;

/// memcached's counters by name.
pub(crate) type Statistics = BTreeMap<String, String>;

/// A server to replay against, and a connection to ask it about itself.
#[derive(Debug)]
pub(crate) struct Target {
    name: String,
    address: SocketAddr,
    control: BufReader<TcpStream>,
    /// Bytes sent to ask.
    asked: u64,
}

impl Target {
    /// Connects to `HOST:PORT`.
    pub(crate) fn connect(name: &str) -> Result<Self> {
        let address = resolve(name)?;
        let unreachable = |source| unreachable(name, source);
        let control = TcpStream::connect_timeout(&address, PATIENCE).map_err(unreachable)?;
        control
            .set_read_timeout(Some(PATIENCE))
            .map_err(unreachable)?;
        control.set_nodelay(true).map_err(unreachable)?;
        Ok(Self {
            name: name.to_owned(),
            address,
            control: BufReader::new(control),
            asked: 0,
        })
    }

    /// As given.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its counters now.
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
        }
        .into())
    }

    /// Its counters once it has read `written` bytes since `before`, or does not read on; and how many it has read.
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

    /// Connections of others: memcached's count includes its own sockets in some versions, so they are told apart.
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

    fn ask(&mut self, request: &[u8]) -> Result<Vec<String>> {
        self.asked += request.len() as u64;
        let sent = self.control.get_mut().write_all(request);
        sent.map_err(|source| self.unreachable(source))?;
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            match line.as_str() {
                "END" => return Ok(lines),
                line if line.starts_with("STAT ") => lines.push(line.to_owned()),
                _ => {
                    return Err(Error::TargetProtocol {
                        target: self.name.clone(),
                        answer: line.chars().take(80).collect(),
                    }
                    .into());
                }
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        let read = self.control.read_until(b'\n', &mut line);
        match read {
            Ok(0) => Err(self.unreachable(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned()),
            Err(source) => Err(self.unreachable(source)),
        }
    }

    /// The error of a target that broke off.
    pub(crate) fn unreachable(&self, source: io::Error) -> Error {
        unreachable(&self.name, source)
    }
}

fn unreachable(target: &str, source: io::Error) -> Error {
    let target = target.to_owned();
    Error::TargetUnreachable { target, source }.into()
}

fn resolve(name: &str) -> Result<SocketAddr> {
    let refused = || {
        let given = name.to_owned();
        Error::from(Error::TargetAddress { given })
    };
    if !name.contains(':') {
        return Err(refused());
    }
    match name.to_socket_addrs() {
        Ok(mut addresses) => addresses.next().ok_or_else(refused),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(refused()),
        Err(source) => Err(unreachable(name, source)),
    }
}

fn statistic(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
    Some((name.to_owned(), value.to_owned()))
}

/// A counter; 0 if the target has none of that name.
pub(crate) fn number(statistics: &Statistics, name: &str) -> u64 {
    statistics
        .get(name)
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}

/// How much each counter grew.
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

/// Counters of commands, hits, bytes and evictions; not gauges, settings or clocks.
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
    use super::*;

    #[test]
    fn a_target_is_host_and_port_or_refused() {
        let table = [
            ("127.0.0.1:11211", true),
            ("[::1]:11211", true),
            ("127.0.0.1", false),
            ("127.0.0.1:x", false),
            ("", false),
            ("127.0.0.1:99999", false),
        ];
        for (name, is_target) in table {
            assert_eq!(resolve(name).is_ok(), is_target, "{name}");
        }
    }

    #[test]
    fn growth_leaves_out_gauges_and_what_did_not_grow() {
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
