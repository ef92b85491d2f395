//! Responses → outcomes of open requests, in order; quiet requests are passed over only where that is certain.

use membench_protocol::response::{Kind, Response};
use membench_protocol::{Key, MetaFlags, Request};

use crate::event::{Command, Event, Outcome};

use super::context::Context;
use super::open::{Open, OpenRequests};
use super::{Responses, Totals};

/// What follows a response line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another line.
    Line,
    /// A value of this many bytes with its line end; with `finishes`, it ends the oldest request's response.
    Value {
        /// Line end included.
        length: u64,
        /// Whether its last byte ends the response.
        finishes: bool,
    },
    /// The rest of a list.
    List,
    /// It fits no open request.
    Unmatched,
}

/// What a response says of the event it belongs to.
#[derive(Clone, Copy, Debug, Default)]
struct Reply {
    outcome: Option<Outcome>,
    value_size: Option<u32>,
    cas: Option<u64>,
}

/// Pairs one connection's responses with its requests.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    open: OpenRequests,
    /// Replies that fit several quiet requests, until a later response tells.
    ambiguous: Vec<Reply>,
    /// Responses cannot be told apart until the next barrier: requests end at once, without outcome.
    suspended: bool,
    /// Requests that ended without outcome while suspended after a loss.
    lost: u64,
    /// A barrier has been passed with both streams known.
    started: bool,
    /// The last request answered was one whose reply may go on (`watch`).
    streaming: bool,
}

impl Pairing {
    /// Opens a request with any number of keys. One that makes memcached drop answers it owes leaves no telling which:
    /// those requests end without outcome, and pairing rests until the next barrier.
    pub(super) fn open_keys(
        &mut self,
        context: &mut Context,
        open: Open,
        mut event: Event,
        request: &Request<'_>,
    ) {
        if request.drops_answers() && !self.open.is_empty() {
            self.end(context);
            self.suspend();
        }
        let mut keys = request.keys.clone();
        let Some(first) = keys.next() else {
            return self.open(context, open, event);
        };
        context.set_key(&mut event, &first);
        if request.keys.len() == 1 || open.unanswered || !self.waits(context) {
            self.open(context, open, event);
            event.request_size = None;
            for key in keys {
                context.set_key(&mut event, &key);
                self.open(context, open, event);
            }
            return;
        }
        let mut events = 0;
        self.open.push_event(event);
        event.request_size = None;
        for key in keys {
            context.set_key(&mut event, &key);
            self.open.push_event(event);
            events += 1;
        }
        self.open.push(Open {
            events: events + 1,
            key: event.key,
            ..open
        });
    }

    /// Whether responses can be paired at all.
    fn waits(&self, context: &Context) -> bool {
        !self.suspended && context.responses != Responses::None
    }

    /// Opens a request with one event; one that will not be answered (or not seen answered) ends at once.
    pub(super) fn open(&mut self, context: &mut Context, open: Open, mut event: Event) {
        self.streaming = false;
        if open.unanswered {
            event.outcome = Some(Outcome::Suppressed);
            context.events.push(event);
        } else if !self.waits(context) {
            self.lost += u64::from(self.suspended && self.started);
            context.events.push(event);
        } else {
            self.open.push_event(event);
            self.open.push(Open {
                key: event.key,
                ..open
            });
        }
    }

    /// The oldest open request; none when all are settled.
    pub(super) fn oldest(&self) -> Option<&Open> {
        self.open.get(0)
    }

    /// Whether every open request must have been answered by a response of its own.
    pub(super) fn all_answered(&self) -> bool {
        self.open.iter().all(|open| !open.quiet)
    }

    /// The open requests, oldest first.
    pub(super) fn open_requests(&self) -> impl Iterator<Item = &Open> {
        self.open.iter()
    }

    /// How many requests are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Everything due has been sent: what is still open was quiet, or was not seen.
    pub(super) fn barrier(&mut self, context: &mut Context, totals: &mut Totals) {
        // Lengths do not tell which of the quiet requests were answered.
        let known = self.ambiguous.is_empty() && context.responses == Responses::Bytes;
        self.ambiguous.clear();
        while let Some(oldest) = self.oldest() {
            let outcome = (oldest.quiet && known).then_some(Outcome::Suppressed);
            totals.unpaired += u64::from(!oldest.quiet && context.responses == Responses::Bytes);
            self.open.finish(context, outcome, None);
        }
        totals.unpaired += std::mem::take(&mut self.lost);
    }

