//! Programs at tracepoints without types, at functions of the kernel and of programs, and at perf events.

use std::{io, num::NonZeroU32, os::fd::AsFd, path::Path};

use aya::programs::{
    ProbeKind, Program, ProgramError,
    links::FdLink,
    perf_event::{
        HardwareEvent, PerfEvent as PerfProgram, PerfEventConfig, PerfEventScope, SamplePolicy,
        SoftwareEvent,
    },
    uprobe::{UProbeAttachLocation, UProbeScope},
};

use crate::{Error, Hook, Link, PerfEvent, Sampling, UserPlace, sys::uprobe, usdt::usdt_sites};

/// Attaches a loaded program; `None` if it is of another type or the hook does not fit.
pub(super) fn attach(program: &mut Program, hook: &Hook) -> Result<Option<Link>, ProgramError> {
    let link = match (&mut *program, hook) {
        (Program::RawTracePoint(program), Hook::RawTracepoint(name)) => {
            let id = program.attach(name)?;
            FdLink::from(program.take_link(id)?).into()
        }
        (Program::TracePoint(program), Hook::Tracepoint { category, name }) => {
            let id = program.attach(category, name)?;
            Link::perf(program.take_link(id)?)?
        }
        (Program::KProbe(program), Hook::KernelFunction { name, offset }) => {
            let id = program.attach(name, *offset)?;
            Link::perf(program.take_link(id)?)?
        }
        (
            Program::UProbe(program),
            Hook::UserFunction {
                file,
                place,
                process,
                semaphore: 0,
            },
        ) => {
            let place = match place {
                UserPlace::Symbol(name) => UProbeAttachLocation::Symbol(name),
                UserPlace::Offset(offset) => UProbeAttachLocation::AbsoluteOffset(*offset),
            };
            let scope = process
                .and_then(NonZeroU32::new)
                .map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
            let id = program.attach(place, file, scope)?;
            Link::perf(program.take_link(id)?)?
        }
        (
            Program::UProbe(program),
            Hook::UserFunction {
                file,
                place: UserPlace::Offset(offset),
                process,
                semaphore,
            },
        ) => {
            let place = uprobe::Place {
                file,
                offset: *offset,
                semaphore: *semaphore,
                returns: matches!(program.kind(), ProbeKind::Return),
                process: *process,
            };
            uprobe::attach(program.fd()?.as_fd(), &place)?
        }
        (
            Program::UProbe(_),
            Hook::Usdt {
                file,
                provider,
                name,
                process,
            },
        ) => return at_sites(program, file, (provider, name), *process),
        (
            Program::PerfEvent(program),
            Hook::PerfEvent {
                event,
                every,
                cpu,
                process,
            },
        ) => on_cpus(program, *event, *every, *cpu, *process)?,
        _ => return Ok(None),
    };
    Ok(Some(link))
}

/// Attaches a program to each place of a probe that a program's author placed.
fn at_sites(
    program: &mut Program,
    file: &Path,
    (provider, name): (&str, &str),
    process: Option<u32>,
) -> Result<Option<Link>, ProgramError> {
    let sites = usdt_sites(file).map_err(|error| ProgramError::IOError(not_read(error)))?;
    let sites = sites
        .into_iter()
        .filter(|site| site.provider == provider && site.name == name);
    let mut links = Vec::new();
    for site in sites {
        let hook = Hook::UserFunction {
            file: file.into(),
            place: UserPlace::Offset(site.offset),
            process,
            semaphore: site.semaphore,
        };
        links.extend(attach(program, &hook)?);
    }
    if links.is_empty() {
        let text = format!("{} has no probe {provider}:{name}", file.display());
        let absent = io::Error::new(io::ErrorKind::NotFound, text);
        return Err(ProgramError::IOError(absent));
    }
    Ok(Some(Link::join(links)))
}

fn not_read(error: Error) -> io::Error {
    match error {
        Error::Io { source, .. } => source,
        error => io::Error::other(error),
    }
}

/// The most samples a second that the kernel takes from one event; it refuses more without a reason (EINVAL).
const MAX_SAMPLE_RATE: &str = "/proc/sys/kernel/perf_event_max_sample_rate";

/// Returns an error if a perf event is to be sampled more often than the kernel allows.
pub(super) fn require_rate(hook: &Hook) -> crate::Result<()> {
    let Hook::PerfEvent {
        every: Sampling::Hertz(given),
        ..
    } = *hook
    else {
        return Ok(());
    };
    let most = std::fs::read_to_string(MAX_SAMPLE_RATE).ok();
    match most.and_then(|most| most.trim().parse().ok()) {
        Some(most) if given > most => Err(Error::SampleRate { most, given }),
        _ => Ok(()),
    }
}

fn on_cpus(
    program: &mut PerfProgram,
    event: PerfEvent,
    every: Sampling,
    cpu: Option<u32>,
    process: Option<u32>,
) -> Result<Link, ProgramError> {
    let cpus = match cpu {
        Some(cpu) => vec![cpu],
        None => aya::util::online_cpus().map_err(|(_, error)| ProgramError::IOError(error))?,
    };
    let every = match every {
        Sampling::Hertz(frequency) => SamplePolicy::Frequency(frequency),
        Sampling::Events(period) => SamplePolicy::Period(period),
    };
    let links = cpus.into_iter().map(|cpu| {
        let scope = match process {
            Some(pid) => PerfEventScope::OneProcess {
                pid,
                cpu: Some(cpu),
            },
            None => PerfEventScope::AllProcessesOneCpu { cpu },
        };
        let id = program.attach(config(event), scope, every, false)?;
        Link::perf(program.take_link(id)?)
    });
    let links: Vec<Link> = links.collect::<Result<_, _>>()?;
    Ok(Link::join(links))
}

fn config(event: PerfEvent) -> PerfEventConfig {
    let software = match event {
        PerfEvent::CpuClock => SoftwareEvent::CpuClock,
        PerfEvent::TaskClock => SoftwareEvent::TaskClock,
        PerfEvent::PageFaults => SoftwareEvent::PageFaults,
        PerfEvent::ContextSwitches => SoftwareEvent::ContextSwitches,
        PerfEvent::CpuMigrations => SoftwareEvent::CpuMigrations,
        PerfEvent::Cycles => return PerfEventConfig::Hardware(HardwareEvent::CpuCycles),
        PerfEvent::Instructions => return PerfEventConfig::Hardware(HardwareEvent::Instructions),
        PerfEvent::CacheMisses => return PerfEventConfig::Hardware(HardwareEvent::CacheMisses),
    };
    PerfEventConfig::Software(software)
}
