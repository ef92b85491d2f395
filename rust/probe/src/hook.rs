//! `kprobe:tcp_sendmsg` and the like → the place that a probe observes.

use std::{fmt, path::PathBuf};

use membench_bpf::{PerfEvent, Sampling, UserPlace};

use crate::{Error, Result};

/// Runs a second of a perf event without a rate.
const DEFAULT_HZ: u64 = 99;

/// Perf events by name.
const EVENTS: [(&str, PerfEvent); 8] = [
    ("cpu-clock", PerfEvent::CpuClock),
    ("task-clock", PerfEvent::TaskClock),
    ("page-faults", PerfEvent::PageFaults),
    ("context-switches", PerfEvent::ContextSwitches),
    ("cpu-migrations", PerfEvent::CpuMigrations),
    ("cycles", PerfEvent::Cycles),
    ("instructions", PerfEvent::Instructions),
    ("cache-misses", PerfEvent::CacheMisses),
];

/// Forms of hooks, for messages.
const FORMS: &str = "`tracepoint:CATEGORY:NAME`, `tp_btf:NAME`, `raw_tp:NAME`, `kprobe:FUNCTION`, `kretprobe:FUNCTION`, \
     `fentry:FUNCTION`, `fexit:FUNCTION`, `uprobe:FILE:FUNCTION`, `uretprobe:FILE:FUNCTION`, \
     `usdt:FILE:PROVIDER:NAME`, `perf:EVENT@HZ`";

/// A place that a probe observes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// A tracepoint with the fields that tracefs documents.
    Tracepoint {
        /// The folder in `/sys/kernel/tracing/events`.
        category: String,
        /// The folder in that.
        name: String,
    },
    /// A tracepoint with typed arguments.
    TypedTracepoint(String),
    /// A tracepoint with its arguments as words.
    RawTracepoint(String),
    /// An instruction of the kernel.
    Kprobe {
        /// The function.
        function: String,
        /// Offset in it, bytes.
        offset: u64,
    },
    /// The return of a kernel function.
    Kretprobe(String),
    /// The beginning of a kernel function, with typed arguments.
    Fentry(String),
    /// The return of a kernel function, with typed arguments.
    Fexit(String),
    /// A function or an instruction of a program or library, or the return of the function.
    Uprobe {
        /// The file.
        file: PathBuf,
        /// The function or instruction.
        place: UserPlace,
        /// True for the return.
        returns: bool,
    },
    /// A probe that a program's author placed.
    Usdt {
        /// The file.
        file: PathBuf,
        /// The provider.
        provider: String,
        /// The probe.
        name: String,
    },
    /// A clock's ticks or a counter's overflows.
    Perf {
        /// The clock or counter.
        event: PerfEvent,
        /// Rate of the hits.
        every: Sampling,
    },
}

