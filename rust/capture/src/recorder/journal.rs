//! A recording's start and end → one line each in the system's log, if there is one.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use membench_event::printable;
use rustix::process::getuid;

use crate::{RecordOptions, Recording, invoking_user};

/// systemd's own socket, whose messages are fields (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).
const JOURNAL: &str = "/run/systemd/journal/socket";
/// The socket of any other system log (RFC 3164).
const SYSLOG: &str = "/dev/log";
/// Facility daemon, severity notice.
const PRIORITY: u8 = 3 << 3 | 5;

/// An open system log, if the machine has one. Nothing ever waits for it.
#[derive(Debug)]
pub(crate) struct Journal(Option<(Form, UnixDatagram)>);

#[derive(Clone, Copy, Debug)]
enum Form {
    Fields,
    Line,
}

impl Journal {
    /// Opens the system log, while this process still may.
    pub(crate) fn open() -> Self {
        let fields = connect(Path::new(JOURNAL)).map(|socket| (Form::Fields, socket));
        Self(fields.or_else(|| connect(Path::new(SYSLOG)).map(|socket| (Form::Line, socket))))
    }

    /// Logs who records what, and with which programs.
    pub(crate) fn attached(&self, options: &RecordOptions, object: &str) {
        let by = invoking_user().map_or_else(String::new, |user| format!(" for uid {}", user.uid));
        let output = options.output.as_ref();
        let output = output.map_or_else(|| "nothing".into(), |path| path.display().to_string());
        let RecordOptions {
            source,
            selection,
            responses,
            ..
        } = options;
        self.say(&format!(
            "attached {source} as uid {}{by}: {selection}, responses {}, writing {output}; object {}",
            getuid().as_raw(),
            responses.name(),
            object,
        ));
    }

    /// Logs the end of a recording.
    pub(crate) fn detached(&self, recording: &Recording) {
        let Recording {
            events,
            duration_s,
            ended,
            ..
        } = recording;
        self.say(&format!(
            "detached after {duration_s:.1} s and {events} events: {ended}"
        ));
    }

    fn say(&self, text: &str) {
        if let Self(Some((form, socket))) = self {
            // A log that is full or gone is no reason to end a recording.
            let _ = socket.send(message(*form, text).as_bytes());
        }
    }
}

fn connect(path: &Path) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect(path).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

/// Formats a line for the log, whatever characters a path holds.
fn message(form: Form, text: &str) -> String {
    let text = printable(text);
    match form {
        Form::Fields => {
            format!(
                "MESSAGE={text}\nPRIORITY={}\nSYSLOG_IDENTIFIER=membench\n",
                PRIORITY & 7
            )
        }
        Form::Line => format!("<{PRIORITY}>membench[{}]: {text}", std::process::id()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_is_in_it() {
        for (form, lines) in [(Form::Fields, 3), (Form::Line, 1)] {
            let text = message(form, "writing /tmp/a\nMESSAGE=forged\r\0");
            assert_eq!(text.lines().count(), lines, "{text:?}");
            assert!(
                text.contains(r"writing /tmp/a\nMESSAGE=forged\r\0"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_log_that_listens_gets_the_line_and_one_that_does_not_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert!(connect(&path).is_none());
        let log = UnixDatagram::bind(&path).unwrap();
        let journal = Journal(connect(&path).map(|socket| (Form::Line, socket)));
        journal.say("attached");
        let mut received = [0; 256];
        let length = log.recv(&mut received).unwrap();
        assert!(received[..length].ends_with(b": attached"));
        drop(log);
        journal.say("detached");
    }
}