    /// From here on responses belong to the requests that are opened from here on.
    pub(super) fn resume(&mut self) {
        self.suspended = false;
        self.started = true;
    }

    /// Until the next barrier no response can be told apart.
    pub(super) fn suspend(&mut self) {
        self.suspended = true;
    }

    /// Responses were lost: what is open ends without outcome, and so does what follows up to the next barrier.
    pub(super) fn lose(&mut self, context: &mut Context, totals: &mut Totals) {
        self.ambiguous.clear();
        while let Some(oldest) = self.oldest() {
            totals.unpaired += u64::from(!oldest.quiet && context.responses == Responses::Bytes);
            self.open.finish(context, None, None);
        }
        self.suspend();
    }

    /// The connection or the recording ends: what is open keeps no outcome, and that is no loss.
    pub(super) fn end(&mut self, context: &mut Context) {
        while !self.open.is_empty() {
            self.open.finish(context, None, None);
        }
    }

    /// Whether responses are ignored until the next barrier.
    pub(super) fn suspended(&self) -> bool {
        self.suspended
    }

    /// Whether bytes without an open request are the tail of a stream that a command began.
    pub(super) fn streaming(&self) -> bool {
        self.streaming && self.open.is_empty()
    }

    /// Ends the oldest request as its response's last byte has been sent.
    pub(super) fn finish(&mut self, context: &mut Context, outcome: Option<Outcome>, time: u64) {
        self.streaming = self
            .oldest()
            .is_some_and(|oldest| oldest.command == Command::Other);
        self.open.finish(context, outcome, Some(time));
    }

    /// Settles what one response line says.
    pub(super) fn answer(
        &mut self,
        context: &mut Context,
        response: &Response<'_>,
        time: u64,
    ) -> Next {
        let names = Names::of(context, response);
        let Some(index) = self.position(response, &names) else {
            return Next::Unmatched;
        };
        if self.is_ambiguous(response, &names, index) {
            return self.set_aside(context, response);
        }
        self.pass_quiet(context, index);
        let Some(oldest) = self.oldest() else {
            return Next::Unmatched;
        };
        match response {
            Response::Value { key, size, cas, .. } => self.value(context, key, *size, *cas),
            Response::Stat(_) => Next::List,
            Response::Line(text) if oldest.command == Command::Other && continues(text) => {
                Next::List
            }
            Response::End if is_retrieval(oldest.command) => {
                self.finish(context, Some(Outcome::Miss), time);
                Next::Line
            }
            Response::Meta {
                size: Some(size), ..
            } => {
                self.apply(context, reply(oldest.command, response));
                Next::Value {
                    length: u64::from(*size) + 2,
                    finishes: true,
                }
            }
            _ => {
                let reply = reply(oldest.command, response);
                self.apply(context, reply);
                self.finish(context, reply.outcome, time);
                Next::Line
            }
        }
    }

    /// The open request a response belongs to: the first it fits, past quiet ones only.
    fn position(&self, response: &Response<'_>, names: &Names) -> Option<usize> {
        for (index, open) in self.open.iter().enumerate() {
            if fits(open, response, names) {
                return Some(index);
            }
            if !open.quiet {
                return None;
            }
        }
        None
    }

    /// Whether a reply that could be the quiet request's at `index` could as well be a later one's.
    fn is_ambiguous(&self, response: &Response<'_>, names: &Names, index: usize) -> bool {
        let mut open = self.open.iter().skip(index);
        let Some(found) = open.next() else {
            return false;
        };
        if !found.quiet || found.opaque.is_some() || (found.returns_key && names.key.is_some()) {
            return false;
        }
        for later in open {
            if fits(later, response, names) {
                return true;
            }
            if !later.quiet {
                break;
            }
        }
        !self.ambiguous.is_empty()
    }

