//! Recorded and written sizes of requests → why a replay writes a different number of bytes than was recorded.

use std::collections::BTreeMap;

use membench_event::Command;

use crate::make::keys::KEY_MAX;
use crate::make::request::is_shortened;
use crate::make::template::Template;
use crate::operation::{Marks, Operation};

/// Reasons why a sent request differs in size from the recorded one.
mod reason {
    pub(crate) const ARGUMENTS: &str = "arguments";
    pub(crate) const CAS_TOKEN: &str = "cas_token";
    pub(crate) const KEY: &str = "key";
    pub(crate) const FILL: &str = "fill";
    pub(crate) const KEY_PREFIX: &str = "key_prefix";
    pub(crate) const NUMBER: &str = "number";
    pub(crate) const OPAQUE: &str = "opaque";
    pub(crate) const OTHER: &str = "other";
    pub(crate) const REFUSED: &str = "refused";
    pub(crate) const SIGN_IN: &str = "sign_in";
    pub(crate) const TTL: &str = "ttl";
    pub(crate) const CUT_OFF: &str = "cut_off";
}

/// Balance of request bytes: recorded − not sent + changed = written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByteBalance {
    /// Recorded bytes of the requests that were sent.
    pub(crate) sent: u64,
    /// Recorded bytes of the requests that were planned but not sent, by cause.
    pub(crate) not_sent: BTreeMap<&'static str, u64>,
    /// Written minus recorded bytes of the requests that were sent, by reason.
    pub(crate) changed: BTreeMap<&'static str, i64>,
}

/// Recorded size of one request, and how the written size differs from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Recorded size, bytes.
    pub(crate) recorded: u32,
    /// Reason for the difference, and written minus recorded bytes; `None` if the sizes are equal.
    pub(crate) change: Option<(&'static str, i64)>,
}

impl Sizes {
    /// Compares the request made of `operations`, written as `size` bytes, with its recorded size.
    pub(crate) fn new(operations: &[Operation], size: u64, template: &Template) -> Self {
        let recorded = operations.first().map_or(0, |first| first.recorded_size);
        let longer = difference(size, recorded.into());
        let change = (longer != 0).then(|| (reason_for(operations, template), longer));
        Self { recorded, change }
    }
}

impl ByteBalance {
    /// Counts a request that was sent.
    #[inline]
    pub(crate) fn add_sent(&mut self, sizes: Sizes) {
        self.sent += u64::from(sizes.recorded);
        if let Some((reason, longer)) = sizes.change {
            *self.changed.entry(reason).or_default() += longer;
        }
    }

    /// Counts the bytes that signing in on a connection took.
    pub(crate) fn add_sign_in(&mut self, size: u64) {
        if size > 0 {
            *self.changed.entry(reason::SIGN_IN).or_default() += difference(size, 0);
        }
    }

    /// Counts a request of `recorded` bytes that was not sent.
    pub(crate) fn add_not_sent(&mut self, cause: &'static str, recorded: u32) {
        *self.not_sent.entry(cause).or_default() += u64::from(recorded);
    }

    /// Counts the difference left when a connection ends inside a request: `written` bytes went out on it, and the
    /// requests counted as sent make up `sent` of them.
    pub(crate) fn cut_off(&mut self, written: u64, sent: u64) {
        if written != sent {
            *self.changed.entry(reason::CUT_OFF).or_default() += difference(written, sent);
        }
    }

    /// Adds the balance of another shard.
    pub(crate) fn merge(&mut self, other: &Self) {
        let Self {
            sent,
            not_sent,
            changed,
        } = other;
        self.sent += sent;
        for (cause, bytes) in not_sent {
            *self.not_sent.entry(cause).or_default() += bytes;
        }
        for (reason, longer) in changed {
            *self.changed.entry(reason).or_default() += longer;
        }
    }
}

fn difference(size: u64, other: u64) -> i64 {
    let apart = i64::try_from(size.abs_diff(other)).unwrap_or(i64::MAX);
    if size < other { -apart } else { apart }
}

/// Names the part of a request that replay generates without knowing its recorded length, as a profile does not hold
/// it. A request without such a part differs by spaces, line ending or leading zeros: `other`.
fn reason_for(operations: &[Operation], template: &Template) -> &'static str {
    use Command as C;
    let Some(first) = operations.first() else {
        return reason::OTHER;
    };
    if is_shortened(operations) {
        return reason::REFUSED;
    }
    match first.command {
        _ if first.marks.has(Marks::FILL) => reason::FILL,
        _ if first.key_prefix > 0 => reason::KEY_PREFIX,
        C::Stats | C::Version | C::Verbosity | C::FlushAll | C::MetaNoop | C::Quit => {
            reason::ARGUMENTS
        }
        _ if first.marks.has(Marks::KEY_REFUSED) || first.key_size > KEY_MAX => reason::KEY,
        C::Cas => reason::CAS_TOKEN,
        _ if template.compares || template.sets_cas() => reason::CAS_TOKEN,
        _ if template.absolute => reason::TTL,
        _ if usize::from(first.opaque_size) > crate::make::opaque::OPAQUE_MAX => reason::OPAQUE,
        _ if template.base64 => reason::KEY,
        C::Incr | C::Decr | C::MetaArithmetic => reason::NUMBER,
        _ => reason::OTHER,
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
    fn a_request_of_its_recorded_size_needs_no_reason() {
        let sizes = Sizes::new(&[operation(Command::Get)], 100, &Template::default());
        assert_eq!((sizes.recorded, sizes.change), (100, None));
    }

    #[test]
    fn a_changed_size_is_attributed_to_the_part_that_replay_generates() {
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
    fn recorded_minus_not_sent_plus_changed_is_what_was_written() {
        let mut balance = ByteBalance::default();
        let template = Template::default();
        balance.add_sent(Sizes::new(&[operation(Command::Cas)], 103, &template));
        balance.add_not_sent("stopped", 100);
        balance.cut_off(110, 103);
        let mut sum = ByteBalance::default();
        sum.merge(&balance);
        let changed: i64 = sum.changed.values().sum();
        assert_eq!((sum.sent, sum.not_sent["stopped"], changed), (100, 100, 10));
    }
}
