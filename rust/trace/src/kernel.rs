//! The kernel's programs: loaded, attached, drained, and what they counted.

use std::time::{Duration, Instant};

use membench_bpf::{
    Counters, Hook, KernelTypes, Link, Loaded, Map, Memory, Object, RingSize, Rings, Runs, Stripes,
    Update, include_object, list, online_cpus, possible_cpus,
};
use membench_common::{
    FILTERS, PORTS, counter as stride, field, global as shared, member, program as stripe,
    trace::{self, Entered, NO_CALL, NUMBERS, READS, counter, flag, global, total},
};
use zerocopy::FromBytes;

use crate::{
    Error, Hooks, Result,
    options::Options,
    process,
    table::{self, Outcome},
};

static OBJECT: &[u8] = include_object!("../../bpf/objects/trace.bpf.o");

/// Threads whose calls can be followed at the same time.
const THREADS: u32 = 16_384;
/// Drafts of one CPU.
const SLOTS: u32 = 4;
/// Numbers of calls: values of the map `totals` of one CPU.
const CALLS: u32 = 512;
const _: () = assert!(CALLS as usize == NUMBERS);
/// Smallest ring, bytes: two of the largest records.
const LEAST: u32 = 64 << 10;
/// Programs at tracepoints, in the order in which they are attached.
const ASIDE: [&str; 2] = ["signal_deliver", "sched_process_exit"];

/// The programs, attached.
pub(crate) struct Kernel {
    pub(crate) hooks: Hooks,
    /// Time by which a system call of another process is longer, ns.
    pub(crate) cost_ns: f64,
    rings: Rings,
    counters: Counters,
    totals: Memory,
    cpus: u32,
    control: Map,
    threads: Map,
    links: Vec<Link>,
    runs: Vec<Runs>,
}

/// Sums of the programs' counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts([u64; counter::COUNT]);

impl Counts {
    pub(crate) fn get(&self, index: u32) -> u64 {
        self.0.get(index as usize).copied().unwrap_or(0)
    }
}

/// Totals of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) number: u32,
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) time_ns: u64,
    pub(crate) longest_ns: u64,
}

impl Kernel {
    /// Loads and attaches the programs, and begins. Calls on sockets of the followed ports tell the bytes they moved.
    pub(crate) fn start(options: &Options, pids: &[u32], followed: &[u16]) -> Result<Self> {
        if cfg!(not(target_arch = "x86_64")) {
            return Err(Error::Architecture {
                architecture: std::env::consts::ARCH,
            });
        }
        let types = KernelTypes::read()?;
        let cpus = possible_cpus()?;
        let mut object = Object::parse("trace.bpf.o", OBJECT)?;
        set(&mut object, options, (pids, followed), &types)?;
        for drafts in [
            "entry_drafts",
            "return_drafts",
            "signal_drafts",
            "end_drafts",
        ] {
            object.set_max_entries(drafts, cpus * SLOTS)?;
        }
        let totals = if options.totals { cpus * CALLS } else { 1 };
        object
            .set_max_entries("threads", THREADS)?
            .set_max_entries("counters", cpus * stripe::COUNT)?
            .set_max_entries("rings", cpus)?
            .set_max_entries("totals", totals)?
            .use_only(ASIDE.into_iter().chain(["sys_enter", "sys_exit"]))?;
        let mut loaded = object.load()?;
        let size = RingSize::divide(
            u64::from(options.ring_bytes),
            None,
            online_cpus()?.len(),
            LEAST,
        );
        let rings = Rings::create(&loaded, "rings", size)?;
        let stripes = Stripes {
            cpus,
            per_cpu: stripe::COUNT,
            stride: stride::STRIDE,
        };
        let before = price();
        let (mut links, mut runs) = attach_aside(&mut loaded)?;
        let hooks = attach_calls(&mut loaded, options, &mut links, &mut runs)?;
        let kernel = Self {
            hooks,
            cost_ns: (price() - before).max(0.0),
            rings,
            counters: Counters::open(&loaded.map("counters")?, stripes)?,
            totals: loaded.map("totals")?.memory()?,
            cpus,
            control: loaded.map("control")?,
            threads: loaded.map("threads")?,
            links,
            runs,
        };
        kernel.record(true)?;
        Ok(kernel)
    }

