//! The maps of a probe → what was counted, and what came since the last look.

use std::collections::HashMap;

use membench_bpf::{Loaded, Map, Memory, possible_cpus};
use membench_common::probe::{self, BUCKETS, Grouped, total};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    By, Result,
    buckets::{Counts, Scale},
    interval::{Group, Lost},
};

/// The maps of a probe.
pub(crate) struct Tally {
    totals: Memory,
    histogram: Memory,
    groups: Option<Map>,
    stacks: Option<Map>,
    frames: Option<Map>,
    by: Option<By>,
    scale: Option<Scale>,
    /// Functions of a pattern, by their numbers.
    functions: Vec<String>,
    last: Counted,
}

/// Everything that was counted since the start.
#[derive(Default)]
struct Counted {
    /// By CPU.
    cpus: Vec<OnCpu>,
    groups: HashMap<probe::Group, Amounts>,
    stacks: HashMap<probe::Stack, u64>,
}

#[derive(Clone, Copy)]
struct OnCpu {
    totals: [u64; total::STRIDE],
    histogram: Counts,
}

#[derive(Clone, Copy, Default)]
struct Amounts {
    count: u64,
    sum: u64,
    comm: [u8; probe::COMM],
}

/// Counts since the last look.
pub(crate) struct Change {
    pub(crate) totals: [u64; total::STRIDE],
    pub(crate) histogram: Option<crate::Histogram>,
    pub(crate) groups: Vec<Group>,
    /// Stacks with their hits.
    pub(crate) stacks: Vec<(probe::Stack, u64)>,
}

impl Change {
    /// Returns one of the totals.
    pub(crate) fn total(&self, which: u32) -> u64 {
        self.totals.get(which as usize).copied().unwrap_or(0)
    }

    /// Returns the hits that are not in each of the counts.
    pub(crate) fn lost(&self) -> Lost {
        Lost {
            unpaired: self.total(total::UNPAIRED),
            ungrouped: self.total(total::UNGROUPED),
            unstacked: self.total(total::UNSTACKED),
            unreadable: self.total(total::UNREADABLE),
        }
    }
}

impl Tally {
    /// Opens the maps of a loaded object.
    pub(crate) fn open(
        object: &Loaded,
        by: Option<By>,
        stacks: bool,
        scale: Option<Scale>,
    ) -> Result<Self> {
        let optional = |name: &str, wanted: bool| -> Result<Option<Map>> {
            Ok(wanted.then(|| object.map(name)).transpose()?)
        };
        Ok(Self {
            totals: object.map("totals")?.memory()?,
            histogram: object.map("histogram")?.memory()?,
            groups: optional("groups", is_mapped(by))?,
            stacks: optional("stacks", stacks)?,
            frames: optional("frames", stacks)?,
            by,
            scale,
            functions: Vec::new(),
            last: Counted::default(),
        })
    }

    /// Tells the names of functions, by the numbers that the programs know them by.
    pub(crate) fn name_functions(&mut self, functions: Vec<String>) {
        self.functions = functions;
    }

    /// Returns the functions that the hook's pattern matches.
    pub(crate) fn functions(&self) -> &[String] {
        &self.functions
    }

    /// Returns the sum of the totals since the start. This reads memory and makes no system call.
    pub(crate) fn totals(&self) -> [u64; total::STRIDE] {
        let mut sums = [0; total::STRIDE];
        for cpu in 0..self.totals.entries() {
            add(&mut sums, &words::<{ total::STRIDE }>(&self.totals, cpu));
        }
        sums
    }

    /// Returns what came since the last call.
    pub(crate) fn take(&mut self) -> Result<Change> {
        let now = Counted {
            cpus: self.cpus()?,
            groups: self.groups()?,
            stacks: self.stacks()?,
        };
        let before = std::mem::replace(&mut self.last, now);
        let now = &self.last;
        let zero = OnCpu {
            totals: [0; total::STRIDE],
            histogram: [0; BUCKETS],
        };
        let cpus = now.cpus.iter().enumerate();
        let cpus: Vec<OnCpu> = cpus
            .map(|(cpu, one)| one.since(before.cpus.get(cpu).unwrap_or(&zero)))
            .collect();
        let (mut totals, mut histogram) = (zero.totals, zero.histogram);
        for cpu in &cpus {
            add(&mut totals, &cpu.totals);
            add(&mut histogram, &cpu.histogram);
        }
        let scale = self.scale.as_ref();
        let sum = totals.get(total::SUM as usize).copied().unwrap_or(0);
        let mut groups = match self.by {
            Some(By::Cpu) => by_cpu(&cpus, scale),
            Some(by) => {
                let functions = (by == By::Function).then_some(self.functions.as_slice());
                apart(now, &before, scale, functions)
            }
            None => Vec::new(),
        };
        groups.sort_by_cached_key(|group| {
            let name = group.name.clone();
            (std::cmp::Reverse(group.count), group.id, name)
        });
        let mut stacks: Vec<(probe::Stack, u64)> = now
            .stacks
            .iter()
            .map(|(stack, count)| {
                let known = before.stacks.get(stack).copied().unwrap_or(0);
                (*stack, count.wrapping_sub(known))
            })
            .filter(|(_, count)| *count > 0)
            .collect();
        stacks.sort_by_key(|(stack, count)| {
            (
                std::cmp::Reverse(*count),
                stack.process,
                stack.kernel,
                stack.user,
            )
        });
        Ok(Change {
            totals,
            histogram: scale.map(|scale| scale.histogram(&histogram, sum)),
            groups,
            stacks,
        })
    }

