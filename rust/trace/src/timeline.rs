//! Records → a timeline: a track a thread and a track a connection, with a slice a call.

use membench_common::trace::{NO_CALL, kind};
use membench_event::Timeline;

use crate::{argument::Naming, connection::Exchange, line, record::Record};

/// Added to the number of a connection to give that of its track.
const CONNECTION: u64 = 1 << 40;

/// Begins a timeline of calls.
pub(crate) fn new() -> Timeline {
    Timeline::new("syscall")
}

/// Draws a record.
pub(crate) fn draw(
    timeline: &mut Timeline,
    record: &Record<'_>,
    naming: &Naming<'_>,
    exchange: Option<&Exchange>,
    note: &str,
) {
    let call = &record.call;
    let track = u64::from(call.tid);
    timeline.thread_track(track, call.pid, call.tid, "");
    if call.number == NO_CALL {
        let name = if call.kind == kind::SIGNAL {
            "signal"
        } else {
            "exit"
        };
        timeline.instant(track, call.time, name);
        return;
    }
    let name = line::name(call.number);
    let arguments = line::arguments(record, naming, false).join(", ");
    let result = if call.kind == kind::RETURN {
        line::result(record, naming)
    } else {
        "?".into()
    };
    let facts = [
        ("arguments", arguments.as_str()),
        ("result", result.as_str()),
        ("memcached", note),
    ];
    let began = if call.began == 0 {
        call.time
    } else {
        call.began
    };
    timeline.begin(track, began, &name, &facts);
    timeline.end(track, call.time);
    if let Some(exchange) = exchange.filter(|exchange| !exchange.commands.is_empty()) {
        let track = CONNECTION + u64::from(exchange.connection);
        timeline.named_track(track, None, &format!("conn {}", exchange.connection));
        timeline.begin(track, began, &name, &facts);
        timeline.end(track, call.time);
    }
}