    fn record(&self, on: bool) -> Result<()> {
        let value = u64::from(on).to_ne_bytes();
        Ok(self
            .control
            .update(&0_u32.to_ne_bytes(), &value, Update::Any)?)
    }

    /// Passes records to `take`, at most `limit`; returns how many.
    pub(crate) fn drain(&mut self, limit: usize, take: &mut impl FnMut(&[u8])) -> usize {
        self.rings.sweep(limit, take)
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.rings.are_empty()
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts(self.counters.sums())
    }

    /// Returns how often the programs that see calls did not run, for whichever process of this machine.
    pub(crate) fn skipped_runs(&mut self) -> u64 {
        self.runs
            .iter_mut()
            .filter_map(|runs| runs.misses().ok())
            .sum()
    }

    /// Ends recording at once for all programs, and detaches them.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.record(false)?;
        self.links.clear();
        Ok(())
    }

    /// Returns the calls that have not returned.
    pub(crate) fn unfinished(&self) -> Vec<Entered> {
        let keys = self.threads.keys().filter_map(std::result::Result::ok);
        let states = keys.filter_map(|key| self.threads.lookup(&key).ok().flatten());
        let states = states.filter_map(|bytes| Some(Entered::read_from_prefix(&bytes).ok()?.0));
        let mut states: Vec<Entered> = states.filter(|state| state.number != NO_CALL).collect();
        states.sort_by_key(|state| state.began);
        states
    }

    /// Returns the totals of each call that was made.
    pub(crate) fn totals(&self) -> Vec<Sums> {
        let numbers = 0..CALLS;
        let sums = numbers.map(|number| {
            let mut sums = Sums {
                number,
                calls: 0,
                errors: 0,
                time_ns: 0,
                longest_ns: 0,
            };
            for cpu in 0..self.cpus {
                let index = (cpu * CALLS + number) as usize;
                let bytes = self.totals.read(index).unwrap_or_default();
                let word = |index: usize| {
                    let bytes = bytes.get(index * 8..).unwrap_or_default();
                    u64::read_from_prefix(bytes).map_or(0, |(value, _)| value)
                };
                sums.calls += word(total::CALLS);
                sums.errors += word(total::ERRORS);
                sums.time_ns += word(total::TIME);
                sums.longest_ns = sums.longest_ns.max(word(total::LONGEST));
            }
            sums
        });
        sums.filter(|sums| sums.calls > 0).collect()
    }
}

fn set(
    object: &mut Object,
    options: &Options,
    (pids, followed): (&[u32], &[u16]),
    types: &KernelTypes,
) -> Result<()> {
    let mut calls = [0_u8; NUMBERS];
    let mut reads = [[0_u32; READS]; NUMBERS];
    for name in table::names() {
        let Some(number) = table::number_of(name) else {
            continue;
        };
        let index = number as usize;
        let (Some(call), Some(read)) = (calls.get_mut(index), reads.get_mut(index)) else {
            continue;
        };
        *call = table::flags(name);
        if options.calls.contains(&number) {
            *call |= flag::TRACED;
        }
        if let Some(known) = table::known(name) {
            *read = table::reads(known);
        }
    }
    object
        .set_global(shared::FIELDS, &types.offsets(field::PATHS, field::COUNT)?)?
        .set_global(
            shared::MEMBERS,
            &types.offsets(member::PATHS, member::COUNT)?,
        )?
        .set_global(shared::PIDS, &list::<_, FILTERS>(pids))?
        .set_global(shared::PID_NAMESPACE, &process::namespace())?
        .set_global(global::MEMBERS, &types.offsets(trace::PATHS, trace::COUNT)?)?
        .set_global(global::CALLS, &calls)?
        .set_global(global::READS, &reads)?
        .set_global(shared::PORTS, &list::<_, PORTS>(followed))?
        .set_global(global::ONLY_PORTS, &u32::from(!options.ports.is_empty()))?
        .set_global(global::SOCKETS, &u32::from(options.descriptors))?
        .set_global(global::SLOWER, &options.slower_ns())?
        .set_global(global::OUTCOME, &options.outcome.word())?
        .set_global(global::TOTALS, &u32::from(options.totals))?;
    Ok(())
}

