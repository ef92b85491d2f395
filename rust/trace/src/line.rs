//! A record → one line, as strace prints it, and what it means to memcached.

use std::fmt::Write;

use membench_common::trace::{NO_CALL, kind, read};

use crate::{
    argument::{self, Naming},
    escape,
    record::Record,
    structure,
    table::{self, Known, Outcome},
};

/// Most bytes of a stream that a line shows.
const SHOWN: usize = 32;

/// The time that precedes the call in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Nothing.
    None,
    /// The time of day, µs.
    Day,
}

/// The way in which lines are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) clock: Clock,
    /// Writes the time that a call took.
    pub(crate) times: bool,
    /// Writes the bytes of followed sockets.
    pub(crate) bytes: bool,
    /// Nanoseconds from the monotonic clock to the local time of day.
    pub(crate) day: i128,
}

/// Writes the arguments of a call, each as one text.
pub(crate) fn arguments(record: &Record<'_>, naming: &Naming<'_>, bytes: bool) -> Vec<String> {
    let name = table::name_of(record.call.number);
    let Some(known) = name.and_then(table::known) else {
        return record
            .call
            .arguments
            .iter()
            .map(|value| format!("{value:#x}"))
            .collect();
    };
    let all = known.arguments.iter().enumerate();
    all.filter_map(|(index, kind)| {
        if kind.is_buffer() && bytes {
            return stream(record);
        }
        argument::show(*kind, index, record, naming)
    })
    .collect()
}

fn stream(record: &Record<'_>) -> Option<String> {
    let (bytes, length) = record.stream().next()?;
    let start = bytes.get(..SHOWN).unwrap_or(bytes);
    let dots = if start.len() < length { "..." } else { "" };
    Some(format!("{}{dots}", escape::quoted(start)))
}

/// Writes the result of a call that returned.
pub(crate) fn result(record: &Record<'_>, naming: &Naming<'_>) -> String {
    let known = table::name_of(record.call.number).and_then(table::known);
    let outcome = known.map_or(Outcome::Number, |known: &Known| known.result);
    argument::result(outcome, record, naming)
}

/// Returns the name of a record's call.
pub(crate) fn name(number: u32) -> String {
    table::name_of(number).map_or_else(|| format!("syscall_{number:#x}"), Into::into)
}

/// Writes the lines of a record: one, or two for the end of a thread in a call.
pub(crate) fn write(
    to: &mut String,
    record: &Record<'_>,
    style: Style,
    naming: &Naming<'_>,
    note: &str,
) {
    let call = &record.call;
    match call.kind {
        kind::SIGNAL => {
            head(to, record, style, call.time);
            let origin = record.bytes(read::SIGNAL, 0).unwrap_or_default();
            let signal = structure::signal(call.result.cast_unsigned(), origin);
            let _ = writeln!(to, "--- {signal} ---");
        }
        kind::END => {
            if call.number != NO_CALL {
                unfinished(to, record, style, naming, true);
            }
            head(to, record, style, call.time);
            let _ = writeln!(to, "+++ {} +++", end(call.result));
        }
        _ => returned(to, record, style, naming, note),
    }
}

fn returned(to: &mut String, record: &Record<'_>, style: Style, naming: &Naming<'_>, note: &str) {
    let call = &record.call;
    let began = if call.began == 0 {
        call.time
    } else {
        call.began
    };
    head(to, record, style, began);
    let arguments = arguments(record, naming, style.bytes).join(", ");
    let result = result(record, naming);
    let start = to.len();
    let _ = write!(to, "{}({arguments})", name(call.number));
    pad(to, start);
    let _ = write!(to, " = {result}");
    if style.times {
        match call.began {
            0 => to.push_str(" <?>"),
            began => {
                let _ = write!(to, " <{}>", seconds(call.time.saturating_sub(began)));
            }
        }
    }
    if !note.is_empty() {
        let _ = write!(to, "  # {note}");
    }
    to.push('\n');
}

/// Writes a call that has not returned; `ended` if it never will.
pub(crate) fn unfinished(
    to: &mut String,
    record: &Record<'_>,
    style: Style,
    naming: &Naming<'_>,
    ended: bool,
) {
    let call = &record.call;
    let began = if call.began == 0 {
        call.time
    } else {
        call.began
    };
    head(to, record, style, began);
    let name = name(call.number);
    let arguments = arguments(record, naming, false).join(", ");
    let is_end = table::known(&name).is_some_and(|known| known.result == Outcome::Never);
    let start = to.len();
    if is_end && ended {
        let _ = write!(to, "{name}({arguments})");
        pad(to, start);
        to.push_str(" = ?\n");
    } else {
        let separator = if arguments.is_empty() { "" } else { ", " };
        let _ = write!(to, "{name}({arguments}{separator}<unfinished ...>");
        if ended {
            to.push_str(") = ?");
        }
        to.push('\n');
    }
}

