//! Operations of one request → its bytes, with made keys and values and the target's own cas values.

mod binary;

use std::collections::HashMap;
use std::sync::Arc;

use membench_protocol::base64;
use membench_protocol::encode::{Encoder, Flag, Full, Storage};

use membench_event::{Command, Protocol};

use crate::clock::utc_seconds;
use crate::make::keys::{self, KEY_MAX};
use crate::make::opaque::{OPAQUE_MAX, Opaque};
use crate::make::values::{Values, append_decimal};
use crate::operation::{Marks, Operation};
use crate::plan::template::{Template, Templates};
use membench_event::answer::is_retrieval;

/// A cas value no item has: for ordinals whose value the target never returned.
const NO_CAS: u64 = u64::MAX;

/// Room for a request's line but for its keys: the verb, six numbers and twenty flags.
const LINE: usize = 512;

/// Makes requests.
#[derive(Debug)]
pub struct Requests {
    templates: Arc<Templates>,
    values: Values,
    /// Recorded ordinal → the target's value.
    cas: HashMap<u32, u64>,
    keys: Vec<u8>,
    /// Where a line is written before it joins those of its batch: only what was written is copied, nothing is cleared.
    line: Vec<u8>,
    /// Requests sent with a cas value that cannot match, as the target returned none for its ordinal.
    pub unknown_cas: u64,
}

impl Requests {
    /// With values from `seed`.
    pub fn new(templates: Arc<Templates>, seed: u64) -> Self {
        Self {
            templates,
            values: Values::new(seed),
            cas: HashMap::new(),
            keys: Vec::new(),
            line: Vec::new(),
            unknown_cas: 0,
        }
    }

    /// What options mean.
    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// Remembers the target's cas value of a recorded ordinal.
    pub fn learn_cas(&mut self, ordinal: u32, value: u64) {
        self.cas.insert(ordinal, value);
    }

    /// Writes the request made of `operations` (several for a multi-get), with this token if its options say so.
    pub fn append(&mut self, out: &mut Vec<u8>, operations: &[Operation], opaque: Opaque) {
        let Some(first) = operations.first() else {
            return;
        };
        self.render_keys(operations);
        let mut line = std::mem::take(&mut self.line);
        let room = self.keys.len() + operations.len() + LINE;
        if line.len() < room {
            line.resize(room, 0);
        }
        let mut encoder = Encoder::new(&mut line);
        let result = match first.protocol {
            Protocol::Binary => self.message(&mut encoder, first, opaque),
            Protocol::Text | Protocol::Meta => self.line(&mut encoder, operations, opaque),
        };
        let written = match result {
            Ok(()) => encoder.written(),
            Err(Full) => 0,
        };
        out.extend_from_slice(&line[..written]);
        self.line = line;
        if first.marks.has(Marks::VALUE) {
            self.append_value(out, first);
        }
    }

    fn render_keys(&mut self, operations: &[Operation]) {
        self.keys.clear();
        for operation in operations {
            keys::append(&mut self.keys, operation.key, key_size(operation));
        }
    }

    fn line(
        &mut self,
        encoder: &mut Encoder<'_>,
        operations: &[Operation],
        opaque: Opaque,
    ) -> Result<(), Full> {
        use Command as C;
        let Some(first) = operations.first() else {
            return Ok(());
        };
        let cas = self.cas_value(first);
        let template = self.templates.get(first.options);
        let key = &self.keys[..key_size(first)];
        let ttl = ttl(first, template);
        let noreply = template.noreply;
        if lacks_value(first) {
            return encoder.plain(first.command, [key]);
        }
        if has_refused_key(operations) {
            return encoder.plain(first.command, []);
        }
        match first.command {
            C::Get | C::Gets => encoder.retrieval(first.command, None, self.each_key(operations)),
            C::Gat | C::Gats => {
                encoder.retrieval(first.command, Some(ttl), self.each_key(operations))
            }
            C::Set | C::Add | C::Replace | C::Append | C::Prepend | C::Cas => {
                let storage = Storage {
                    key,
                    client_flags: first.flags,
                    ttl,
                    size: first.value_size,
                    cas: (first.command == C::Cas).then_some(cas),
                    noreply,
                };
                encoder.storage(first.command, &storage)
            }
            C::Delete => encoder.delete(key, noreply),
            C::Incr | C::Decr => encoder.arithmetic(first.command, key, first.delta, noreply),
            C::Touch => encoder.touch(key, ttl, noreply),
            C::MetaGet | C::MetaSet | C::MetaDelete | C::MetaArithmetic | C::MetaDebug => {
                self.meta(encoder, first, opaque, (cas, ttl))
            }
            C::FlushAll => encoder.flush_all(first.marks.has(Marks::TTL).then_some(ttl), noreply),
            C::Verbosity => encoder.verbosity(1, noreply),
            C::MetaNoop | C::Stats | C::Version | C::Quit | C::Other => {
                encoder.plain(first.command, [])
            }
        }
    }

