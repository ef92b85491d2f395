//! Programs at tracepoints without types, at functions of the kernel and of programs, and at perf events.

use std::num::NonZeroU32;

use aya::programs::{
    Program, ProgramError,
    links::FdLink,
    perf_event::{
        HardwareEvent, PerfEvent as PerfProgram, PerfEventConfig, PerfEventScope, SamplePolicy,
        SoftwareEvent,
    },
    uprobe::{UProbeAttachLocation, UProbeScope},
};

use crate::{Hook, Link, PerfEvent, Sampling, UserPlace};

/// Attaches a loaded program; `None` if it is of another type or the hook does not fit.
pub(super) fn attach(program: &mut Program, hook: &Hook) -> Result<Option<Link>, ProgramError> {
    let link = match (program, hook) {
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
