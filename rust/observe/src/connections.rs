//! The map of connections → those with the most time since the last look, with their clients and workers.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use membench_bpf::{Loaded, Map};
use membench_common::observe::{self, BUCKETS, part};
use zerocopy::IntoBytes;

use crate::{
    Account, BusyConnections, Connection, Result,
    entries::entries,
    quantiles::{self, Counts},
    sums::named,
    tally::Tally,
};

/// Connections that are told apart in an interval; requests of more are among those of the others.
pub(crate) const CONNECTIONS: u32 = 4096;
/// Connections that are listed.
const LISTED: usize = 20;

/// The map of connections.
pub(crate) struct Connected {
    map: Map,
    last: HashMap<observe::Connection, observe::Connected>,
}

/// A connection's growth since the last look.
struct Change {
    key: observe::Connection,
    worker: u32,
    round_trip: u32,
    retransmits: u32,
    requests: u64,
    parts: [u64; part::WHOLE],
    counts: Counts,
    read: u64,
    sent: u64,
}

impl Connected {
    pub(crate) fn open(object: &Loaded) -> Result<Self> {
        Ok(Self {
            map: object.map("connections")?,
            last: HashMap::new(),
        })
    }

    /// Returns the connections with the most time since the last call; what they lack of `all` is that of the others.
    /// Forgets connections without requests meanwhile, so that the map does not fill with those that have ended.
    pub(crate) fn take(&mut self, all: &Account, tally: &Tally) -> Result<BusyConnections> {
        let now = entries(&self.map)?;
        let before = std::mem::replace(&mut self.last, now);
        let changes = self.last.iter();
        let changes = changes.map(|(key, now)| Change::new(*key, before.get(key), now));
        let (mut busy, idle): (Vec<_>, Vec<_>) = changes.partition(|change| change.requests > 0);
        for change in idle {
            self.map.delete(change.key.as_bytes())?;
            self.last.remove(&change.key);
        }
        busy.sort_by_cached_key(|change| (Reverse(change.whole()), client(&change.key)));
        let others = u64::try_from(busy.len().saturating_sub(LISTED)).unwrap_or(u64::MAX);
        busy.truncate(LISTED);
        let requests: u64 = busy.iter().map(|change| change.requests).sum();
        let whole: u64 = busy.iter().map(Change::whole).sum();
        Ok(BusyConnections {
            busiest: busy.iter().map(|change| change.named(tally)).collect(),
            others,
            other_requests: all.requests.saturating_sub(requests),
            other_whole_ns: all.whole_ns.saturating_sub(whole),
        })
    }
}

impl Change {
    fn new(
        key: observe::Connection,
        before: Option<&observe::Connected>,
        now: &observe::Connected,
    ) -> Self {
        // One that was forgotten and came again begins anew.
        let before = before.filter(|before| before.requests <= now.requests);
        let since =
            |of: fn(&observe::Connected) -> u64| of(now).saturating_sub(before.map_or(0, of));
        let mut parts = [0; part::WHOLE];
        for (part, (to, now)) in parts.iter_mut().zip(now.sums).enumerate() {
            let before = before.and_then(|before| before.sums.get(part)).copied();
            *to = now.saturating_sub(before.unwrap_or(0));
        }
        let mut counts = [0; BUCKETS];
        for (bucket, (to, now)) in counts.iter_mut().zip(now.histogram).enumerate() {
            let before = before.and_then(|before| before.histogram.get(bucket));
            *to = now.wrapping_sub(before.copied().unwrap_or(0));
        }
        Self {
            requests: since(|one| one.requests),
            read: since(|one| one.read),
            sent: since(|one| one.sent),
            key,
            worker: now.worker,
            round_trip: now.round_trip,
            retransmits: now.retransmits,
            parts,
            counts,
        }
    }

    fn whole(&self) -> u64 {
        self.parts.iter().sum()
    }

    fn named(&self, tally: &Tally) -> Connection {
        let (process, thread, name) = tally.identity(self.worker);
        Connection {
            client: client(&self.key),
            port: self.key.local_port,
            process,
            thread,
            name,
            requests: self.requests,
            whole_ns: self.whole(),
            parts_ns: named(&self.parts),
            whole: quantiles::of(&self.counts, self.requests),
            request_bytes: self.read,
            answer_bytes: self.sent,
            // TCP counts eighths of a microsecond.
            round_trip_ns: u64::from(self.round_trip) * 125,
            retransmits: self.retransmits,
        }
    }
}

/// Returns a client's address and port as text.
pub(crate) fn client(connection: &observe::Connection) -> String {
    let address = if i32::from(connection.family) == libc::AF_INET6 {
        IpAddr::from(Ipv6Addr::from(connection.remote)).to_canonical()
    } else {
        let [first, second, third, fourth, ..] = connection.remote;
        Ipv4Addr::new(first, second, third, fourth).into()
    };
    SocketAddr::new(address, connection.remote_port).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_are_written_as_people_know_them() {
        let mut connection = <observe::Connection as zerocopy::FromZeros>::new_zeroed();
        connection.remote[..4].copy_from_slice(&[127, 0, 0, 1]);
        connection.remote_port = 4000;
        assert_eq!(client(&connection), "127.0.0.1:4000");
        connection.family = u16::try_from(libc::AF_INET6).unwrap();
        connection.remote = Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
        assert_eq!(client(&connection), "127.0.0.1:4000");
        connection.remote = Ipv6Addr::LOCALHOST.octets();
        assert_eq!(client(&connection), "[::1]:4000");
    }

    #[test]
    fn a_connection_that_was_forgotten_and_came_again_begins_anew() {
        let key = <observe::Connection as zerocopy::FromZeros>::new_zeroed();
        let mut before = <observe::Connected as zerocopy::FromZeros>::new_zeroed();
        let mut now = before;
        (before.requests, before.sums[0]) = (5, 5000);
        (now.requests, now.sums[0]) = (3, 300);
        let change = Change::new(key, Some(&before), &now);
        assert_eq!((change.requests, change.whole()), (3, 300));
    }
}
