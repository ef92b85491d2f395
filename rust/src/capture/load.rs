//! The object with the kernel programs → programs attached to their hooks, a ring to drain, counters to read.

use std::os::fd::{AsFd, BorrowedFd};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Map, MapData, RingBuf},
    programs::{BtfTracePoint, tp_btf::BtfTracePointLink},
};
use membench_common::{
    FILTERS, PORTS, RECORD_PAYLOAD, SOCKET_PATHS, counter, field, global, program,
};

use crate::{
    Error, Result,
    capture::{
        Facts, Followed, KernelOptions, Record, btf, clock,
        counters::{Counters, Heartbeat, ProgramFile},
        failure,
        options::{responses_global, side_global},
        syscalls, unix,
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
    heartbeat: Heartbeat,
    attached: Vec<Attached>,
    malformed: u64,
    facts: Facts,
    /// Keeps programs and maps in the kernel.
    _programs: Ebpf,
}

struct Attached {
    file: ProgramFile,
    link: Option<BtfTracePointLink>,
}

impl Kernel {
    /// Loads the programs and attaches them; from then on calls are captured.
    pub fn attach(options: &KernelOptions) -> Result<Self> {
        let ports = ports(&options.followed)?;
        let offsets = btf::offsets(!options.followed.sockets.is_empty())?;
        let types =
            Btf::from_sys_fs().map_err(|error| failure::load(failure::OBJECT, error.into()))?;
        let cpus = aya::util::nr_cpus().map_err(|(path, source)| Error::Io {
            path: path.into(),
            source,
        })?;
        let cpus = u32::try_from(cpus).unwrap_or(u32::MAX / program::COUNT);
        let ring_bytes = ring_bytes(options.ring_bytes);
        let mut programs = load(options, &ports, &offsets, cpus, ring_bytes, &types)?;
        let ring = programs
            .take_map("ring")
            .ok_or_else(|| failure::absent("ring"))?;
        let ring = RingBuf::try_from(ring).map_err(|error| failure::load("ring", error.into()))?;
        let counters = Counters::map(descriptor(&programs, "counters")?, cpus)?;
        let heartbeat = Heartbeat::map(descriptor(&programs, "heartbeat")?)?;
        // Sends before receives: a send without its receive is known to be an edge, a receive without its sends is not.
        let attached = program::NAMES
            .iter()
            .rev()
            .map(|name| attach(&mut programs, name, &types))
            .inspect(|_| heartbeat.beat());
        let attached = attached.collect::<Result<_>>()?;
        Ok(Self {
            ring,
            counters,
            heartbeat,
            attached,
            malformed: 0,
            facts: Facts {
                tier: "T1",
                kernel_release: kernel_release(),
                object_sha256: object_sha256(),
                ring_bytes,
            },
            _programs: programs,
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

    /// How often a program did not run because it was running already on that CPU. Requests that were missed so show
    /// as [`counter::MISSED`] bytes too.
    pub fn program_misses(&mut self) -> Result<u64> {
        self.attached
            .iter_mut()
            .map(|program| program.file.misses())
            .sum()
    }

    /// Stops capturing, sends first. What is in the ring can still be drained, and the counters stay.
    pub fn detach(&mut self) {
        for program in &mut self.attached {
            program.link = None;
        }
    }

    /// How this capture works.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

fn load(
    options: &KernelOptions,
    ports: &[u16; PORTS],
    offsets: &[u32; field::COUNT],
    cpus: u32,
    ring_bytes: u32,
    types: &Btf,
) -> Result<Ebpf> {
    let Followed {
        side,
        ports: _,
        sockets,
        pids,
        pid_namespace,
        cgroups,
        network_namespaces,
    } = &options.followed;
    let paths = sockets.iter().map(|path| unix::words(path));
    let (paths, lengths): (Vec<_>, Vec<_>) = paths.unzip();
    EbpfLoader::new()
        .btf(Some(types))
        .override_global(global::PORTS, ports, true)
        .override_global(global::SIDE, &side_global(*side), true)
        .override_global(global::PATHS, &list::<_, SOCKET_PATHS>(&paths), true)
        .override_global(
            global::PATH_LENGTHS,
            &list::<_, SOCKET_PATHS>(&lengths),
            true,
        )
        .override_global(global::PIDS, &list::<_, FILTERS>(pids), true)
        .override_global(global::PID_NAMESPACE, pid_namespace, true)
        .override_global(global::CGROUPS, &list::<_, FILTERS>(cgroups), true)
        .override_global(
            global::NAMESPACES,
            &list::<_, FILTERS>(network_namespaces),
            true,
        )
        .override_global(
            global::RESPONSES,
            &responses_global(options.responses),
            true,
        )
        .override_global(global::SAMPLE, &options.one_connection_in, true)
        .override_global(global::FIELDS, offsets, true)
        .override_global(global::SYSCALLS, &syscalls::NUMBERS, true)
        .override_global(global::JIFFY, &clock::jiffy_ns(), true)
        .map_max_entries("ring", ring_bytes)
        .map_max_entries("counters", cpus * program::COUNT)
        .map_max_entries("receive_scratch", cpus)
        .map_max_entries("send_scratch", cpus)
        .load(OBJECT)
        .map_err(|error| failure::load(failure::OBJECT, error))
}

fn attach(programs: &mut Ebpf, name: &'static str, types: &Btf) -> Result<Attached> {
    let program: &mut BtfTracePoint = programs
        .program_mut(name)
        .ok_or_else(|| failure::absent(name))?
        .try_into()
        .map_err(|error: aya::programs::ProgramError| failure::load(name, error.into()))?;
    program
        .load(name, types)
        .map_err(|error| failure::load(name, error.into()))?;
    let link = program.attach().and_then(|id| program.take_link(id));
    let link = link.map_err(|error| failure::attach(name, error.into()))?;
    let descriptor = program
        .fd()
        .map_err(|error| failure::load(name, error.into()))?;
    Ok(Attached {
        file: ProgramFile::open(descriptor.as_fd())?,
        link: Some(link),
    })
}

fn descriptor<'a>(programs: &'a Ebpf, name: &'static str) -> Result<BorrowedFd<'a>> {
    match programs.map(name) {
        Some(Map::Array(map)) => Ok(map.fd().as_fd()),
        _ => Err(failure::absent(name)),
    }
}

/// The ports as the programs read them, ended by 0.
fn ports(followed: &Followed) -> Result<[u16; PORTS]> {
    let wanted = &followed.ports;
    let mut ports = [0; PORTS];
    let follows_nothing = wanted.is_empty() && followed.sockets.is_empty();
    if follows_nothing || wanted.len() > PORTS || wanted.contains(&0) {
        return Err(Error::Ports {
            wanted: wanted.clone(),
            most: PORTS,
        });
    }
    ports[..wanted.len()].copy_from_slice(wanted);
    Ok(ports)
}

/// A list as the programs read it, ended by 0 unless full.
fn list<T: Copy + zerocopy::FromZeros, const MOST: usize>(wanted: &[T]) -> [T; MOST] {
    std::array::from_fn(|index| wanted.get(index).copied().unwrap_or(T::new_zeroed()))
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
        let ports = |wanted: &[u16]| ports(&Followed::ports(wanted));
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
