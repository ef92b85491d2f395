//! The object with the kernel programs → programs attached to their hooks, a ring to drain, counters to read.

use std::os::fd::{AsFd, BorrowedFd};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Map, MapData, RingBuf},
};
use membench_common::{PORTS, RECORD_PAYLOAD, counter, global, program};

use crate::{
    Error, Result,
    capture::{
        Facts, KernelOptions, Record, Tier,
        btf::Types,
        counters::Counters,
        failure,
        options::responses_global,
        syscalls,
        tier::{self, Offsets, Running},
    },
};

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/membench.bpf.o");
static SUMS: &str = include_str!("../../bpf/membench.bpf.sha256");

/// A ring holds at least this many of the largest records.
const LARGEST_RECORDS: u32 = 4;

/// A running capture. Once attached it needs no privilege: see [`super::give_up_privileges`].
pub struct Kernel {
    ring: RingBuf<MapData>,
    counters: Counters,
    running: Running,
    malformed: u64,
    facts: Facts,
    /// Keeps programs and maps in the kernel.
    _programs: Ebpf,
}

/// What the programs are told when they are loaded.
struct Globals {
    ports: [u16; PORTS],
    responses: u32,
    offsets: Offsets,
}

impl Globals {
    fn set<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        loader
            .override_global(global::PORTS, &self.ports, true)
            .override_global(global::RESPONSES, &self.responses, true)
            .override_global(global::SYSCALLS, &syscalls::NUMBERS, true)
            .override_global(global::CALLS, &syscalls::CALLS, true);
        self.offsets.set(loader);
    }
}

impl Kernel {
    /// Loads the programs and attaches them; from then on calls are captured.
    pub fn attach(options: &KernelOptions) -> Result<Self> {
        let ports = ports(&options.ports)?;
        let types = Types::of_this_kernel()?;
        let tiers = options.tier.map_or(Tier::ALL.to_vec(), |tier| vec![tier]);
        let mut refused: Vec<Error> = Vec::new();
        for tier in tiers {
            match Self::attach_tier(tier, options, &ports, &types) {
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

    fn attach_tier(
        tier: Tier,
        options: &KernelOptions,
        ports: &[u16; PORTS],
        types: &Types,
    ) -> Result<Self> {
        let globals = Globals {
            ports: *ports,
            responses: responses_global(options.responses),
            offsets: tier.offsets(types)?,
        };
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
        let mut programs = loader
            .load(OBJECT)
            .map_err(|error| failure::load(failure::OBJECT, error))?;
        let ring = programs
            .take_map("ring")
            .ok_or_else(|| failure::absent("ring"))?;
        let ring = RingBuf::try_from(ring).map_err(|error| failure::load("ring", error.into()))?;
        let counters = Counters::map(descriptor(&programs, "counters")?, cpus)?;
        Ok(Self {
            ring,
            counters,
            running: tier.attach(&mut programs, &types)?,
            malformed: 0,
            facts: Facts {
                tier: tier.name(),
                fallback: None,
                kernel_release: kernel_release(),
                object_sha256: object_sha256(),
                ring_bytes,
            },
            _programs: programs,
        })
    }

    /// Hands over at most `limit` records in the order of the ring; returns how many.
    pub fn drain(&mut self, limit: usize, take: &mut impl FnMut(Record<'_>)) -> usize {
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
        Ok(replaced + self.running.misses()?)
    }

    /// Stops capturing, sends first. What is in the ring can still be drained, and the counters stay.
    pub fn detach(&mut self) {
        self.running.detach();
    }

    /// How this capture works.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

fn cpus() -> Result<u32> {
    let cpus = aya::util::nr_cpus().map_err(|(path, source)| Error::Io {
        path: path.into(),
        source,
    })?;
    Ok(u32::try_from(cpus).unwrap_or(u32::MAX / program::COUNT))
}

fn descriptor<'a>(programs: &'a Ebpf, name: &'static str) -> Result<BorrowedFd<'a>> {
    match programs.map(name) {
        Some(Map::Array(map)) => Ok(map.fd().as_fd()),
        _ => Err(failure::absent(name)),
    }
}

/// The ports as the programs read them, ended by 0.
fn ports(wanted: &[u16]) -> Result<[u16; PORTS]> {
    let mut ports = [0; PORTS];
    if wanted.is_empty() || wanted.len() > PORTS || wanted.contains(&0) {
        return Err(Error::Ports {
            wanted: wanted.to_vec(),
            most: PORTS,
        });
    }
    ports[..wanted.len()].copy_from_slice(wanted);
    Ok(ports)
}

/// The kernel takes powers of two.
fn ring_bytes(wanted: u32) -> u32 {
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

fn object_sha256() -> &'static str {
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
    fn between_one_and_sixteen_ports_are_followed() {
        assert_eq!(ports(&[11211, 80]).unwrap()[..3], [11211, 80, 0]);
        assert_eq!(ports(&[1; PORTS]).unwrap(), [1; PORTS]);
        for wanted in [&[][..], &[0], &[1; PORTS + 1]] {
            assert!(
                matches!(ports(wanted), Err(Error::Ports { .. })),
                "{wanted:?}"
            );
        }
    }

    #[test]
    fn the_object_has_its_hash_beside_it() {
        assert_eq!(object_sha256().len(), 64);
    }
}