impl Spec {
    /// Parses a hook.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::NotAHook {
            text: text.into(),
            forms: FORMS,
        };
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        if rest.is_empty() {
            return Err(wrong());
        }
        let name = || rest.to_owned();
        Ok(match kind {
            "tracepoint" | "tp" => {
                let (category, name) = rest.split_once(':').ok_or_else(wrong)?;
                Self::Tracepoint {
                    category: category.into(),
                    name: name.into(),
                }
            }
            "tp_btf" => Self::TypedTracepoint(name()),
            "raw_tp" => Self::RawTracepoint(name()),
            "kprobe" => {
                let (function, offset) = match rest.split_once('+') {
                    Some((function, offset)) => (function, number(offset).ok_or_else(wrong)?),
                    None => (rest, 0),
                };
                Self::Kprobe {
                    function: function.into(),
                    offset,
                }
            }
            "kretprobe" => Self::Kretprobe(name()),
            "fentry" => Self::Fentry(name()),
            "fexit" => Self::Fexit(name()),
            "uprobe" | "uretprobe" => {
                let (file, place) = rest.rsplit_once(':').ok_or_else(wrong)?;
                let place = match place.strip_prefix("0x") {
                    Some(_) => UserPlace::Offset(number(place).ok_or_else(wrong)?),
                    None => UserPlace::Symbol(place.into()),
                };
                Self::Uprobe {
                    file: file.into(),
                    place,
                    returns: kind == "uretprobe",
                }
            }
            "usdt" => {
                let mut parts = rest.rsplitn(3, ':');
                let (name, provider, file) = (parts.next(), parts.next(), parts.next());
                Self::Usdt {
                    file: file.ok_or_else(wrong)?.into(),
                    provider: provider.ok_or_else(wrong)?.into(),
                    name: name.ok_or_else(wrong)?.into(),
                }
            }
            "perf" => perf(rest).ok_or_else(wrong)?,
            _ => return Err(wrong()),
        })
    }

    /// Returns the word that begins a hook of this kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tracepoint { .. } => "tracepoint",
            Self::TypedTracepoint(_) => "tp_btf",
            Self::RawTracepoint(_) => "raw_tp",
            Self::Kprobe { .. } => "kprobe",
            Self::Kretprobe(_) => "kretprobe",
            Self::Fentry(_) => "fentry",
            Self::Fexit(_) => "fexit",
            Self::Uprobe { returns: false, .. } => "uprobe",
            Self::Uprobe { returns: true, .. } => "uretprobe",
            Self::Usdt { .. } => "usdt",
            Self::Perf { .. } => "perf",
        }
    }

    /// Returns true if the hook is in a program or library, so that each hit is a trap.
    pub fn is_user(&self) -> bool {
        matches!(self, Self::Uprobe { .. } | Self::Usdt { .. })
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:", self.kind())?;
        match self {
            Self::Tracepoint { category, name } => write!(to, "{category}:{name}"),
            Self::TypedTracepoint(name)
            | Self::RawTracepoint(name)
            | Self::Kretprobe(name)
            | Self::Fentry(name)
            | Self::Fexit(name) => to.write_str(name),
            Self::Kprobe {
                function,
                offset: 0,
            } => to.write_str(function),
            Self::Kprobe { function, offset } => write!(to, "{function}+{offset:#x}"),
            Self::Uprobe { file, place, .. } => match place {
                UserPlace::Symbol(symbol) => write!(to, "{}:{symbol}", file.display()),
                UserPlace::Offset(offset) => write!(to, "{}:{offset:#x}", file.display()),
            },
            Self::Usdt {
                file,
                provider,
                name,
            } => write!(to, "{}:{provider}:{name}", file.display()),
            Self::Perf { event, every } => {
                let named = EVENTS.iter().find(|(_, one)| one == event);
                to.write_str(named.map_or("", |(name, _)| name))?;
                match every {
                    Sampling::Hertz(rate) => write!(to, "@{rate}"),
                    Sampling::Events(period) => write!(to, "/{period}"),
                }
            }
        }
    }
}

/// Parses `cpu-clock@99`, samples a second, or `page-faults/100`, one sample in so many events.
fn perf(text: &str) -> Option<Spec> {
    let (name, every) = if let Some((name, rate)) = text.split_once('@') {
        (name, Sampling::Hertz(rate.parse().ok()?))
    } else if let Some((name, period)) = text.split_once('/') {
        (name, Sampling::Events(period.parse().ok()?))
    } else {
        (text, Sampling::Hertz(DEFAULT_HZ))
    };
    if matches!(every, Sampling::Hertz(0) | Sampling::Events(0)) {
        return None;
    }
    let (_, event) = EVENTS.iter().find(|(known, _)| *known == name)?;
    Some(Spec::Perf {
        event: *event,
        every,
    })
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_hook_reads_as_it_is_written() {
        for text in [
            "tracepoint:sched:sched_switch",
            "tp_btf:sock_send_length",
            "raw_tp:sys_enter",
            "kprobe:tcp_sendmsg",
            "kprobe:tcp_sendmsg+0x10",
            "kretprobe:tcp_sendmsg",
            "fentry:tcp_sendmsg",
            "fexit:tcp_sendmsg",
            "uprobe:/usr/bin/memcached:process_command",
            "uretprobe:/odd:path/libc.so:0x1f0",
            "usdt:/usr/bin/python3:python:gc__start",
            "perf:cpu-clock@99",
            "perf:page-faults/100",
        ] {
            assert_eq!(Spec::parse(text).unwrap().to_string(), text);
        }
        let perf = Spec::parse("perf:cpu-clock").unwrap();
        assert_eq!(perf.to_string(), "perf:cpu-clock@99");
    }

    #[test]
    fn a_text_that_is_no_hook_is_told_the_forms() {
        for text in [
            "",
            "tcp_sendmsg",
            "kprobe:",
            "tracepoint:sched_switch",
            "uprobe:/usr/bin/memcached",
            "usdt:/bin/x:y",
            "perf:nothing@99",
            "perf:cpu-clock@0",
            "kprobe:f+x",
            "uprobe:f:0xzz",
            "other:x",
        ] {
            let error = Spec::parse(text).unwrap_err();
            assert!(matches!(error, Error::NotAHook { .. }), "{text}: {error}");
        }
    }
}
