//! The object with the kernel programs → programs attached to their hooks, rings to drain, counters to read.

pub(crate) mod globals;
pub(crate) mod hooks;
pub(crate) mod options;
pub(crate) mod record;

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};
use std::{io, thread};

use aya::maps::Map;
use aya::util::{nr_cpus, online_cpus};
use aya::{Btf, Ebpf, EbpfLoader};
use membench_common::{counter, program};

use crate::bpf::btf::Types;
use crate::bpf::counters::{Counters, Heartbeat};
use crate::bpf::failure;
use crate::bpf::ring::{Rings, Size};
use crate::source::sockets::globals::Globals;
use crate::source::sockets::hooks::Programs;
use crate::{Error, Facts, Hooks, KernelOptions, Misses, Record, Result};

pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../../bpf/objects/capture.bpf.o");
static SUMS: &str = include_str!("../../../../bpf/objects/capture.bpf.sha256");

/// How long programs that were running when they were detached may take to write their last records, and the pause
/// between two looks for them.
const LAST_RECORDS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(1));

/// A running capture. Once attached it needs no privilege: see [`super::give_up_privileges`].
pub struct Kernel {
    rings: Rings,
    counters: Counters,
    heartbeat: Heartbeat,
    programs: Programs,
    /// Records read,
    read: u64,
    /// and of them those that broke a rule.
    malformed: u64,
    is_detached: bool,
    facts: Facts,
    /// Keeps programs and maps in the kernel.
    _object: Ebpf,
}

impl Kernel {
    /// Loads the programs and attaches them; from then on calls are captured.
    pub fn attach(options: &KernelOptions) -> Result<Self> {
        let types = Types::of_this_kernel()?;
        let all_hooks = options
            .hooks
            .map_or(Hooks::ALL.to_vec(), |hooks| vec![hooks]);
        let mut refused: Vec<Error> = Vec::new();
        for hooks in all_hooks {
            match Self::attach_hooks(hooks, options, &types) {
                Ok(mut kernel) => {
                    kernel.facts.fallback = refused.first().map(hooks::reason);
                    return Ok(kernel);
                }
                Err(error) if hooks::may_differ(&error) => refused.push(error),
                Err(error) => return Err(error),
            }
        }
        Err(hooks::worst(refused))
    }

    fn attach_hooks(hooks: Hooks, options: &KernelOptions, types: &Types) -> Result<Self> {
        let globals = Globals::new(options, hooks.offsets(types, &options.followed)?)?;
        let types =
            Btf::from_sys_fs().map_err(|error| failure::load(failure::OBJECT, error.into()))?;
        let cpus = cpus()?;
        let online = online_cpus().map_err(unreadable)?;
        let size = Size::of(options.ring_bytes, options.rings, online.len());
        let mut loader = EbpfLoader::new();
        loader
            .btf(Some(&types))
            .map_max_entries("rings", cpus)
            .map_max_entries("counters", cpus * program::COUNT);
        hooks.size_maps(&mut loader, cpus);
        globals.set(&mut loader);
        // Makes the maps; programs are loaded one by one.
        let object = loader.load(OBJECT);
        let mut object = object.map_err(|error| failure::load(failure::OBJECT, error))?;
        let rings = Rings::make(&mut object, size, cpus, &online)?;
        let counters = Counters::map(descriptor(&object, "counters")?, cpus)?;
        let heartbeat = Heartbeat::map(descriptor(&object, "heartbeat")?)?;
        let programs = hooks.attach(&mut object, &types, || heartbeat.beat())?;
        Ok(Self {
            rings,
            counters,
            heartbeat,
            programs,
            read: 0,
            malformed: 0,
            is_detached: false,
            facts: Facts {
                hooks: hooks.name(),
                fallback: None,
                kernel_release: kernel_release(),
                object_sha256: object_sha256(),
                ring_bytes: size.total(),
                rings: size.rings,
            },
            _object: object,
        })
    }

    /// Hands over at most `limit` records in the order in which they were made; returns how many. Once detached also
    /// those that were still being written.
    pub fn drain(&mut self, limit: usize, take: &mut impl FnMut(Record<'_>)) -> usize {
        let deadline = Instant::now() + LAST_RECORDS.0;
        let mut taken = 0;
        loop {
            taken += self.sweep(limit - taken, take);
            let more_to_come = self.is_detached && !self.has_read_all();
            if taken >= limit || !more_to_come || Instant::now() >= deadline {
                return taken;
            }
            thread::sleep(LAST_RECORDS.1);
        }
    }

    fn sweep(&mut self, limit: usize, take: &mut impl FnMut(Record<'_>)) -> usize {
        self.beat();
        let malformed = &mut self.malformed;
        let taken = self
            .rings
            .sweep(limit, &mut |bytes| match Record::parse(bytes) {
                Some(record) => take(record),
                None => *malformed += 1,
            });
        self.read += taken as u64;
        taken
    }

    /// Whether every record that was counted was read, and none is being written.
    fn has_read_all(&self) -> bool {
        self.rings.are_empty() && self.read == self.counters()[counter::RECORDS as usize]
    }

    /// How full the fullest ring was found when they were last drained, 0…1.
    pub fn fill(&self) -> f64 {
        self.rings.fill()
    }

    /// Tells the programs that somebody will drain the rings: each drain does, and whoever keeps it from draining must.
    pub fn beat(&self) {
        self.heartbeat.beat();
    }

    /// The programs' counters, by the indices in [`counter`].
    pub fn counters(&self) -> [u64; counter::COUNT] {
        self.counters.sums()
    }

    /// What each ring did not take, bytes: together the counter [`counter::RING_FULL`].
    pub fn ring_full_by_ring(&self) -> Vec<u64> {
        self.rings
            .by_ring(&self.counters.by_cpu(counter::RING_FULL))
    }

    /// Records that broke a rule of the rings' format and were not handed over: always 0, or a bug.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// How often a program did not run: because it was running already on that CPU, as the kernel counts, or as a socket
    /// shows that is another than the one whose end should have been seen. Requests that were missed so show as
    /// [`counter::MISSED`] bytes too.
    pub fn misses(&mut self) -> Result<Misses> {
        let replaced = self.counters()[counter::REPLACED as usize];
        let Misses { calls, aside } = self.programs.misses()?;
        Ok(Misses {
            calls,
            aside: aside + replaced,
        })
    }

    /// Stops capturing, sends first. What is in the rings can still be drained, and the counters stay.
    pub fn detach(&mut self) {
        self.is_detached = true;
        self.programs.detach();
    }

    /// How this capture works.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

pub(crate) fn cpus() -> Result<u32> {
    let cpus = nr_cpus().map_err(unreadable)?;
    Ok(u32::try_from(cpus).unwrap_or(u32::MAX / program::COUNT))
}

pub(crate) fn unreadable((path, source): (&str, io::Error)) -> Error {
    Error::Io {
        path: path.into(),
        source,
    }
}

pub(crate) fn descriptor<'a>(object: &'a Ebpf, name: &'static str) -> Result<BorrowedFd<'a>> {
    match object.map(name) {
        Some(Map::Array(map)) => Ok(map.fd().as_fd()),
        _ => Err(failure::absent(name)),
    }
}

/// As `uname -r` says it.
pub(crate) fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |text| text.trim().into())
}

pub(crate) fn object_sha256() -> &'static str {
    let line = SUMS.lines().find(|line| line.ends_with("capture.bpf.o"));
    line.and_then(|line| line.split(' ').next())
        .unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_its_hash_beside_it() {
        assert_eq!(object_sha256().len(), 64);
    }
}
