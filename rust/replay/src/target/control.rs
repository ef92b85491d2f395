//! Questions about a target's state, and items to store → requests in the protocol that it takes, and their answers.

use std::io;
use std::time::{Duration, Instant};

use membench_event::{Command, Protocol};
use membench_protocol::Status;
use membench_protocol::binary::{Code, HEADER_SIZE, Opcode, Tag, parse_header};
use membench_protocol::encode::Encoder;

use crate::target::endpoint::Endpoint;
use crate::target::lines::Lines;
use crate::target::sign_in::{Method, Verdict};

/// Most lines of an answer: `stats conns` of ten thousand connections has six for each.
const LINES_MAX: usize = 100_000;

/// Most bytes of an answer to a sign-in.
const ANSWER_MAX: usize = 1024;

/// Most characters of a strange answer that an error tells.
const TOLD_MAX: usize = 80;

/// Answer of a memcached that wants a sign-in.
const UNAUTHENTICATED: &[u8] = b"CLIENT_ERROR unauthenticated";

/// Failure of a question that the connection survives.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The connection could not be made.
    Unreachable(io::Error),
    /// The connection failed.
    Io(io::Error),
    /// The answer is not memcached's.
    Strange(String),
    /// The target wants a sign-in first.
    Unauthenticated,
    /// The target refused user or password.
    SignIn,
    /// The target wants no sign-in.
    Open,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A connection for questions, signed in if the endpoint asks for that.
#[derive(Debug)]
pub(crate) struct Control {
    lines: Lines,
    protocol: Protocol,
    /// Bytes sent.
    pub(crate) asked: u64,
}

impl Control {
    /// Connects and signs in; no step takes longer than `patience`.
    pub(crate) fn connect(endpoint: &Endpoint, patience: Duration) -> Result<Self, Refusal> {
        let socket = endpoint.address.connect(patience);
        let socket = socket.map_err(Refusal::Unreachable)?;
        let mut control = Self {
            lines: Lines::new(socket, endpoint, patience)?,
            protocol: protocol(endpoint),
            asked: 0,
        };
        if let Some(credentials) = &endpoint.credentials {
            let deadline = Instant::now() + patience;
            if credentials.method == Method::Ascii {
                control.must_want_a_sign_in(deadline)?;
            }
            control.write(credentials.request())?;
            let mut answer = Vec::new();
            loop {
                match credentials.judge(&answer) {
                    Verdict::Accepted => break,
                    Verdict::Refused => return Err(Refusal::SignIn),
                    Verdict::Incomplete if answer.len() > ANSWER_MAX => {
                        return Err(Refusal::SignIn);
                    }
                    Verdict::Incomplete => {
                        let next = answer.len() + 1;
                        control.lines.read_up_to(&mut answer, next, deadline)?;
                    }
                }
            }
        }
        Ok(control)
    }

    /// Fails unless the target asks for a sign-in: anything else might store user and password as an item.
    fn must_want_a_sign_in(&mut self, deadline: Instant) -> Result<(), Refusal> {
        self.write(b"version\r\n")?;
        let mut line = Vec::new();
        self.lines.read(&mut line, deadline)?;
        if line.starts_with(b"VERSION ") {
            return Err(Refusal::Open);
        }
        if !line.starts_with(UNAUTHENTICATED) {
            let told = String::from_utf8_lossy(line.trim_ascii_end());
            return Err(Refusal::Strange(told.chars().take(TOLD_MAX).collect()));
        }
        Ok(())
    }

    /// Writes requests.
    pub(crate) fn write(&mut self, requests: &[u8]) -> io::Result<()> {
        self.asked += requests.len() as u64;
        self.lines.write(requests)
    }

    /// Asks for statistics, of a group unless that is empty. Returns names and values.
    pub(crate) fn statistics(
        &mut self,
        group: &str,
        deadline: Instant,
    ) -> Result<Vec<(String, String)>, Refusal> {
        match self.protocol {
            Protocol::Binary => self.binary_statistics(group, deadline),
            Protocol::Text | Protocol::Meta => self.text_statistics(group, deadline),
        }
    }

