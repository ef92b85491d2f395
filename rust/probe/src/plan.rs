//! A hook and options → the programs to attach, where, and what they are set to.

use std::{fs, num::NonZeroU64};

use membench_bpf::{Hook, KernelTypes, cgroup};
use membench_common::{
    FILTERS, PORTS,
    probe::{self, COMM, COMMS, STEPS, Settings},
};
use zerocopy::FromZeros;

use crate::{By, Error, Linear, Options, Result, hook::Spec, scene::Scene};

/// A program and the places that it is attached to.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) program: &'static str,
    pub(crate) hooks: Vec<Hook>,
}

/// Everything that a probe loads.
pub(crate) struct Plan {
    pub(crate) hook: Spec,
    /// Programs in the order in which they are attached: beginnings first.
    pub(crate) steps: Vec<Step>,
    pub(crate) settings: Settings,
    pub(crate) pids: Vec<u32>,
    pub(crate) cgroups: Vec<u64>,
    /// The kernel's types, if programs follow pointers.
    pub(crate) types: Option<KernelTypes>,
    /// The thing that the histogram is of.
    pub(crate) value: Option<String>,
    /// The thing whose counts are kept apart.
    pub(crate) by: Option<By>,
}

impl Plan {
    /// Looks the hook up and checks the options against it.
    pub(crate) fn make(options: &Options) -> Result<Self> {
        let hook = Spec::parse(&options.hook)?;
        check(options)?;
        let mut settings = settings(options)?;
        let scene = Scene::of(&hook, options)?;
        let is_many = scene.begin.iter().any(Step::is_many);
        if is_many {
            check_many(&hook, options)?;
        }
        let counted = match &scene.results {
            Some(results) if scene.at_end => results,
            _ => &scene.operands,
        };
        let mut value = None;
        if options.latency {
            settings.latency = 1;
            settings.size = 8;
            value = Some("latency".to_owned());
        } else if let Some(wanted) = &options.histogram {
            counted.choose(&hook, wanted, &mut settings)?;
            value = Some(wanted.clone());
        }
        let mut is_paired = options.latency;
        if !options.ports.is_empty() {
            let (source, needs_begin) = if counted.is_result_only() {
                (&scene.operands, true)
            } else if options.latency {
                (&scene.operands, false)
            } else {
                (counted, false)
            };
            if !source.choose_socket(&mut settings) {
                return Err(Error::Options {
                    wanted: "--port".into(),
                    found: format!("{hook} passes no socket"),
                    remedy: "`--pid` narrows any hook; hooks that pass a `struct sock` have ports, such as \
                             `tp_btf:sock_send_length`"
                        .into(),
                });
            }
            is_paired |= needs_begin;
        }
        settings.paired = u32::from(is_paired);
        let missing = || {
            Error::Options {
            wanted: "--latency".into(),
            found: format!("nothing tells where {hook} ends"),
            remedy: "functions have an end (`kprobe:`, `fentry:`, `uprobe:`), and tracepoints whose names say so, such \
                     as `tracepoint:syscalls:sys_enter_read`"
                .into(),
        }
        };
        let steps: Vec<Step> = if is_paired {
            let (Some(begin), Some(end)) = (scene.begin, scene.end) else {
                return Err(missing());
            };
            vec![begin, end]
        } else if scene.at_end {
            scene.end.into_iter().collect()
        } else {
            scene.begin.into_iter().collect()
        };
        let types = match scene.types {
            None if !options.ports.is_empty() => Some(KernelTypes::read()?),
            types => types,
        };
        Ok(Self {
            hook,
            steps,
            settings,
            pids: options.pids.clone(),
            cgroups: groups(options)?,
            types,
            value,
            by: if is_many {
                Some(By::Function)
            } else {
                options.by
            },
        })
    }
}

impl Step {
    pub(crate) fn new(program: &'static str, hooks: Vec<Hook>) -> Self {
        Self { program, hooks }
    }

    /// Returns true if its hooks are patterns.
    pub(crate) fn is_many(&self) -> bool {
        let is_pattern =
            |hook: &Hook| matches!(hook, Hook::KernelFunctions(_) | Hook::UserFunctions { .. });
        self.hooks.iter().any(is_pattern)
    }
}

fn check(options: &Options) -> Result<()> {
    let refused = |wanted: &str, found: &str, remedy: &str| {
        Err(Error::Options {
            wanted: wanted.into(),
            found: found.into(),
            remedy: remedy.into(),
        })
    };
    if options.latency && options.histogram.is_some() {
        return refused(
            "--latency and --histogram",
            "a probe has one histogram",
            "run two probes",
        );
    }
    if options.linear.is_some() && options.histogram.is_none() && !options.latency {
        return refused(
            "--linear",
            "there is no value",
            "add `--histogram ARG` or `--latency`",
        );
    }
    for (wanted, count, most) in [
        ("--pid", options.pids.len(), FILTERS),
        ("--port", options.ports.len(), PORTS),
        ("--cgroup", options.cgroups.len(), FILTERS),
        ("--comm", options.comms.len(), COMMS),
    ] {
        if count > most {
            return refused(
                wanted,
                &format!("{count} of them"),
                &format!("at most {most}"),
            );
        }
    }
    if let Some(pid) = options.pids.iter().find(|pid| !is_process(**pid)) {
        return refused("--pid", &format!("no process {pid}"), "`ps -e` lists them");
    }
    Ok(())
}