    fn each_key<'a>(&'a self, operations: &'a [Operation]) -> impl Iterator<Item = &'a [u8]> {
        let mut start = 0;
        operations.iter().map(move |operation| {
            let key = &self.keys[start..start + key_size(operation)];
            start += key.len();
            key
        })
    }

    fn meta(
        &mut self,
        encoder: &mut Encoder<'_>,
        operation: &Operation,
        opaque: Opaque,
        (cas, ttl): (u64, i32),
    ) -> Result<(), Full> {
        let template = self.templates.get(operation.options);
        let mut in_base64 = [0; 384];
        let key = if template.base64 {
            let size = base64::encode(&self.keys, &mut in_base64).ok_or(Full)?;
            &in_base64[..size]
        } else {
            &self.keys[..]
        };
        let mut token = [0; OPAQUE_MAX];
        let opaque = opaque.spell(&mut token);
        let flags = template.flags.iter().map(|(letter, mode)| match letter {
            b'T' => Flag::Ttl(b'T', ttl),
            b'N' => Flag::Ttl(b'N', operation.vivify_ttl),
            b'R' => Flag::Ttl(b'R', operation.recache_ttl),
            b'F' => Flag::Number(b'F', operation.flags.into()),
            b'D' => Flag::Number(b'D', operation.delta),
            b'J' => Flag::Number(b'J', operation.initial),
            b'C' => Flag::Number(b'C', cas),
            b'E' => Flag::Number(b'E', u64::from(operation.cas) + 1),
            b'O' => Flag::Word(b'O', opaque),
            b'M' => Flag::Word(b'M', mode.as_slice()),
            other => Flag::Bare(*other),
        });
        let value = (operation.command == Command::MetaSet).then_some(operation.value_size);
        encoder.meta(operation.command, key, value, flags)
    }

    fn cas_value(&mut self, operation: &Operation) -> u64 {
        let compares = self.templates.get(operation.options).compares;
        if operation.command != Command::Cas && !compares {
            return NO_CAS;
        }
        let sent = operation.marks.has(Marks::CAS_SENT);
        let known = self.cas.get(&operation.cas).filter(|_| sent).copied();
        self.unknown_cas += u64::from(known.is_none());
        known.unwrap_or(NO_CAS)
    }

    fn append_value(&self, out: &mut Vec<u8>, operation: &Operation) {
        let size = usize::try_from(operation.value_size).unwrap_or(usize::MAX);
        if operation.marks.has(Marks::DECIMAL) {
            append_decimal(out, size);
        } else {
            self.values.append(out, operation.key, size);
        }
        if operation.protocol != Protocol::Binary {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Whether a request that was refused is sent as a shorter one that is refused as well.
pub(crate) fn is_shortened(operations: &[Operation]) -> bool {
    operations.first().is_some_and(lacks_value) || has_refused_key(operations)
}

/// Refused before its value was read: a line without a size is refused by every memcached, and no value is waited for.
fn lacks_value(first: &Operation) -> bool {
    first.command.is_storage() && !first.marks.has(Marks::VALUE)
}

/// memcached drops unsent answers of earlier requests when it refuses a key of a retrieval; a bare verb, refused as
/// well, is safe.
fn has_refused_key(operations: &[Operation]) -> bool {
    operations
        .iter()
        .any(|operation| is_retrieval(operation.command) && operation.marks.has(Marks::KEY_REFUSED))
}

fn key_size(operation: &Operation) -> usize {
    let size = usize::from(operation.key_size);
    if operation.marks.has(Marks::KEY_REFUSED) {
        size.max(usize::from(KEY_MAX) + 1)
    } else {
        size
    }
}

/// The expiry to send: a point in time if that was sent.
fn ttl(operation: &Operation, template: &Template) -> i32 {
    if !template.absolute {
        return operation.ttl;
    }
    let then = utc_seconds().saturating_add(operation.ttl.into());
    i32::try_from(then).unwrap_or(i32::MAX)
}