    fn set_aside(&mut self, context: &Context, response: &Response<'_>) -> Next {
        let command = self
            .oldest()
            .map_or(Command::Other, |oldest| oldest.command);
        debug_assert!(context.responses == Responses::Bytes);
        self.ambiguous.push(reply(command, response));
        match response {
            Response::Meta {
                size: Some(size), ..
            } => Next::Value {
                length: u64::from(*size) + 2,
                finishes: false,
            },
            _ => Next::Line,
        }
    }

    /// Ends the quiet requests before `index`. Replies set aside are theirs: all were answered, or none, or it is
    /// not known which.
    fn pass_quiet(&mut self, context: &mut Context, index: usize) {
        if index == 0 {
            return;
        }
        let replies = std::mem::take(&mut self.ambiguous);
        let anonymous = self
            .open
            .iter()
            .take(index)
            .filter(|open| open.opaque.is_none())
            .count();
        let all = replies.len() == anonymous;
        let mut replies = replies.into_iter();
        let none = replies.len() == 0;
        for _ in 0..index {
            let named = self.oldest().is_some_and(|open| open.opaque.is_some());
            let outcome = match (named || none, all) {
                (true, _) => Some(Outcome::Suppressed),
                (false, true) => replies.next().and_then(|reply| {
                    self.apply(context, reply);
                    reply.outcome
                }),
                (false, false) => None,
            };
            self.open.finish(context, outcome, None);
        }
    }

    fn value(&mut self, context: &mut Context, key: &Key<'_>, size: u32, cas: Option<u64>) -> Next {
        let id = context.key_id(key);
        let cas = cas.map(|cas| context.cas.ordinal(cas));
        let Some(event) = self.open.next_hit(id) else {
            return Next::Unmatched;
        };
        event.outcome = Some(Outcome::Hit);
        event.value_size = Some(size);
        event.cas = cas;
        Next::Value {
            length: u64::from(size) + 2,
            finishes: false,
        }
    }

    fn apply(&mut self, context: &mut Context, reply: Reply) {
        let cas = reply.cas.map(|cas| context.cas.ordinal(cas));
        self.open.settle(|event| {
            event.outcome = reply.outcome;
            event.value_size = reply.value_size.or(event.value_size);
            event.cas = cas.or(event.cas);
        });
    }
}

/// What a meta response repeats of its request, as keyed ids.
#[derive(Debug, Default)]
struct Names {
    opaque: Option<u64>,
    key: Option<u64>,
}

impl Names {
    fn of(context: &Context, response: &Response<'_>) -> Self {
        let Response::Meta { flags, .. } = response else {
            return Self::default();
        };
        let key = flags
            .token(b'k')
            .map(|word| Key::new(word, flags.has(b'b')));
        Self {
            opaque: flags.token(b'O').map(|token| context.hasher.id(token)),
            key: key.map(|key| context.key_id(&key)),
        }
    }
}

/// Whether `response` can be the answer to `open`.
fn fits(open: &Open, response: &Response<'_>, names: &Names) -> bool {
    if !fits_command(open, response) {
        return false;
    }
    let Response::Meta { kind, .. } = response else {
        return true;
    };
    if *kind == Kind::Mn {
        return true;
    }
    // A miss may answer `EN` without the key.
    let key_fits = match (open.returns_key, names.key) {
        (true, None) => *kind == Kind::En,
        (true, key) => open.key == key,
        (false, key) => key.is_none(),
    };
    open.opaque == names.opaque && key_fits
}

/// A meta response's number behind `letter`.
fn number(flags: &MetaFlags<'_>, letter: u8) -> Option<u64> {
    core::str::from_utf8(flags.token(letter)?)
        .ok()?
        .parse()
        .ok()
}

/// Lines with which a reply of unknown length begins.
fn continues(text: &[u8]) -> bool {
    [&b"key="[..], b"mg ", b"ITEM ", b"PREFIX ", b"STAT "]
        .iter()
        .any(|start| text.starts_with(start))
}

fn is_retrieval(command: Command) -> bool {
    matches!(
        command,
        Command::Get | Command::Gets | Command::Gat | Command::Gats
    )
}

fn is_storage(command: Command) -> bool {
    use Command::{Add, Append, Cas, Prepend, Replace, Set};
    matches!(command, Set | Add | Replace | Append | Prepend | Cas)
}