    fn text_statistics(
        &mut self,
        group: &str,
        deadline: Instant,
    ) -> Result<Vec<(String, String)>, Refusal> {
        let request = match group {
            "" => "stats\r\n".to_owned(),
            group => format!("stats {group}\r\n"),
        };
        self.write(request.as_bytes())?;
        let (mut found, mut line) = (Vec::new(), Vec::new());
        loop {
            self.lines.read(&mut line, deadline)?;
            let text = String::from_utf8_lossy(line.trim_ascii_end());
            match text.split_once(' ') {
                None if text == "END" => return Ok(found),
                Some(("STAT", rest)) if found.len() < LINES_MAX => {
                    // A value may be empty.
                    let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
                    found.push((name.to_owned(), value.to_owned()));
                }
                Some(("CLIENT_ERROR", "unauthenticated")) => return Err(Refusal::Unauthenticated),
                _ => return Err(Refusal::Strange(text.chars().take(TOLD_MAX).collect())),
            }
        }
    }

    fn binary_statistics(
        &mut self,
        group: &str,
        deadline: Instant,
    ) -> Result<Vec<(String, String)>, Refusal> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let mut request = [0; 64];
        let mut encoder = Encoder::new(&mut request);
        let tag = Tag {
            opcode: Opcode::from_command(Command::Stats, false, false).ok_or_else(invalid)?,
            opaque: 0,
            cas: 0,
        };
        let question = encoder.binary(tag, group.as_bytes());
        question.map_err(|_| invalid())?;
        let written = encoder.written();
        self.write(&request[..written])?;
        let mut found = Vec::new();
        loop {
            let (code, key, value) = self.message(deadline)?;
            match code {
                Code::Success if key.is_empty() => return Ok(found),
                Code::Success if found.len() < LINES_MAX => found.push((key, value)),
                Code::Unauthenticated => return Err(Refusal::Unauthenticated),
                _ => return Err(Refusal::Strange(value.chars().take(TOLD_MAX).collect())),
            }
        }
    }

    /// Reads one message of the binary protocol: its code, key and value.
    fn message(&mut self, deadline: Instant) -> Result<(Code, String, String), Refusal> {
        let mut message = Vec::new();
        self.lines.read_up_to(&mut message, HEADER_SIZE, deadline)?;
        let Ok(Status::Complete { value: answer, .. }) = parse_header(&message) else {
            let text = String::from_utf8_lossy(&message);
            return Err(Refusal::Strange(
                text.trim_end().chars().take(TOLD_MAX).collect(),
            ));
        };
        let (extras, key) = (
            usize::from(answer.extras_size),
            usize::from(answer.key_size),
        );
        let body = usize::try_from(answer.body_size).unwrap_or(usize::MAX);
        let mut content = Vec::new();
        self.lines.read_up_to(&mut content, body, deadline)?;
        let text = |from: usize, to: usize| {
            let part = content.get(from.min(body)..to.clamp(from.min(body), body));
            String::from_utf8_lossy(part.unwrap_or_default()).into_owned()
        };
        Ok((
            answer.code,
            text(extras, extras + key),
            text(extras + key, body),
        ))
    }

    /// Returns the protocol that the target takes.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Reads the answer to a `set`; false if it was refused.
    pub(crate) fn is_stored(&mut self, deadline: Instant) -> io::Result<bool> {
        if self.protocol == Protocol::Binary {
            return match self.message(deadline) {
                Ok((code, ..)) => Ok(code == Code::Success),
                Err(Refusal::Io(error)) => Err(error),
                Err(_) => Ok(false),
            };
        }
        let mut line = Vec::new();
        self.lines.read(&mut line, deadline)?;
        Ok(line.starts_with(b"STORED"))
    }
}

fn protocol(endpoint: &Endpoint) -> Protocol {
    match endpoint.credentials.as_deref() {
        Some(credentials) if credentials.method == Method::Sasl => Protocol::Binary,
        _ => Protocol::Text,
    }
}
