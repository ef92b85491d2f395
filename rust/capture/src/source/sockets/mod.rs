//! The object with the kernel programs → programs attached to their hooks, rings to drain, counters to read.

pub(crate) mod calls;
pub(crate) mod failure;
pub(crate) mod globals;
pub(crate) mod hooks;
pub(crate) mod options;
mod syscalls;

use std::{
    thread,
    time::{Duration, Instant},
};

use membench_bpf::{
    Counters, Heartbeat, KernelTypes, Loaded, Map, Object, RingSize, Rings, Stripes,
    include_object, kernel_release, online_cpus, possible_cpus,
};
use membench_common::{RECORD_PAYLOAD, counter, program};
use membench_event::Anchor;

use crate::{
    Error, Facts, Hooks, KernelOptions, Misses, Record, Result, clock,
    source::sockets::hooks::{Extras, Programs},
};

static OBJECT: &[u8] = include_object!("../../../../bpf/objects/capture.bpf.o");
static SUMS: &str = include_str!("../../../../bpf/objects/capture.bpf.sha256");
/// The object's name, in error messages and in the list of hashes.
pub(crate) const OBJECT_NAME: &str = "capture.bpf.o";

/// Each ring holds more bytes than this: four of the largest records.
#[expect(clippy::cast_possible_truncation, reason = "64 KiB")]
const LEAST_RING: u32 = 4 * RECORD_PAYLOAD as u32;

/// Time that programs which were running when they were detached have to write their last records.
const LAST_RECORDS: Duration = Duration::from_millis(100);
/// Pause between two looks for those records.
const LAST_PAUSE: Duration = Duration::from_millis(1);

/// A running capture at the kernel's socket or system call hooks.
///
/// Once attached it needs no privilege: see [`give_up_privileges`](crate::give_up_privileges).
pub struct Kernel {
    /// The moment before the first program was attached.
    begun: Anchor,
    rings: Rings,
    counters: Counters,
    heartbeat: Heartbeat,
    programs: Programs,
    /// Records read from the rings, malformed ones included.
    read: u64,
    /// Records that broke a rule of the rings' format.
    malformed: u64,
    is_detached: bool,
    facts: Facts,
    /// Keeps programs and maps in the kernel.
    _object: Loaded,
}

impl Kernel {
    /// Loads the programs and attaches them; from then on calls are captured.
    ///
    /// Without [`KernelOptions::hooks`] the first hooks that this kernel has and takes are used.
    pub fn attach(options: &KernelOptions) -> Result<Self> {
        let types = KernelTypes::read()?;
        if let Some(hooks) = options.hooks {
            return Self::attach_hooks(hooks, options, &types);
        }
        let [preferred @ .., last] = Hooks::ALL;
        let mut refused: Vec<Error> = Vec::new();
        for hooks in preferred {
            match Self::attach_hooks(hooks, options, &types) {
                Err(error) if hooks::may_differ(&error) => refused.push(error),
                attached => return attached,
            }
        }
        match Self::attach_hooks(last, options, &types) {
            Ok(mut kernel) => {
                kernel.facts.fallback = refused.first().map(hooks::reason);
                Ok(kernel)
            }
            Err(error) if hooks::may_differ(&error) => Err(hooks::most_informative(refused, error)),
            Err(error) => Err(error),
        }
    }

    fn attach_hooks(hooks: Hooks, options: &KernelOptions, types: &KernelTypes) -> Result<Self> {
        let extras = Extras {
            arrival: options.notes_arrival(),
            standby: hooks.have_standby()
                && options
                    .standby
                    .unwrap_or_else(|| types.preempts_tracepoints()),
        };
        let offsets = hooks.offsets(types, &options.followed, extras)?;
        let cpus = possible_cpus()?;
        let mut object = object(cpus)?;
        hooks.select(&mut object, cpus, extras)?;
        globals::set(&mut object, options, &offsets, extras.standby)?;
        // Makes the maps; programs are loaded one by one.
        let mut object = object.load().map_err(failure::explained)?;
        let size = ring_size(options.ring_bytes.into(), options.rings)?;
        let rings = Rings::create(&object, "rings", size)?;
        let counters = open_counters(&object.map("counters")?, cpus)?;
        let heartbeat = Heartbeat::open(&object.map("heartbeat")?)?;
        let begun = clock::anchor();
        let programs = hooks.attach(&mut object, extras, || heartbeat.beat())?;
        Ok(Self {
            begun,
            rings,
            counters,
            heartbeat,
            programs,
            read: 0,
            malformed: 0,
            is_detached: false,
            facts: Facts {
                standby: extras.standby,
                ..facts(hooks.name(), None, size)
            },
            _object: object,
        })
    }

