//! Sizes of requests as recorded and as written → why a replay writes other bytes than were recorded.

use std::collections::BTreeMap;

use membench_event::Command;

use crate::make::keys::KEY_MAX;
use crate::make::request::is_shortened;
use crate::operation::{Marks, Operation};
use crate::plan::template::Template;

/// Why a request that was sent has another size than the recorded one.
mod cause {
    pub(crate) const ARGUMENTS: &str = "arguments";
    pub(crate) const CAS_TOKEN: &str = "cas_token";
    pub(crate) const KEY: &str = "key";
    pub(crate) const NUMBER: &str = "number";
    pub(crate) const OPAQUE: &str = "opaque";
    pub(crate) const OTHER: &str = "other";
    pub(crate) const REFUSED: &str = "refused";
    pub(crate) const TTL: &str = "ttl";
    pub(crate) const CUT_OFF: &str = "cut_off";
}

/// Bytes of requests: recorded − not replayed + changed = written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// Recorded sizes of the requests that were sent.
    pub sent: u64,
    /// Recorded sizes of the requests that were not, by cause.
    pub not_sent: BTreeMap<&'static str, u64>,
    /// How much longer requests were than recorded, by cause.
    pub changed: BTreeMap<&'static str, i64>,
}

/// How one request's size compares with the recorded one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// As recorded.
    pub recorded: u32,
    /// How much longer it is now, and why.
    pub change: Option<(&'static str, i64)>,
}

impl Sizes {
    /// Of the request made of `operations`, now of `size` bytes.
    pub fn new(operations: &[Operation], size: u64, template: &Template) -> Self {
        let recorded = operations.first().map_or(0, |first| first.recorded_size);
        let longer = difference(size, recorded.into());
        let change = (longer != 0).then(|| (cause_of(operations, template), longer));
        Self { recorded, change }
    }
}

impl Bytes {
    /// A request was sent.
    #[inline]
    pub fn add_sent(&mut self, sizes: Sizes) {
        self.sent += u64::from(sizes.recorded);
        if let Some((cause, longer)) = sizes.change {
            *self.changed.entry(cause).or_default() += longer;
        }
    }

    /// A request of this recorded size was not sent.
    pub fn add_not_sent(&mut self, cause: &'static str, recorded: u32) {
        *self.not_sent.entry(cause).or_default() += u64::from(recorded);
    }

    /// A connection ended with `written` bytes written, where its requests that count as sent have `sent`.
    pub fn cut_off(&mut self, written: u64, sent: u64) {
        if written != sent {
            *self.changed.entry(cause::CUT_OFF).or_default() += difference(written, sent);
        }
    }

    /// Adds another shard's.
    pub fn merge(&mut self, other: &Self) {
        let Self {
            sent,
            not_sent,
            changed,
        } = other;
        self.sent += sent;
        for (cause, bytes) in not_sent {
            *self.not_sent.entry(cause).or_default() += bytes;
        }
        for (cause, longer) in changed {
            *self.changed.entry(cause).or_default() += longer;
        }
    }
}

fn difference(size: u64, other: u64) -> i64 {
    let apart = i64::try_from(size.abs_diff(other)).unwrap_or(i64::MAX);
    if size < other { -apart } else { apart }
}

/// The part of a request that is made anew and whose recorded length a profile does not hold. What has no such part
/// differs by spaces, line end or leading zeros.
fn cause_of(operations: &[Operation], template: &Template) -> &'static str {
    use Command as C;
    let Some(first) = operations.first() else {
        return cause::OTHER;
    };
    if is_shortened(operations) {
        return cause::REFUSED;
    }
    match first.command {
        C::Stats | C::Version | C::Verbosity | C::FlushAll | C::MetaNoop | C::Quit => {
            cause::ARGUMENTS
        }
        _ if first.marks.has(Marks::KEY_REFUSED) || first.key_size > KEY_MAX => cause::KEY,
        C::Cas => cause::CAS_TOKEN,
        _ if template.compares || template.sets_cas() => cause::CAS_TOKEN,
        _ if template.absolute => cause::TTL,
        _ if usize::from(first.opaque_size) > crate::make::opaque::OPAQUE_MAX => cause::OPAQUE,
        _ if template.base64 => cause::KEY,
        C::Incr | C::Decr | C::MetaArithmetic => cause::NUMBER,
        _ => cause::OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Kind;

    fn operation(command: Command) -> Operation {
        let mut marks = Marks::default();
        marks.set(Marks::VALUE, true);
        Operation {
            command,
            marks,
            key_size: 5,
            recorded_size: 100,
            ..Operation::new(Kind::Request, 0, 0)
        }
    }

    #[test]
    fn a_request_of_its_recorded_size_needs_no_cause() {
        let sizes = Sizes::new(&[operation(Command::Get)], 100, &Template::default());
        assert_eq!((sizes.recorded, sizes.change), (100, None));
    }

    #[test]
    fn a_changed_size_is_put_down_to_what_was_made_anew() {
        let plain = Template::default();
        let base64 = Template {
            base64: true,
            ..Template::default()
        };
        let table = [
            (Command::Cas, &plain, "cas_token"),
            (Command::Stats, &plain, "arguments"),
            (Command::Incr, &plain, "number"),
            (Command::MetaGet, &base64, "key"),
            (Command::Get, &plain, "other"),
        ];
        for (command, template, expected) in table {
            let sizes = Sizes::new(&[operation(command)], 97, template);
            assert_eq!(sizes.change, Some((expected, -3)), "{command:?}");
        }
    }

    #[test]
    fn recorded_less_not_sent_with_changes_is_what_was_written() {
        let mut bytes = Bytes::default();
        let template = Template::default();
        bytes.add_sent(Sizes::new(&[operation(Command::Cas)], 103, &template));
        bytes.add_not_sent("stopped", 100);
        bytes.cut_off(110, 103);
        let mut sum = Bytes::default();
        sum.merge(&bytes);
        let changed: i64 = sum.changed.values().sum();
        assert_eq!((sum.sent, sum.not_sent["stopped"], changed), (100, 100, 10));
    }
}
