//! All targets of a replay: permission to write to them, what they tell, and the growth of their counters together.

use std::collections::BTreeMap;

use crate::clock::{SECOND, monotonic};
use crate::make::content::Content;
use crate::make::keys::ShortKeys;
use crate::plan::Plan;
use crate::plan::routes::Routes;
use crate::target::endpoint::Endpoints;
use crate::target::facts::{TargetFacts, TargetShare};
use crate::target::warm::{self, Warm};
use crate::target::{Access, Statistics, Target, bytes_read, growth, untold};
use crate::{Observer, Result};

/// Longest wait for the targets to read the last bytes written, ns.
const SETTLE: u64 = 2 * SECOND;

/// Growth of counters since a moment, and bytes of requests read since then.
pub(crate) struct Growth {
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) bytes_read: u64,
}

/// Targets of a replay.
#[derive(Debug)]
pub(crate) struct TargetGroup {
    /// Each target, and the statistics that it had when it was found.
    all: Vec<(Target, Statistics)>,
    /// Names of the servers that each target stands for.
    servers: Vec<Vec<String>>,
}

impl TargetGroup {
    /// Connects to all targets. Unless `allow_nonempty`, refuses any that holds items, has other clients, or does not tell.
    pub(crate) fn connect(routes: &Routes, access: &Access, allow_nonempty: bool) -> Result<Self> {
        let mut group = Self {
            all: Vec::new(),
            servers: Vec::new(),
        };
        for (name, servers) in &routes.targets {
            let mut target = Target::connect(name, access)?;
            let found = if allow_nonempty {
                target.statistics_if_any()?
            } else {
                let found = target.statistics()?;
                target.refuse_if_busy(&found)?;
                found
            };
            group.all.push((target, found));
            group.servers.push(servers.clone());
        }
        Ok(group)
    }

    /// Returns each target.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Target> {
        self.all.iter().map(|(target, _)| target)
    }

    /// Returns the endpoint of each connection of a plan.
    pub(crate) fn endpoints(&self, plan: &Plan) -> Endpoints {
        let each = self.iter().map(|target| target.endpoint().clone());
        Endpoints::several(each.collect(), plan.target_of_connection.clone())
    }

    /// Stores the items that the targets must hold at the start.
    pub(crate) fn warm(
        &self,
        plan: &Plan,
        keys: &mut ShortKeys,
        content: &Content,
        observer: &mut dyn Observer,
    ) -> Result<Warm> {
        let mut all = Warm::default();
        for (target, index) in self.iter().zip(0..) {
            all.add(&warm::store(
                (index, target),
                plan,
                keys,
                content,
                observer,
            )?);
        }
        Ok(all)
    }

    /// Asks for the statistics of now, by which growth is measured.
    pub(crate) fn snapshot(&mut self) -> Result<Vec<(Statistics, u64)>> {
        let all = self.all.iter_mut();
        all.map(|(target, _)| {
            let statistics = target.statistics_if_any()?;
            Ok((statistics, target.asked()))
        })
        .collect()
    }

    /// Waits until the targets have read `written` bytes since `before`, for at most two seconds, and for less if
    /// `is_short`. Returns the growth since then; `None` if some target does not tell how much it has read.
    pub(crate) fn growth(
        &mut self,
        before: &[(Statistics, u64)],
        written: u64,
        is_short: bool,
    ) -> Result<Option<Growth>> {
        if is_short {
            self.all
                .iter_mut()
                .for_each(|(target, _)| target.expect_little());
        }
        let deadline = monotonic() + SETTLE;
        loop {
            let after = self.snapshot()?;
            let mut all = Some(0);
            for ((before, asked_before), (after, asked)) in before.iter().zip(&after) {
                let read = bytes_read(before, after);
                let replayed = read.map(|read| read.saturating_sub(asked - asked_before));
                all = all.zip(replayed).map(|(all, replayed)| all + replayed);
            }
            let Some(read) = all else {
                return Ok(None);
            };
            if read >= written || monotonic() > deadline {
                let mut counters = BTreeMap::new();
                for ((before, _), (after, _)) in before.iter().zip(&after) {
                    for (name, grown) in growth(before, after) {
                        *counters.entry(name).or_default() += grown;
                    }
                }
                return Ok(Some(Growth {
                    counters,
                    bytes_read: read,
                }));
            }
        }
    }

    /// Returns what is known of the targets together: a fact that differs is unknown.
    pub(crate) fn facts(&self) -> TargetFacts {
        let names: Vec<&str> = self.iter().map(Target::name).collect();
        let common = |name: &str| {
            let mut told = self.all.iter().map(|(_, found)| found.get(name));
            let first = told.next().flatten();
            first.filter(|_| told.all(|other| other == first)).cloned()
        };
        let mut missing: Vec<&'static str> = Vec::new();
        for (_, found) in &self.all {
            missing.extend(untold(found));
        }
        missing.sort_unstable();
        missing.dedup();
        TargetFacts {
            name: names.join(", "),
            version: common("version"),
            threads: common("threads"),
            untold: missing,
        }
    }

    /// Returns what each of several targets stands for; nothing if there is one.
    pub(crate) fn shares(&self, plan: &Plan) -> Vec<TargetShare> {
        if self.all.len() < 2 {
            return Vec::new();
        }
        let each = self
            .all
            .iter()
            .zip(&self.servers)
            .zip(&plan.requests_of_target);
        each.map(|(((target, found), servers), requests)| TargetShare {
            name: target.name().to_owned(),
            version: found.get("version").cloned(),
            servers: servers.clone(),
            planned: *requests,
        })
        .collect()
    }
}