    /// Returns the addresses of a stack by its number, from the innermost to the outermost; none if it has no number.
    pub(crate) fn frames(&self, number: i32) -> Result<Vec<u64>> {
        let (Some(frames), Ok(number)) = (&self.frames, u32::try_from(number)) else {
            return Ok(Vec::new());
        };
        let found = frames.lookup(number.as_bytes())?.unwrap_or_default();
        let addresses = found
            .chunks_exact(8)
            .map(|bytes| bytes.try_into().map_or(0, u64::from_ne_bytes));
        Ok(addresses.take_while(|address| *address != 0).collect())
    }

    fn cpus(&self) -> Result<Vec<OnCpu>> {
        let cpus = possible_cpus()? as usize;
        let cpus = (0..cpus).map(|cpu| OnCpu {
            totals: words(&self.totals, cpu),
            histogram: words(&self.histogram, cpu),
        });
        Ok(cpus.collect())
    }

    fn groups(&self) -> Result<HashMap<probe::Group, Amounts>> {
        let mut found = HashMap::new();
        let Some(map) = &self.groups else {
            return Ok(found);
        };
        for key in map.keys() {
            let key = key?;
            let Some(value) = map.lookup(&key)? else {
                continue;
            };
            let (Ok(group), Ok(amounts)) = (
                probe::Group::read_from_bytes(&key),
                Grouped::read_from_bytes(&value),
            ) else {
                continue;
            };
            let Grouped { count, sum, comm } = amounts;
            found.insert(group, Amounts { count, sum, comm });
        }
        Ok(found)
    }

    fn stacks(&self) -> Result<HashMap<probe::Stack, u64>> {
        let mut found = HashMap::new();
        let Some(map) = &self.stacks else {
            return Ok(found);
        };
        for key in map.keys() {
            let key = key?;
            let count = map.lookup(&key)?;
            let count = count.and_then(|bytes| u64::read_from_bytes(&bytes).ok());
            if let (Ok(stack), Some(count)) = (probe::Stack::read_from_bytes(&key), count) {
                found.insert(stack, count);
            }
        }
        Ok(found)
    }
}

impl OnCpu {
    fn since(&self, before: &Self) -> Self {
        let mut change = *self;
        subtract(&mut change.totals, &before.totals);
        subtract(&mut change.histogram, &before.histogram);
        change
    }
}

fn by_cpu(cpus: &[OnCpu], scale: Option<&Scale>) -> Vec<Group> {
    let total = |cpu: &OnCpu, which: u32| cpu.totals.get(which as usize).copied().unwrap_or(0);
    let cpus = (0..).zip(cpus);
    let busy = cpus.filter(|(_, cpu)| total(cpu, total::COUNT) > 0);
    busy.map(|(id, cpu)| Group {
        id: Some(id),
        name: None,
        count: total(cpu, total::COUNT),
        histogram: scale.map(|scale| scale.histogram(&cpu.histogram, total(cpu, total::SUM))),
    })
    .collect()
}

/// Returns the counts that the map of groups keeps apart: of tasks, or of functions if there are any.
fn apart(
    now: &Counted,
    before: &Counted,
    scale: Option<&Scale>,
    functions: Option<&[String]>,
) -> Vec<Group> {
    struct Each {
        count: u64,
        sum: u64,
        comm: [u8; probe::COMM],
        histogram: Counts,
    }
    let mut all: HashMap<u32, Each> = HashMap::new();
    for (group, amounts) in &now.groups {
        let known = before.groups.get(group).copied().unwrap_or_default();
        let count = amounts.count.wrapping_sub(known.count);
        if count == 0 {
            continue;
        }
        let one = all.entry(group.id).or_insert(Each {
            count: 0,
            sum: 0,
            comm: amounts.comm,
            histogram: [0; BUCKETS],
        });
        one.count += count;
        one.sum = one.sum.wrapping_add(amounts.sum.wrapping_sub(known.sum));
        if let Some(bucket) = one.histogram.get_mut(group.bucket as usize) {
            *bucket += count;
        }
    }
    let groups = all.into_iter().map(|(id, one)| {
        let function = functions.map(|all| all.get(id as usize).cloned().unwrap_or_default());
        Group {
            id: functions.is_none().then_some(id),
            name: function.or_else(|| Some(name(&one.comm))),
            count: one.count,
            histogram: scale.map(|scale| scale.histogram(&one.histogram, one.sum)),
        }
    });
    groups.collect()
}

/// Returns true if the programs keep these counts apart in a map.
pub(crate) fn is_mapped(by: Option<By>) -> bool {
    matches!(by, Some(By::Process | By::Thread | By::Function))
}

fn name(comm: &[u8]) -> String {
    let end = comm.iter().position(|byte| *byte == 0);
    let name = comm.get(..end.unwrap_or(comm.len())).unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

fn words<const COUNT: usize>(memory: &Memory, index: usize) -> [u64; COUNT] {
    let mut words = [0; COUNT];
    let bytes = memory.read(index).unwrap_or_default();
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes.try_into().map_or(0, u64::from_ne_bytes);
    }
    words
}

fn add(to: &mut [u64], amounts: &[u64]) {
    for (to, amount) in to.iter_mut().zip(amounts) {
        *to = to.wrapping_add(*amount);
    }
}

fn subtract(from: &mut [u64], amounts: &[u64]) {
    for (from, amount) in from.iter_mut().zip(amounts) {
        *from = from.wrapping_sub(*amount);
    }
}
