//! A record → one line of JSON.

use serde::Serialize;

use membench_common::trace::{NO_CALL, kind, read};

use crate::{
    argument::Naming,
    connection::{Exchange, Exchanged},
    line, name,
    record::Record,
    structure,
};

/// A call, a signal or the end of a thread.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    call: Option<&'a str>,
    pid: u32,
    tid: u32,
    args: &'a [String],
    result: Option<i64>,
    error: Option<&'static str>,
    /// Time at which it began, UTC, ns.
    time_ns: i128,
    duration_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commands: Option<&'a [Exchanged]>,
}

/// Writes a record. `utc` is UTC minus the monotonic clock, ns; `returned` is false for a call that has not returned.
pub(crate) fn write(
    to: &mut String,
    record: &Record<'_>,
    naming: &Naming<'_>,
    exchange: Option<&Exchange>,
    utc: i128,
    returned: bool,
) {
    let call = &record.call;
    let is_call = call.number != NO_CALL;
    let name = line::name(call.number);
    let arguments = if is_call {
        line::arguments(record, naming, false)
    } else {
        Vec::new()
    };
    let began = if call.began == 0 {
        call.time
    } else {
        call.began
    };
    let has_returned = returned && call.kind == kind::RETURN;
    let one = Line {
        event: if has_returned { "call" } else { "unfinished" },
        call: Some(name.as_str()),
        pid: call.pid,
        tid: call.tid,
        args: &arguments,
        result: has_returned.then_some(call.result),
        error: record
            .error()
            .filter(|_| has_returned)
            .and_then(name::error),
        time_ns: i128::from(began) + utc,
        duration_ns: (has_returned && call.began != 0)
            .then(|| call.time.saturating_sub(call.began)),
        signal: None,
        connection: exchange.map(|exchange| exchange.connection),
        commands: exchange.map(|exchange| exchange.commands.as_slice()),
    };
    if is_call {
        push(to, &one);
    }
    if call.kind == kind::RETURN || !returned {
        return;
    }
    let origin = record.bytes(read::SIGNAL, 0).unwrap_or_default();
    let killed = call.result & 0x7f;
    let signal = match call.kind {
        kind::SIGNAL => Some(structure::signal(call.result.cast_unsigned(), origin)),
        _ if killed != 0 => Some(name::signal(killed.cast_unsigned())),
        _ => None,
    };
    push(
        to,
        &Line {
            event: if call.kind == kind::SIGNAL {
                "signal"
            } else {
                "exit"
            },
            call: None,
            args: &[],
            result: (call.kind == kind::END && killed == 0).then_some(call.result >> 8 & 0xff),
            error: None,
            time_ns: i128::from(call.time) + utc,
            duration_ns: None,
            signal: signal.as_deref(),
            connection: None,
            commands: None,
            ..one
        },
    );
}

fn push(to: &mut String, line: &Line<'_>) {
    if let Ok(text) = serde_json::to_string(line) {
        to.push_str(&text);
        to.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;
    use membench_common::trace::Call;

    #[test]
    fn a_line_has_the_documented_members() {
        let call = Call {
            time: 3_000,
            began: 1_000,
            result: -11,
            arguments: [3, 1, 9, 0, 0, 0],
            pid: 7,
            tid: 8,
            kind: kind::RETURN,
            number: table::number_of("read").unwrap(),
            parts: 0,
            length: 0,
        };
        let mut text = String::new();
        write(
            &mut text,
            &Record::bare(call),
            &|_, _| String::new(),
            None,
            10,
            true,
        );
        let expected = "{\"event\":\"call\",\"call\":\"read\",\"pid\":7,\"tid\":8,\"args\":[\"3\",\"9\"],\"result\":-11,\
                        \"error\":\"EAGAIN\",\"time_ns\":1010,\"duration_ns\":2000}\n";
        assert_eq!(text, expected);
    }
}
