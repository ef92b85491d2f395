//! The map of charged tasks → what was charged since the last look, with the names of control groups.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
};

use membench_bpf::{Loaded, Map, cgroup_mount};
use membench_common::observe;
use membench_event::share;
use zerocopy::IntoBytes;

use crate::{Culprit, Result, entries::entries, tally::name};

/// Folders of control groups that are looked at to find a name.
const MOST_FOLDERS: usize = 20_000;
/// Name of a CPU without a task.
const IDLE: &str = "idle";
/// Name of a task that ended before it could be asked.
const UNKNOWN: &str = "unknown";

/// The charged tasks.
pub(crate) struct Culprits {
    map: Map,
    /// By process.
    last: HashMap<u32, observe::Culprit>,
    /// Names of control groups by id; `None` for those that were not found.
    groups: HashMap<u64, Option<String>>,
}

impl Culprits {
    pub(crate) fn open(object: &Loaded) -> Result<Self> {
        Ok(Self {
            map: object.map("culprits")?,
            last: HashMap::new(),
            groups: HashMap::new(),
        })
    }

    /// Returns what was charged since the last call, the longest first. `others` is the time, ns, of waits that ended since
    /// then and were charged to nobody. Forgets tasks that were not charged meanwhile, so that the map does not fill with those that have ended.
    pub(crate) fn take(&mut self, others: u64) -> Result<Vec<Culprit>> {
        let now = entries(&self.map)?;
        let before = std::mem::replace(&mut self.last, now);
        let mut charged = Vec::new();
        let mut unchanged = Vec::new();
        for (process, culprit) in &self.last {
            let known = before.get(process).copied().unwrap_or_default();
            let time = culprit.time.saturating_sub(known.time);
            if time == 0 {
                unchanged.push(*process);
            } else {
                let waits = culprit.waits.saturating_sub(known.waits);
                charged.push((*process, *culprit, time, waits));
            }
        }
        for process in unchanged {
            self.map.delete(process.as_bytes())?;
            self.last.remove(&process);
        }
        let is_charged = |id: &u64| charged.iter().any(|(_, one, ..)| one.cgroup == *id);
        self.groups.retain(|id, _| is_charged(id));
        self.learn(charged.iter().map(|(_, culprit, ..)| culprit.cgroup));
        let waited = others + charged.iter().map(|(_, _, time, _)| time).sum::<u64>();
        let mut culprits: Vec<Culprit> = charged
            .into_iter()
            .map(|(process, culprit, time_ns, waits)| Culprit {
                task: task(process, &culprit),
                process,
                cgroup: match culprit.cgroup {
                    0 => listed_group(process),
                    id => self.groups.get(&id).cloned().flatten(),
                },
                time_ns,
                waits,
                share: share(time_ns, waited).unwrap_or(0.0),
            })
            .collect();
        culprits.sort_by(|one, other| {
            let order = |culprit: &Culprit| (std::cmp::Reverse(culprit.time_ns), culprit.process);
            (order(one), &one.task).cmp(&(order(other), &other.task))
        });
        Ok(culprits)
    }

    /// Looks up the names of control groups that are not known yet.
    fn learn(&mut self, ids: impl Iterator<Item = u64>) {
        let unknown: HashSet<u64> = ids
            .filter(|id| *id != 0 && !self.groups.contains_key(id))
            .collect();
        if unknown.is_empty() {
            return;
        }
        let found = cgroup_mount()
            .map(|mount| names(&mount, &unknown))
            .unwrap_or_default();
        for id in unknown {
            self.groups.insert(id, found.get(&id).cloned());
        }
    }
}

/// Returns the name of a charged task.
fn task(process: u32, culprit: &observe::Culprit) -> String {
    if process == 0 {
        return IDLE.into();
    }
    let known = name(&culprit.name);
    if !known.is_empty() {
        return known;
    }
    let listed = fs::read_to_string(format!("/proc/{process}/comm"));
    listed.map_or_else(|_| UNKNOWN.into(), |name| name.trim_end().to_owned())
}

/// Returns the control group (v2) that a process is in now.
fn listed_group(process: u32) -> Option<String> {
    if process == 0 {
        return None;
    }
    let listed = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    let mut lines = listed.lines();
    lines.find_map(|line| line.strip_prefix("0::").map(str::to_owned))
}

/// Returns the paths of control groups below the folder at which they are mounted, by id: the folder's number.
fn names(mount: &Path, wanted: &HashSet<u64>) -> HashMap<u64, String> {
    let mut found = HashMap::new();
    let mut folders = vec![mount.to_path_buf()];
    let mut looked_at = 0;
    while let Some(folder) = folders.pop() {
        looked_at += 1;
        if looked_at > MOST_FOLDERS || found.len() == wanted.len() {
            break;
        }
        if let Ok(facts) = fs::metadata(&folder)
            && wanted.contains(&facts.ino())
        {
            let inside = folder.strip_prefix(mount).unwrap_or(&folder);
            found.insert(facts.ino(), format!("/{}", inside.display()));
        }
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let inner = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.extend(inner.map(|entry| entry.path()));
    }
    found
}
