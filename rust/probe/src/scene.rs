//! A hook → the programs for it, and the operands that it passes, where it begins and where it ends.

use std::fs;

use membench_bpf::{Capability, Hook, KernelTypes, UserPlace, keeps_to_process, kernel_functions};

use crate::{
    Error, Options, Result, binary::Binary, hook::Spec, names::nearest, operands::Operands,
    plan::Step, tracefs,
};

/// The kernel's list of its symbols.
const SYMBOLS: &str = "/proc/kallsyms";
/// Names of tracepoints where something begins and where it ends.
const PAIRS: [(&str, &str); 6] = [
    ("sys_enter", "sys_exit"),
    ("_enter", "_exit"),
    ("_entry", "_exit"),
    ("_begin", "_end"),
    ("_start", "_end"),
    ("_start", "_done"),
];

/// The programs for a kind of hook, with the end of a call if there is one.
pub(crate) struct Scene {
    pub(crate) begin: Option<Step>,
    pub(crate) end: Option<Step>,
    /// Operands where the call begins, and where it ends.
    pub(crate) operands: Operands,
    pub(crate) results: Option<Operands>,
    /// True if hits are counted where the call ends.
    pub(crate) at_end: bool,
    pub(crate) types: Option<KernelTypes>,
}

impl Scene {
    /// Looks the hook up.
    pub(crate) fn of(hook: &Spec, options: &Options) -> Result<Self> {
        match hook {
            Spec::Tracepoint { category, name } => {
                Self::tracepoint(category, name, options.latency)
            }
            Spec::TypedTracepoint(name) => {
                Self::arguments(name, options.latency, ("probe_btf", "probe_btf_end"), true)
            }
            Spec::RawTracepoint(name) => {
                Self::arguments(name, options.latency, ("probe_raw", "probe_raw_end"), false)
            }
            Spec::Kprobe { function, offset } if is_pattern(function) => {
                if *offset != 0 {
                    return Err(one_function(hook, "a pattern has no offset"));
                }
                Self::kernel_functions("probe_kprobes", function)
            }
            Spec::Kretprobe(function) if is_pattern(function) => {
                Self::kernel_functions("probe_kretprobes", function)
            }
            Spec::Fentry(function) | Spec::Fexit(function) if is_pattern(function) => {
                Err(one_function(hook, "it takes one function"))
            }
            Spec::Kprobe { function, offset } => Self::kprobe(function, *offset, false),
            Spec::Kretprobe(function) => Self::kprobe(function, 0, true),
            Spec::Fentry(function) => Self::trampoline(function, false),
            Spec::Fexit(function) => Self::trampoline(function, true),
            Spec::Uprobe {
                file,
                place,
                returns,
            } => {
                let binary = Binary::open(file)?;
                if let UserPlace::Symbol(pattern) = place
                    && is_pattern(pattern)
                {
                    return Self::user_functions(&binary, pattern, *returns, &options.pids);
                }
                let offset = match place {
                    UserPlace::Offset(offset) => *offset,
                    UserPlace::Symbol(name) => binary.function(name)?,
                };
                let hooks = user_hooks(&binary, &[(offset, 0)], &options.pids);
                Ok(Self {
                    begin: Some(Step::new("probe_uprobe", hooks.clone())),
                    end: Some(Step::new("probe_uretprobe", hooks)),
                    operands: Operands::Registers {
                        signature: None,
                        returns: false,
                    },
                    results: Some(Operands::Registers {
                        signature: None,
                        returns: true,
                    }),
                    at_end: *returns,
                    types: None,
                })
            }
            Spec::Usdt {
                file,
                provider,
                name,
            } => Self::usdt(hook, &Binary::open(file)?, (provider, name), options),
            Spec::Perf { event, every } => {
                let hook = Hook::PerfEvent {
                    event: *event,
                    every: *every,
                    cpu: None,
                    process: None,
                };
                Ok(Self::alone(
                    Step::new("probe_perf", vec![hook]),
                    Operands::Nothing,
                ))
            }
        }
    }

    /// Creates one of a hit that has no end.
    fn alone(step: Step, operands: Operands) -> Self {
        Self {
            begin: Some(step),
            end: None,
            operands,
            results: None,
            at_end: false,
            types: None,
        }
    }