/// Checks the options of a hook that is a pattern.
fn check_many(hook: &Spec, options: &Options) -> Result<()> {
    let wanted = match (options.latency, options.by) {
        (true, _) => "--latency",
        (false, Some(_)) => "--by",
        (false, None) => return Ok(()),
    };
    Err(Error::Options {
        wanted: wanted.into(),
        found: format!("{hook} is counted by function"),
        remedy: "name one function".into(),
    })
}

fn is_process(pid: u32) -> bool {
    pid != 0 && fs::exists(format!("/proc/{pid}")).unwrap_or(false)
}

fn settings(options: &Options) -> Result<Settings> {
    let mut settings = Settings::new_zeroed();
    for (to, port) in settings.ports.iter_mut().zip(&options.ports) {
        *to = *port;
    }
    for (to, comm) in settings.comms.iter_mut().zip(&options.comms) {
        *to = words(comm)?;
    }
    if let Some(Linear { least, most, step }) = options.linear {
        let steps = steps(least, most, step)?;
        (settings.least, settings.step, settings.steps) = (least, step, steps.get());
    }
    settings.stacks = u32::from(options.stacks);
    settings.by = match options.by {
        Some(By::Process) => probe::by::PROCESS,
        Some(By::Thread) => probe::by::THREAD,
        Some(By::Cpu | By::Function) | None => probe::by::NOTHING,
    };
    Ok(settings)
}

/// Returns how many steps there are from the least value to the most.
fn steps(least: i64, most: i64, step: u64) -> Result<NonZeroU64> {
    let width = u64::try_from(i128::from(most) - i128::from(least)).unwrap_or(0);
    let steps = width.checked_div(step).and_then(NonZeroU64::new);
    match steps {
        Some(steps) if steps.get() <= STEPS && width.is_multiple_of(step) => Ok(steps),
        _ => Err(Error::Options {
            wanted: format!("--linear {least}:{most}:{step}"),
            found: "the range is not 1 to 126 whole steps".into(),
            remedy: "such as `--linear 0:1000:50`".into(),
        }),
    }
}

/// Returns a thread's name as the programs compare it.
fn words(comm: &str) -> Result<[u64; 2]> {
    let mut bytes = [0_u8; COMM];
    if comm.is_empty() || comm.len() >= COMM {
        return Err(Error::Options {
            wanted: format!("--comm {comm}"),
            found: "the name of a thread has 1 to 15 bytes".into(),
            remedy: "`ps -eLo comm` lists them".into(),
        });
    }
    for (to, byte) in bytes.iter_mut().zip(comm.bytes()) {
        *to = byte;
    }
    let mut halves = bytes
        .chunks_exact(8)
        .map(|half| half.try_into().map_or(0, u64::from_ne_bytes));
    Ok([halves.next().unwrap_or(0), halves.next().unwrap_or(0)])
}

fn groups(options: &Options) -> Result<Vec<u64>> {
    let ids = options.cgroups.iter().map(|path| {
        cgroup(path).ok_or_else(|| Error::Options {
            wanted: format!("--cgroup {}", path.display()),
            found: "no control group (v2) is there".into(),
            remedy: "a path as in `/proc/PID/cgroup`".into(),
        })
    });
    ids.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_range_is_whole_steps() {
        assert_eq!(steps(0, 100, 10).unwrap().get(), 10);
        assert_eq!(steps(-50, 50, 1).unwrap().get(), 100);
        for (least, most, step) in [(0, 0, 1), (0, 10, 0), (10, 0, 1), (0, 10, 3), (0, 127, 1)] {
            assert!(steps(least, most, step).is_err(), "{least} {most} {step}");
        }
        assert!(steps(i64::MIN, i64::MAX, 1).is_err());
    }

    #[test]
    fn a_threads_name_has_up_to_fifteen_bytes() {
        assert_eq!(words("a").unwrap(), [u64::from(b'a'), 0]);
        assert!(words("").is_err() && words("sixteen-letters!").is_err());
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        let base = || Options {
            hook: "perf:cpu-clock".into(),
            ..Options::default()
        };
        for options in [
            Options {
                latency: true,
                histogram: Some("ret".into()),
                ..base()
            },
            Options {
                linear: Some(Linear {
                    least: 0,
                    most: 10,
                    step: 1,
                }),
                ..base()
            },
            Options {
                ports: vec![11211],
                ..base()
            },
            Options {
                latency: true,
                ..base()
            },
            Options {
                pids: vec![u32::MAX],
                ..base()
            },
            Options {
                cgroups: vec!["/no/such/group".into()],
                ..base()
            },
        ] {
            let error = Plan::make(&options).err().unwrap();
            assert!(matches!(error, Error::Options { .. }), "{error}");
        }
    }
}