/// Attaches the programs at signals and ends of threads.
fn attach_aside(loaded: &mut Loaded) -> Result<Attached> {
    let mut links = Vec::new();
    for name in ASIDE {
        links.push(
            loaded
                .program(name)?
                .attach(&Hook::RawTracepoint(name.into()))?,
        );
    }
    Ok((links, Vec::new()))
}

/// Attaches the programs that see calls: at their functions if there are few and the kernel allows that, else at the
/// tracepoints of all calls.
fn attach_calls(
    loaded: &mut Loaded,
    options: &Options,
    links: &mut Vec<Link>,
    runs: &mut Vec<Runs>,
) -> Result<Hooks> {
    if options.hooks != Some(Hooks::Tracepoints) && options.calls.len() <= trace::PAIRS {
        match attach_functions(loaded, options) {
            Ok((more, counted)) => {
                links.extend(more);
                runs.extend(counted);
                return Ok(Hooks::Functions);
            }
            Err(Error::Kernel(error)) if options.hooks == Some(Hooks::Functions) => {
                return Err(Error::Functions(error));
            }
            // Kernels without trampolines, and those that forbid them, have the tracepoints.
            Err(_) => {}
        }
    }
    let (more, counted) = attach_tracepoints(loaded)?;
    links.extend(more);
    runs.extend(counted);
    Ok(Hooks::Tracepoints)
}

/// Attaches the program at returns before that at entries. They begin together, when recording does.
fn attach_tracepoints(loaded: &mut Loaded) -> Result<Attached> {
    let (mut links, mut runs) = (Vec::new(), Vec::new());
    for name in ["sys_exit", "sys_enter"] {
        let mut program = loaded.program(name)?;
        links.push(program.attach(&Hook::RawTracepoint(name.into()))?);
        runs.push(program.runs()?);
    }
    Ok((links, runs))
}

/// Attaches a pair of programs at the function of each traced call.
fn attach_functions(loaded: &mut Loaded, options: &Options) -> Result<Attached> {
    let (mut links, mut runs) = (Vec::new(), Vec::new());
    for (pair, number) in options.calls.iter().enumerate() {
        let Some(name) = table::name_of(*number) else {
            continue;
        };
        let hook = Hook::KernelFunction {
            name: format!("__x64_sys_{}", table::function_of(name)),
            offset: 0,
        };
        let never_returns = table::known(name).is_some_and(|known| known.result == Outcome::Never);
        let programs = [("return", !never_returns), ("entry", true)];
        for (kind, _) in programs.into_iter().filter(|(_, wanted)| *wanted) {
            let mut program = loaded.program(&format!("{kind}_{pair:02}"))?;
            links.push(program.attach(&hook)?);
            runs.push(program.runs()?);
        }
    }
    Ok((links, runs))
}

type Attached = (Vec<Link>, Vec<Runs>);

/// Measures a system call of this process, which is not traced, ns: the fastest of several rounds.
fn price() -> f64 {
    // Short rounds, so that some meet neither an interrupt nor a busy sibling of this CPU.
    const ROUNDS: u32 = 1_000;
    const CALLS: u32 = 40;
    let round = || {
        let begun = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(rustix::process::getppid());
        }
        begun.elapsed()
    };
    let fastest = (0..ROUNDS).map(|_| round()).min().unwrap_or(Duration::ZERO);
    fastest.as_secs_f64() * 1e9 / f64::from(CALLS)
}