    fn tracepoint(category: &str, name: &str, paired: bool) -> Result<Self> {
        let fields = |name: &str| tracefs::fields(category, name);
        let at = |name: &str| Hook::Tracepoint {
            category: category.into(),
            name: name.into(),
        };
        let Some(found) = fields(name)? else {
            let all = tracefs::tracepoints()?;
            let all: Vec<String> = all
                .iter()
                .map(|(category, name)| format!("{category}:{name}"))
                .collect();
            return Err(no_tracepoint(
                &format!("{category}:{name}"),
                all.iter().map(String::as_str),
            ));
        };
        let step = Step::new("probe_tp", vec![at(name)]);
        let mut scene = Self::alone(step, Operands::Fields(found));
        if paired {
            for (begin, end) in ends(name) {
                let (Some(first), Some(last)) = (fields(&begin)?, fields(&end)?) else {
                    continue;
                };
                scene.begin = Some(Step::new("probe_tp", vec![at(&begin)]));
                scene.end = Some(Step::new("probe_tp_end", vec![at(&end)]));
                scene.operands = Operands::Fields(first);
                scene.results = Some(Operands::Fields(last));
                break;
            }
        }
        Ok(scene)
    }

    /// Looks up a tracepoint by its name alone; `needs_types` if the kernel's types must have it.
    fn arguments(
        name: &str,
        paired: bool,
        programs: (&'static str, &'static str),
        needs_types: bool,
    ) -> Result<Self> {
        let types = match KernelTypes::read() {
            Ok(types) => Some(types),
            Err(error) if needs_types => return Err(error.into()),
            Err(_) => None,
        };
        let signature = |name: &str| types.as_ref().and_then(|types| types.tracepoint(name));
        let operands = |name: &str| Operands::Arguments {
            signature: signature(name),
            returns: false,
        };
        if let Some(types) = &types
            && signature(name).is_none()
        {
            let all = types.tracepoints();
            return Err(no_tracepoint(name, all.iter().map(String::as_str)));
        }
        let at = |name: &str| vec![Hook::RawTracepoint(name.into())];
        let step = Step::new(programs.0, at(name));
        let mut scene = Self::alone(step, operands(name));
        let pair = ends(name)
            .into_iter()
            .find(|(begin, end)| paired && signature(begin).is_some() && signature(end).is_some());
        if let Some((begin, end)) = pair {
            scene.begin = Some(Step::new(programs.0, at(&begin)));
            scene.end = Some(Step::new(programs.1, at(&end)));
            scene.operands = operands(&begin);
            scene.results = Some(operands(&end));
        }
        scene.types = types;
        Ok(scene)
    }

    fn kprobe(function: &str, offset: u64, returns: bool) -> Result<Self> {
        require_symbol(function)?;
        let types = KernelTypes::read().ok();
        let signature = types.as_ref().and_then(|types| types.function(function));
        let at = |offset| Hook::KernelFunction {
            name: function.into(),
            offset,
        };
        // Inside a function the registers no longer hold its arguments, and it has no end of its own.
        let is_inside = offset != 0;
        let end = (!is_inside).then(|| Step::new("probe_kretprobe", vec![at(0)]));
        Ok(Self {
            begin: Some(Step::new("probe_kprobe", vec![at(offset)])),
            end,
            operands: Operands::Registers {
                signature: signature.clone().filter(|_| !is_inside),
                returns: false,
            },
            results: Some(Operands::Registers {
                signature,
                returns: true,
            }),
            at_end: returns,
            types,
        })
    }

    fn trampoline(function: &str, returns: bool) -> Result<Self> {
        let types = KernelTypes::read()?;
        let Some(signature) = types.function(function) else {
            let all = types.functions();
            return Err(no_function(function, all.iter().map(String::as_str)));
        };
        let at = || Hook::KernelFunction {
            name: function.into(),
            offset: 0,
        };
        let operands = |returns| Operands::Arguments {
            signature: Some(signature.clone()),
            returns,
        };
        Ok(Self {
            begin: Some(Step::new("probe_fentry", vec![at()])),
            end: Some(Step::new("probe_fexit", vec![at()])),
            operands: operands(false),
            results: Some(operands(true)),
            at_end: returns,
            types: Some(types),
        })
    }

    /// Looks up the kernel functions that match a pattern.
    fn kernel_functions(program: &'static str, pattern: &str) -> Result<Self> {
        if kernel_functions(pattern).is_empty() {
            return Err(no_function(pattern, []));
        }
        let hook = Hook::KernelFunctions(pattern.into());
        Ok(Self::many(Step::new(program, vec![hook])))
    }

    /// Looks up the functions of a file that match a pattern.
    fn user_functions(binary: &Binary, pattern: &str, returns: bool, pids: &[u32]) -> Result<Self> {
        binary.require_match(pattern)?;
        // The link takes less, but traps are measured by what takes this: a probe must not cost more than it says.
        Capability::require(&[Capability::SysAdmin])?;
        let program = if returns {
            "probe_uretprobes"
        } else {
            "probe_uprobes"
        };
        let pids = if keeps_to_process() { pids } else { &[] };
        let hooks = processes(pids).map(|process| Hook::UserFunctions {
            file: binary.path().into(),
            pattern: pattern.into(),
            process,
        });
        Ok(Self::many(Step::new(program, hooks.collect())))
    }

