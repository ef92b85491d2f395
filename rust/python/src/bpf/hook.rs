//! The hooks of `membench.bpf`, as words and numbers → those of the loader.

use std::path::PathBuf;

use membench_bpf::{Direction, Hook, PerfEvent, Sampling, UserPlace, XdpMode};
use pyo3::prelude::*;

use super::error::{Error, Result};

/// `membench.bpf`'s hooks, by the attributes that they have together.
#[derive(FromPyObject)]
pub(super) struct Target {
    #[pyo3(item)]
    kind: String,
    #[pyo3(item)]
    name: String,
    #[pyo3(item)]
    path: Option<PathBuf>,
    #[pyo3(item)]
    offset: Option<u64>,
    #[pyo3(item)]
    word: Option<String>,
    #[pyo3(item)]
    rate: Option<u64>,
    #[pyo3(item)]
    pid: Option<u32>,
    #[pyo3(item)]
    cpu: Option<u32>,
}

/// A place to attach a program to.
pub(super) enum Place {
    Hook(Hook),
    /// The filters of an interface's `clsact`.
    Filter(String, Direction),
}

impl Target {
    pub(super) fn parse(self) -> Result<Place> {
        let Self { kind, name, .. } = &self;
        let name = name.clone();
        let hook = match kind.as_str() {
            "raw_tracepoint" => Hook::RawTracepoint(name),
            "tracepoint" => Hook::Tracepoint {
                category: self.word()?.into(),
                name,
            },
            "kernel_function" => Hook::KernelFunction {
                name,
                offset: self.offset.unwrap_or(0),
            },
            "user_function" => Hook::UserFunction {
                file: self.path()?,
                place: match self.offset {
                    Some(offset) => UserPlace::Offset(offset),
                    None => UserPlace::Symbol(name),
                },
                process: self.pid,
                semaphore: 0,
            },
            "kernel_functions" => Hook::KernelFunctions(name),
            "user_functions" => Hook::UserFunctions {
                file: self.path()?,
                pattern: name,
                process: self.pid,
            },
            "usdt" => Hook::Usdt {
                file: self.path()?,
                provider: self.word()?.into(),
                name,
                process: self.pid,
            },
            "perf_event" => Hook::PerfEvent {
                event: perf_event(&name)?,
                every: self.sampling()?,
                cpu: self.cpu,
                process: self.pid,
            },
            "tc" => return Ok(Place::Filter(name, direction(self.word()?)?)),
            "tcx" => Hook::Tcx {
                interface: name,
                direction: direction(self.word()?)?,
            },
            "xdp" => Hook::Xdp {
                interface: name,
                mode: mode(self.word()?)?,
            },
            "cgroup" => Hook::Cgroup {
                path: self.path()?,
                direction: direction(self.word()?)?,
            },
            "network_namespace" => Hook::NetworkNamespace(self.path()?),
            "lsm" => Hook::Lsm(name),
            "iterator" => Hook::Iterator(name),
            other => return Err(Error::Argument(format!("{other} is no kind of hook"))),
        };
        Ok(Place::Hook(hook))
    }

    fn word(&self) -> Result<&str> {
        let missing = || Error::Argument(format!("a hook of kind {} needs a word", self.kind));
        self.word.as_deref().ok_or_else(missing)
    }

    fn path(&self) -> Result<PathBuf> {
        let missing = || Error::Argument(format!("a hook of kind {} needs a path", self.kind));
        self.path.clone().ok_or_else(missing)
    }

    fn sampling(&self) -> Result<Sampling> {
        match (self.word.as_deref(), self.rate) {
            (Some("hz"), Some(rate)) => Ok(Sampling::Hertz(rate)),
            (Some("period"), Some(rate)) => Ok(Sampling::Events(rate)),
            _ => Err(Error::Argument("a perf event needs a rate".into())),
        }
    }
}

fn direction(word: &str) -> Result<Direction> {
    match word {
        "ingress" => Ok(Direction::Ingress),
        "egress" => Ok(Direction::Egress),
        other => Err(unknown("direction", other, "`ingress` or `egress`")),
    }
}

fn mode(word: &str) -> Result<XdpMode> {
    match word {
        "any" => Ok(XdpMode::Any),
        "generic" => Ok(XdpMode::Generic),
        "native" => Ok(XdpMode::Native),
        other => Err(unknown("mode", other, "`any`, `generic` or `native`")),
    }
}

fn perf_event(word: &str) -> Result<PerfEvent> {
    Ok(match word {
        "cpu-clock" => PerfEvent::CpuClock,
        "task-clock" => PerfEvent::TaskClock,
        "page-faults" => PerfEvent::PageFaults,
        "context-switches" => PerfEvent::ContextSwitches,
        "cpu-migrations" => PerfEvent::CpuMigrations,
        "cycles" => PerfEvent::Cycles,
        "instructions" => PerfEvent::Instructions,
        "cache-misses" => PerfEvent::CacheMisses,
        other => {
            let wanted = "`cpu-clock`, `task-clock`, `page-faults`, `context-switches`, \
                          `cpu-migrations`, `cycles`, `instructions` or `cache-misses`";
            return Err(unknown("perf event", other, wanted));
        }
    })
}

fn unknown(option: &str, found: &str, wanted: &str) -> Error {
    Error::Argument(format!("unknown {option} `{found}`; wanted {wanted}"))
}