/// Whether memcached can answer `open` with `response`.
fn fits_command(open: &Open, response: &Response<'_>) -> bool {
    let command = open.command;
    match response {
        Response::Error | Response::ClientError(_) | Response::ServerError(_) => true,
        _ if open.refused => false,
        _ if command == Command::Other => !matches!(response, Response::Value { .. }),
        Response::Value { .. } => is_retrieval(command),
        Response::End => is_retrieval(command) || command == Command::Stats,
        Response::Stored | Response::NotStored | Response::Exists => is_storage(command),
        Response::NotFound => {
            is_storage(command)
                || matches!(
                    command,
                    Command::Delete | Command::Incr | Command::Decr | Command::Touch
                )
        }
        Response::Deleted => command == Command::Delete,
        Response::Touched => command == Command::Touch,
        Response::Number(_) => matches!(command, Command::Incr | Command::Decr),
        Response::Ok => {
            matches!(
                command,
                Command::FlushAll | Command::Verbosity | Command::Stats
            )
        }
        Response::Version(_) => command == Command::Version,
        Response::Stat(_) | Response::Reset => command == Command::Stats,
        Response::Meta { kind, .. } => fits_meta(command, *kind),
        Response::MetaDebug(_) => command == Command::MetaDebug,
        Response::Busy(_) | Response::Line(_) => command == Command::Stats,
    }
}

fn fits_meta(command: Command, kind: Kind) -> bool {
    use Command::{MetaArithmetic, MetaDebug, MetaDelete, MetaGet, MetaNoop, MetaSet};
    match kind {
        Kind::Mn => command == MetaNoop,
        Kind::En => matches!(command, MetaGet | MetaDebug),
        Kind::Va => matches!(command, MetaGet | MetaArithmetic),
        Kind::Hd => matches!(command, MetaGet | MetaSet | MetaDelete | MetaArithmetic),
        Kind::Nf => matches!(command, MetaSet | MetaDelete | MetaArithmetic),
        Kind::Ns => matches!(command, MetaSet | MetaArithmetic),
        Kind::Ex => matches!(command, MetaSet | MetaDelete | MetaArithmetic),
    }
}

/// What a response that ends a one-event request says of it.
fn reply(command: Command, response: &Response<'_>) -> Reply {
    let outcome = match response {
        Response::Stored | Response::Number(_) => Outcome::Stored,
        Response::NotStored => Outcome::NotStored,
        Response::Exists => Outcome::Exists,
        Response::NotFound => Outcome::NotFound,
        Response::Deleted => Outcome::Deleted,
        Response::Touched => Outcome::Touched,
        Response::Error | Response::ClientError(_) => Outcome::ClientError,
        Response::ServerError(_) => Outcome::ServerError,
        Response::MetaDebug(_) => Outcome::Hit,
        Response::Meta { .. } => return meta_reply(command, response),
        Response::End
        | Response::Ok
        | Response::Version(_)
        | Response::Reset
        | Response::Stat(_)
        | Response::Busy(_)
        | Response::Line(_)
        | Response::Value { .. } => Outcome::Ok,
    };
    Reply {
        outcome: Some(outcome),
        ..Reply::default()
    }
}

fn meta_reply(command: Command, response: &Response<'_>) -> Reply {
    let Response::Meta { kind, size, flags } = response else {
        return Reply::default();
    };
    let outcome = match (kind, command) {
        (Kind::Mn, _) => Outcome::Ok,
        (Kind::En, _) => Outcome::Miss,
        (Kind::Ns, _) => Outcome::NotStored,
        (Kind::Ex, _) => Outcome::Exists,
        (Kind::Nf, _) => Outcome::NotFound,
        (_, Command::MetaGet) if flags.has(b'W') => Outcome::Won,
        (_, Command::MetaGet) if flags.has(b'X') => Outcome::Stale,
        (_, Command::MetaGet) => Outcome::Hit,
        (_, Command::MetaDelete) => Outcome::Deleted,
        _ => Outcome::Stored,
    };
    let returned =
        || size.or_else(|| number(flags, b's').and_then(|size| u32::try_from(size).ok()));
    let value_size = if command == Command::MetaGet {
        returned()
    } else {
        None
    };
    Reply {
        outcome: Some(outcome),
        value_size,
        cas: number(flags, b'c'),
    }
}
