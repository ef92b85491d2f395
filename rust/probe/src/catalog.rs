//! A pattern → the hooks whose names match it, and whether each would work here.

use std::{collections::BTreeSet, fs, path::Path};

use membench_bpf::{Capability, KernelTypes, Kind, Site, matches};
use membench_event::Failure as _;
use serde::Serialize;

use crate::{Error, Result, binary::Binary, tracefs};

/// Functions that the kernel lets probes be attached to.
const PROBED: [&str; 2] = [
    "available_filter_functions",
    "../debug/tracing/available_filter_functions",
];
/// Functions that are tried: a single one may be among the few that take no probe.
const TRIED: usize = 4;
/// Missing if the kernel was built without kprobes, and without uprobes.
const KPROBES: &str = "/sys/bus/event_source/devices/kprobe";
const UPROBES: &str = "/sys/bus/event_source/devices/uprobe";

/// A hook that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The hook, as a probe takes it.
    pub hook: String,
    /// Its operands that are known by name.
    pub operands: Vec<String>,
    /// True if it would work here.
    pub works: bool,
    /// The reason if it would not.
    pub reason: Option<String>,
}

/// Reasons why hooks of each kind would not work here.
struct Obstacles {
    typed: Option<String>,
    tracepoint: Option<String>,
    kprobe: Option<String>,
    user: Option<String>,
}

/// Finds hooks. A pattern such as `tcp_*` matches names of tracepoints and functions of the kernel; with a file, as in
/// `uprobe:/usr/bin/memcached:*`, functions of that. A kind before it, as in `fentry:tcp_*`, keeps to that kind.
///
/// Typed functions (`fentry`) are tried by attaching one; all other answers are from what the kernel tells.
pub fn hooks(pattern: &str) -> Result<Vec<Found>> {
    let (kind, rest) = match pattern.split_once(':') {
        Some((kind, rest)) => (Some(kind), rest),
        None => (None, pattern),
    };
    let obstacles = Obstacles::find();
    match kind {
        Some("uprobe" | "uretprobe") => return in_file(rest, &obstacles),
        Some("usdt") => return placed(rest, &obstacles),
        _ => {}
    }
    let is_wanted = |word: &str| kind.is_none_or(|kind| kind == word);
    let mut found = Vec::new();
    if is_wanted("tracepoint") {
        found.extend(tracepoints(rest, &obstacles)?);
    }
    if let Ok(types) = KernelTypes::read() {
        if is_wanted("tp_btf") {
            let names = types.tracepoints().into_iter();
            for name in names.filter(|name| matches(rest, name)) {
                found.push(typed(
                    "tp_btf",
                    &name,
                    types.tracepoint(&name),
                    obstacles.typed.as_ref(),
                ));
            }
        }
        let functions: BTreeSet<String> = types
            .functions()
            .into_iter()
            .filter(|name| matches(rest, name))
            .collect();
        for kind in ["fentry", "kprobe"] {
            if !is_wanted(kind) {
                continue;
            }
            let obstacle = if kind == "kprobe" {
                obstacles.kprobe.clone()
            } else {
                trampolines(&functions)
            };
            let probed = probed();
            for name in &functions {
                let inlined = probed.as_ref().is_some_and(|probed| !probed.contains(name));
                let reason = obstacle.clone().or_else(|| {
                    inlined.then(|| "the kernel lets no probe be attached to it".to_owned())
                });
                found.push(Found {
                    hook: format!("{kind}:{name}"),
                    operands: Vec::new(),
                    works: reason.is_none(),
                    reason,
                });
            }
        }
    }
    Ok(found)
}

impl Obstacles {
    fn find() -> Self {
        let missing = |kind: Kind| {
            let missing = Capability::missing(kind.capabilities());
            let names: Vec<&str> = missing.iter().map(|one| one.name()).collect();
            (!names.is_empty()).then(|| format!("missing: {}", names.join(", ")))
        };
        let absent = |device: &str, option: &str| {
            (!Path::new(device).exists()).then(|| format!("this kernel lacks {option}"))
        };
        let root = Capability::missing(&[Capability::SysAdmin]);
        Self {
            typed: missing(Kind::BtfTracepoint),
            tracepoint: missing(Kind::Tracepoint),
            kprobe: absent(KPROBES, "CONFIG_KPROBE_EVENTS").or_else(|| missing(Kind::KernelProbe)),
            user: absent(UPROBES, "CONFIG_UPROBE_EVENTS")
                .or_else(|| missing(Kind::UserProbe))
                .or_else(|| (!root.is_empty()).then(|| "missing: CAP_SYS_ADMIN".to_owned())),
        }
    }
}