    /// Passes at most `limit` records to `take`, in the order in which they were made; returns how many. Once detached,
    /// also waits for records that were still being written.
    pub fn drain(&mut self, limit: usize, take: &mut impl FnMut(Record<'_>)) -> usize {
        let deadline = Instant::now() + LAST_RECORDS;
        let mut taken = 0;
        loop {
            taken += self.sweep(limit - taken, take);
            let more_to_come = self.is_detached && !self.has_read_all();
            if taken >= limit || !more_to_come || Instant::now() >= deadline {
                return taken;
            }
            thread::sleep(LAST_PAUSE);
        }
    }

    fn sweep(&mut self, limit: usize, take: &mut impl FnMut(Record<'_>)) -> usize {
        self.beat();
        let malformed = &mut self.malformed;
        let taken = self.rings.sweep(limit, &mut |bytes| {
            Record::parse_or_count(bytes, malformed, take);
        });
        self.read += taken as u64;
        taken
    }

    /// Returns true if every record that was counted has been read, and none is being written.
    fn has_read_all(&self) -> bool {
        self.rings.are_empty() && self.read == self.counters()[counter::RECORDS as usize]
    }

    /// Returns how full the fullest ring was when the rings were last drained, 0…1.
    pub fn fill(&self) -> f64 {
        self.rings.fill()
    }

    /// Tells the programs that somebody is going to drain the rings. Each drain does so; call it while other work keeps
    /// you from draining.
    pub fn beat(&self) {
        self.heartbeat.beat();
    }

    /// Returns the programs' counters, by the indices in [`counter`].
    pub fn counters(&self) -> [u64; counter::COUNT] {
        self.counters.sums()
    }

    /// Returns how many bytes each ring lost because it was full; their sum is the counter [`counter::RING_FULL`].
    pub fn ring_full_by_ring(&self) -> Vec<u64> {
        self.rings
            .by_ring(&self.counters.by_cpu(counter::RING_FULL as usize))
    }

    /// Returns how many records broke a rule of the rings' format and were dropped. Anything but 0 is a bug of the
    /// programs.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Returns how often programs did not run: because they were already running on that CPU, which the kernel counts,
    /// or because a socket replaced another whose end was not seen. Bytes of followed TCP sockets that were missed so
    /// also show as [`counter::MISSED`].
    pub fn misses(&mut self) -> Result<Misses> {
        let replaced = self.counters()[counter::REPLACED as usize];
        let Misses { calls, aside } = self.programs.misses()?;
        Ok(Misses {
            calls,
            aside: aside + replaced,
        })
    }

    /// Stops capturing, sends first. Records in the rings can still be drained, and the counters stay.
    pub fn detach(&mut self) {
        self.is_detached = true;
        self.programs.detach();
    }

    /// The moment at which the capture begins: no call is seen that returned before.
    pub(crate) fn begun(&self) -> Anchor {
        self.begun
    }

    /// Returns how this capture works.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// Reads the object with the kernel programs, and sizes the maps that every program uses.
pub(crate) fn object(cpus: u32) -> Result<Object> {
    let mut object = Object::parse(OBJECT_NAME, OBJECT)?;
    object
        .set_max_entries("rings", cpus)?
        .set_max_entries("counters", cpus.saturating_mul(program::COUNT))?;
    Ok(object)
}

/// Divides the rings' bytes among the CPUs that are online.
pub(crate) fn ring_size(bytes: u64, rings: Option<u32>) -> Result<RingSize> {
    let online = online_cpus()?.len();
    let size = RingSize::divide(bytes, rings, online, LEAST_RING);
    let most = size.total();
    if most < bytes {
        return Err(Error::BufferTooLarge {
            wanted: bytes,
            most,
        });
    }
    Ok(size)
}

/// Maps the counters: one stripe for each program on each CPU.
pub(crate) fn open_counters(map: &Map, cpus: u32) -> Result<Counters> {
    let stripes = Stripes {
        cpus,
        per_cpu: program::COUNT,
        stride: counter::STRIDE,
    };
    Ok(Counters::open(map, stripes)?)
}

/// Describes a capture.
pub(crate) fn facts(hooks: &'static str, fallback: Option<String>, size: RingSize) -> Facts {
    Facts {
        hooks,
        fallback,
        standby: false,
        kernel_release: kernel_release(),
        object_sha256: object_sha256(),
        ring_bytes: size.total(),
        rings: size.rings,
    }
}

fn object_sha256() -> &'static str {
    let line = SUMS.lines().find(|line| line.ends_with(OBJECT_NAME));
    line.and_then(|line| line.split(' ').next())
        .unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_powers_of_two_and_none_is_smaller_than_asked_for() {
        for bytes in [1, 4096, 16 << 20, 2 << 30] {
            let size = ring_size(bytes, None).unwrap();
            assert!(size.each.is_power_of_two() && size.total() >= bytes);
        }
        let refused = ring_size(1 << 50, None).unwrap_err();
        let Error::BufferTooLarge { wanted, most } = refused else {
            panic!("{refused}");
        };
        assert_eq!((wanted, most % (2 << 30)), (1 << 50, 0));
    }

    #[test]
    fn the_object_has_its_hash_beside_it() {
        assert_eq!(object_sha256().len(), 64);
    }
}