    /// Creates one of many functions, whose arguments differ.
    fn many(step: Step) -> Self {
        let returns = matches!(step.program, "probe_kretprobes" | "probe_uretprobes");
        let operands = Operands::Registers {
            signature: None,
            returns,
        };
        Self::alone(step, operands)
    }

    fn usdt(
        hook: &Spec,
        binary: &Binary,
        (provider, name): (&str, &str),
        options: &Options,
    ) -> Result<Self> {
        let sites = binary.usdt(provider, name)?;
        let first = sites.first().map(|site| site.arguments.clone());
        let arguments = first.unwrap_or_default();
        if options.histogram.is_some() && sites.iter().any(|site| site.arguments != arguments) {
            return Err(Error::Options {
                wanted: "--histogram".into(),
                found: format!("{hook} has its arguments in different places"),
                remedy: "count it, or probe one place by `uprobe:FILE:0xOFFSET`".into(),
            });
        }
        let offsets: Vec<(u64, u64)> = sites
            .iter()
            .map(|site| (site.offset, site.semaphore))
            .collect();
        let hooks = user_hooks(binary, &offsets, &options.pids);
        let step = Step::new("probe_uprobe", hooks);
        Ok(Self::alone(step, Operands::Usdt(arguments)))
    }
}

/// Returns the places in a file, each with the counter that turns it on, for each process, so that no other process takes a trap.
fn user_hooks(binary: &Binary, offsets: &[(u64, u64)], pids: &[u32]) -> Vec<Hook> {
    let places = offsets.iter().flat_map(|(offset, semaphore)| {
        processes(pids).map(|process| Hook::UserFunction {
            file: binary.path().into(),
            place: UserPlace::Offset(*offset),
            process,
            semaphore: *semaphore,
        })
    });
    places.collect()
}

/// Returns each process, or `None` for every one.
fn processes(pids: &[u32]) -> impl Iterator<Item = Option<u32>> {
    let all = pids.is_empty().then_some(None);
    all.into_iter().chain(pids.iter().copied().map(Some))
}

/// Returns true if the name of a function stands for several.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

fn one_function(hook: &Spec, reason: &str) -> Error {
    Error::Options {
        wanted: hook.to_string(),
        found: reason.into(),
        remedy: "`kprobe:PATTERN`, `kretprobe:PATTERN`, `uprobe:FILE:PATTERN` and `uretprobe:FILE:PATTERN` count the \
                 hits of each function"
            .into(),
    }
}

/// Returns the names that the beginning and the end of something can have, by the name of either.
fn ends(name: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (begin, end) in PAIRS {
        if name.contains(begin) {
            found.push((name.to_owned(), name.replacen(begin, end, 1)));
        }
        if name.contains(end) {
            found.push((name.replacen(end, begin, 1), name.to_owned()));
        }
    }
    found
}

/// Fails if the kernel lists no such function.
fn require_symbol(function: &str) -> Result<()> {
    let Ok(symbols) = fs::read_to_string(SYMBOLS) else {
        return Ok(()); // attaching will tell
    };
    let names = symbols.lines().filter_map(|line| {
        let mut parts = line.split_whitespace().skip(1);
        let kind = parts.next()?;
        parts
            .next()
            .filter(|_| matches!(kind, "t" | "T" | "w" | "W"))
    });
    let names: Vec<&str> = names.collect();
    if names.is_empty() || names.contains(&function) {
        return Ok(());
    }
    Err(no_function(function, names))
}

fn no_function<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> Error {
    no_place("function", name, all)
}

fn no_tracepoint<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> Error {
    no_place("tracepoint", name, all)
}

fn no_place<'a>(what: &'static str, name: &str, all: impl IntoIterator<Item = &'a str>) -> Error {
    Error::NoSuchPlace {
        holder: format!("Linux {}", membench_bpf::kernel_release()),
        what,
        name: name.into(),
        nearest: nearest(name, all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_something_is_known_by_its_name() {
        for (name, expected) in [
            ("sys_enter_read", ("sys_enter_read", "sys_exit_read")),
            ("sys_exit_read", ("sys_enter_read", "sys_exit_read")),
            (
                "irq_handler_entry",
                ("irq_handler_entry", "irq_handler_exit"),
            ),
            ("contention_begin", ("contention_begin", "contention_end")),
            ("block_io_start", ("block_io_start", "block_io_done")),
        ] {
            let (begin, end) = expected;
            assert!(ends(name).contains(&(begin.into(), end.into())), "{name}");
        }
        assert!(ends("sched_switch").is_empty());
    }
}