fn tracepoints(pattern: &str, obstacles: &Obstacles) -> Result<Vec<Found>> {
    let all = match tracefs::tracepoints() {
        Ok(all) => all,
        Err(error) => return Ok(unreadable(pattern, &error)),
    };
    let wanted = all.into_iter().filter(|(category, name)| {
        matches(pattern, name) || matches(pattern, &format!("{category}:{name}"))
    });
    let found = wanted.map(|(category, name)| {
        let fields = tracefs::fields(&category, &name)?.unwrap_or_default();
        let numbers = fields.iter().filter(|one| one.is_number && !one.is_common);
        Ok(Found {
            hook: format!("tracepoint:{category}:{name}"),
            operands: numbers.map(|field| field.name.clone()).collect(),
            works: obstacles.tracepoint.is_none(),
            reason: obstacles.tracepoint.clone(),
        })
    });
    found.collect()
}

/// Returns the tracepoints that the kernel's types name: without tracefs their categories are not known.
fn unreadable(pattern: &str, error: &Error) -> Vec<Found> {
    let Ok(types) = KernelTypes::read() else {
        return Vec::new();
    };
    let hint = error.hint().map(|hint| hint.for_command_line());
    let reason = format!("{error}; {}", hint.unwrap_or_default());
    let names = types.tracepoints().into_iter();
    let names = names.filter(|name| matches(pattern, name));
    names
        .map(|name| Found {
            hook: format!("tracepoint:CATEGORY:{name}"),
            operands: Vec::new(),
            works: false,
            reason: Some(reason.clone()),
        })
        .collect()
}

fn typed(
    kind: &str,
    name: &str,
    signature: Option<membench_bpf::Signature>,
    obstacle: Option<&String>,
) -> Found {
    let parameters = signature.map(|signature| signature.parameters);
    let numbers = parameters.into_iter().flatten().enumerate();
    let numbers = numbers.filter_map(|(index, one)| match one.value {
        membench_bpf::Value::Number { .. } => {
            Some(one.name.unwrap_or_else(|| format!("arg{index}")))
        }
        _ => None,
    });
    Found {
        hook: format!("{kind}:{name}"),
        operands: numbers.collect(),
        works: obstacle.is_none(),
        reason: obstacle.cloned(),
    }
}

/// Attaches a probe to one of the first functions for a moment; returns why none can be attached to.
fn trampolines(functions: &BTreeSet<String>) -> Option<String> {
    let mut last = None;
    for function in functions.iter().take(TRIED) {
        last = Some(trampoline(function)?);
    }
    last
}

/// Attaches a probe to a function for a moment; returns why it cannot be.
fn trampoline(function: &str) -> Option<String> {
    let options = crate::Options {
        hook: format!("fentry:{function}"),
        ..crate::Options::default()
    };
    let error = crate::Probe::start(&options).err()?;
    let text = error.to_string();
    let reason = text.rsplit(": ").next().unwrap_or(&text);
    let reason = reason.lines().next().unwrap_or_default();
    Some(format!("{function} cannot be attached to: {reason}"))
}

/// Returns the functions that probes can be attached to; `None` if the kernel does not tell.
fn probed() -> Option<BTreeSet<String>> {
    let root = tracefs::events().ok()?;
    let root = root.parent()?;
    let text = PROBED
        .iter()
        .find_map(|file| fs::read_to_string(root.join(file)).ok())?;
    let names = text.lines().filter_map(|line| line.split(' ').next());
    Some(names.map(String::from).collect())
}

fn in_file(rest: &str, obstacles: &Obstacles) -> Result<Vec<Found>> {
    let (file, pattern) = rest.rsplit_once(':').unwrap_or((rest, "*"));
    let binary = Binary::open(Path::new(file))?;
    let functions = binary.functions().into_keys();
    let functions = functions.filter(|name| matches(pattern, name));
    Ok(functions
        .map(|name| Found {
            hook: format!("uprobe:{}:{name}", binary.path().display()),
            operands: Vec::new(),
            works: obstacles.user.is_none(),
            reason: obstacles.user.clone(),
        })
        .collect())
}

fn placed(rest: &str, obstacles: &Obstacles) -> Result<Vec<Found>> {
    let (file, pattern) = rest.split_once(':').unwrap_or((rest, "*"));
    let binary = Binary::open(Path::new(file))?;
    let all = binary.all_usdt()?;
    let names: BTreeSet<(String, usize)> = all
        .iter()
        .map(|site: &Site| (site.full_name(), site.arguments.len()))
        .filter(|(name, _)| matches(pattern, name))
        .collect();
    Ok(names
        .into_iter()
        .map(|(name, arguments)| Found {
            hook: format!("usdt:{}:{name}", binary.path().display()),
            operands: (0..arguments).map(|index| format!("arg{index}")).collect(),
            works: obstacles.user.is_none(),
            reason: obstacles.user.clone(),
        })
        .collect())
}
