//! The object with the kernel programs → programs attached to their hooks, a ring to drain, counters to read.

use std::os::fd::{AsFd, BorrowedFd};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Map, MapData, RingBuf},
};
use membench_common::{RECORD_PAYLOAD, counter, program};

use crate::{
    Error, Result,
    capture::{
        Facts, KernelOptions, Record, Tier,
        btf::Types,
        counters::{Counters, Heartbeat},
        failure,
        globals::Globals,
        tier::{self, Programs},
    },
};

pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/membench.bpf.o");
static SUMS: &str = include_str!("../../bpf/membench.bpf.sha256");

/// A ring holds at least this many of the largest records.
const LARGEST_RECORDS: u32 = 4;

/// A running capture. Once attached it needs no privilege: see [`super::give_up_privileges`].
pub struct Kernel {
    ring: RingBuf<MapData>,
    counters: Counters,
    heartbeat: Heartbeat,
    programs: Programs,
    malformed: u64,
    facts: Facts,
    /// Keeps programs and maps in the kernel.
    _object: Ebpf,
}

impl Kernel {
    /// Loads the programs and attaches them; from then on calls are captured.
    pub fn attach(options: &KernelOptions) -> Result<Self> {
        let types = Types::of_this_kernel()?;
        let tiers = options.tier.map_or(Tier::ALL.to_vec(), |tier| vec![tier]);
        let mut refused: Vec<Error> = Vec::new();
        for tier in tiers {
            match Self::attach_tier(tier, options, &types) {
                Ok(mut kernel) => {
                    kernel.facts.fallback = refused.first().map(tier::reason);
                    return Ok(kernel);
                }
                Err(error) if tier::may_differ(&error) => refused.push(error),
                Err(error) => return Err(error),
            }
        }
        Err(tier::worst(refused))
    }

    fn attach_tier(tier: Tier, options: &KernelOptions, types: &Types) -> Result<Self> {
        let globals = Globals::new(options, tier.offsets(types, &options.followed)?)?;
        let types =
            Btf::from_sys_fs().map_err(|error| failure::load(failure::OBJECT, error.into()))?;
        let cpus = cpus()?;
        let ring_bytes = ring_bytes(options.ring_bytes);
        let mut loader = EbpfLoader::new();
        loader
            .btf(Some(&types))
            .map_max_entries("ring", ring_bytes)
            .map_max_entries("counters", cpus * program::COUNT);
        tier.size_maps(&mut loader, cpus);
        globals.set(&mut loader);
        // Makes the maps; programs are loaded one by one.
        let object = loader.load(OBJECT);
        let mut object = object.map_err(|error| failure::load(failure::OBJECT, error))?;
        let ring = object
            .take_map("ring")
            .ok_or_else(|| failure::absent("ring"))?;
        let ring = RingBuf::try_from(ring).map_err(|error| failure::load("ring", error.into()))?;
        let counters = Counters::map(descriptor(&object, "counters")?, cpus)?;
        let heartbeat = Heartbeat::map(descriptor(&object, "heartbeat")?)?;
        let programs = tier.attach(&mut object, &types, || heartbeat.beat())?;
        Ok(Self {
            ring,
            counters,
            heartbeat,
            programs,
            malformed: 0,
            facts: Facts {
                tier: tier.name(),
                fallback: None,
                kernel_release: kernel_release(),
                object_sha256: object_sha256(),
                ring_bytes,
            },
            _object: object,
        })
    }

    /// Hands over at most `limit` records in the order of the ring; returns how many.
    pub fn drain(&mut self, limit: usize, take: &mut impl FnMut(Record<'_>)) -> usize {
        self.beat();
        let mut taken = 0;
        while taken < limit {
            let Some(item) = self.ring.next() else { break };
            match Record::parse(&item) {
                Some(record) => take(record),
                None => self.malformed += 1,
            }
            taken += 1;
        }
        taken
    }

    /// Tells the programs that somebody will drain the ring: each drain does, and whoever keeps it from draining must.
    pub fn beat(&self) {
        self.heartbeat.beat();
    }

    /// The programs' counters, by the indices in [`counter`].
    pub fn counters(&self) -> [u64; counter::COUNT] {
        self.counters.sums()
    }

    /// Records that broke a rule of the ring's format and were not handed over: always 0, or a bug.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// How often a program did not run: because it was running already on that CPU, as the kernel counts, or as a socket
    /// shows that is another than the one whose end should have been seen. Requests that were missed so show as
    /// [`counter::MISSED`] bytes too.
    pub fn program_misses(&mut self) -> Result<u64> {
        let replaced = self.counters()[counter::REPLACED as usize];
        Ok(replaced + self.programs.misses()?)
    }

    /// Stops capturing, sends first. What is in the ring can still be drained, and the counters stay.
    pub fn detach(&mut self) {
        self.programs.detach();
    }

    /// How this capture works.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

pub(super) fn cpus() -> Result<u32> {
    let cpus = aya::util::nr_cpus().map_err(|(path, source)| Error::Io {
        path: path.into(),
        source,
    })?;
    Ok(u32::try_from(cpus).unwrap_or(u32::MAX / program::COUNT))
}

pub(super) fn descriptor<'a>(object: &'a Ebpf, name: &'static str) -> Result<BorrowedFd<'a>> {
    match object.map(name) {
        Some(Map::Array(map)) => Ok(map.fd().as_fd()),
        _ => Err(failure::absent(name)),
    }
}

/// The kernel takes powers of two.
pub(super) fn ring_bytes(wanted: u32) -> u32 {
    let least =
        LARGEST_RECORDS * u32::try_from(RECORD_PAYLOAD).unwrap_or(u32::MAX / LARGEST_RECORDS);
    wanted
        .max(least + 1)
        .checked_next_power_of_two()
        .unwrap_or(1 << 31)
}

/// As `uname -r` says it.
pub(super) fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |text| text.trim().into())
}

pub(super) fn object_sha256() -> &'static str {
    let line = SUMS.lines().find(|line| line.ends_with("membench.bpf.o"));
    line.and_then(|line| line.split(' ').next())
        .unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_holds_four_of_the_largest_records_and_is_a_power_of_two() {
        for (wanted, expected) in [
            (0, 128 << 10),
            (128 << 10, 128 << 10),
            ((128 << 10) + 1, 256 << 10),
            (u32::MAX, 1 << 31),
        ] {
            assert_eq!(ring_bytes(wanted), expected, "{wanted}");
        }
    }

    #[test]
    fn the_object_has_its_hash_beside_it() {
        assert_eq!(object_sha256().len(), 64);
    }
}