/// Aligns results, as strace does.
fn pad(to: &mut String, start: usize) {
    const COLUMN: usize = 39;
    let length = to.len() - start;
    for _ in length..COLUMN {
        to.push(' ');
    }
}

fn head(to: &mut String, record: &Record<'_>, style: Style, time: u64) {
    let _ = write!(to, "[pid {}] ", record.call.tid);
    if style.clock == Clock::Day {
        let _ = write!(to, "{} ", day(time, style.day));
    }
}

fn end(status: i64) -> String {
    let signal = status & 0x7f;
    if signal == 0 {
        return format!("exited with {}", status >> 8 & 0xff);
    }
    let core = if status & 0x80 == 0 {
        ""
    } else {
        " (core dumped)"
    };
    format!(
        "killed by {}{core}",
        crate::name::signal(signal.cast_unsigned())
    )
}

/// Writes a time as seconds with six decimals.
fn seconds(ns: u64) -> String {
    let us = ns / 1_000 + u64::from(ns % 1_000 >= 500);
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// Writes the time of day of a monotonic time, µs.
fn day(time: u64, offset: i128) -> String {
    const DAY_US: i128 = 86_400_000_000;
    let us = ((i128::from(time) + offset) / 1_000).rem_euclid(DAY_US);
    let (seconds, us) = (us / 1_000_000, us % 1_000_000);
    format!(
        "{:02}:{:02}:{:02}.{us:06}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use membench_common::trace::Call;

    const STYLE: Style = Style {
        clock: Clock::None,
        times: true,
        bytes: false,
        day: 0,
    };

    fn call(name: &str, arguments: [u64; 6], result: i64) -> Call {
        Call {
            time: 5_400,
            began: 1_000,
            result,
            arguments,
            pid: 7,
            tid: 8,
            kind: kind::RETURN,
            number: table::number_of(name).unwrap(),
            parts: 0,
            length: 0,
        }
    }

    fn line(call: Call) -> String {
        let mut text = String::new();
        write(
            &mut text,
            &Record::bare(call),
            STYLE,
            &|_, _| String::new(),
            "",
        );
        text
    }

    #[test]
    fn a_call_is_written_with_its_arguments_its_result_and_its_time() {
        let text = line(call("read", [41, 0x7fff_0000, 37, 0, 0, 0], 37));
        assert_eq!(
            text,
            "[pid 8] read(41, 37)                            = 37 <0.000004>\n"
        );
        let text = line(call("read", [3, 1, 9, 0, 0, 0], -11));
        assert!(
            text.contains("= -1 EAGAIN (Resource temporarily unavailable) <"),
            "{text}"
        );
        let text = line(call("mmap", [0, 4096, 3, 0x22, u64::MAX, 0], 0x7000));
        assert!(
            text.contains(
                "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7000"
            ),
            "{text}"
        );
        let text = line(call("futex", [0x10, 0x81, 1, 0, 0, 0], 1));
        assert!(
            text.contains("futex(0x10, FUTEX_WAKE_PRIVATE, 1) "),
            "{text}"
        );
    }

    #[test]
    fn calls_that_do_not_return_end_with_their_thread() {
        let mut exit = call("exit_group", [3, 0, 0, 0, 0, 0], 0x300);
        exit.kind = kind::END;
        let text = line(exit);
        assert!(
            text.starts_with("[pid 8] exit_group(3) ") && text.contains(" = ?\n"),
            "{text}"
        );
        assert!(text.ends_with("[pid 8] +++ exited with 3 +++\n"), "{text}");
        let mut killed = call("read", [3, 1, 9, 0, 0, 0], 9);
        killed.kind = kind::END;
        let text = line(killed);
        assert!(
            text.starts_with("[pid 8] read(3, 9, <unfinished ...>) = ?\n"),
            "{text}"
        );
        assert!(text.ends_with("+++ killed by SIGKILL +++\n"), "{text}");
    }

    #[test]
    fn an_unknown_call_is_written_in_hex() {
        let mut unknown = call("read", [1, 2, 3, 4, 5, 6], 0);
        unknown.number = 511;
        let text = line(unknown);
        assert!(
            text.starts_with("[pid 8] syscall_0x1ff(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = 0"),
            "{text}"
        );
    }

    #[test]
    fn times_of_day_wrap_at_midnight() {
        assert_eq!(day(1_500_000, 86_399_999_000_000), "00:00:00.000500");
        assert_eq!(seconds(1_234_567_890), "1.234568");
    }
}
