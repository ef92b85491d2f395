//! Operations of one request → its bytes, with generated keys and values and the target's own cas values.

use std::collections::HashMap;
use std::sync::Arc;

use membench_event::answer::is_retrieval;
use membench_event::{Command, Protocol};
use membench_protocol::base64;
use membench_protocol::binary::{Arithmetic, Item, Opcode, Tag};
use membench_protocol::encode::{Encoder, Flag, Full, Storage};

use crate::clock::utc_seconds;
use crate::make::content::Content;
use crate::make::keys::{self, KEY_MAX};
use crate::make::opaque::{OPAQUE_MAX, Opaque};
use crate::make::template::{Template, Templates};
use crate::make::values::{Values, append_decimal};
use crate::operation::{Marks, Operation};

/// Cas value that no item has, for ordinals whose value the target never returned.
const NO_CAS: u64 = u64::MAX;

/// Room for a request line without its keys, bytes: the verb, six numbers and twenty flags.
const LINE: usize = 512;

/// Writer of requests, in all three protocols.
#[derive(Debug)]
pub(crate) struct RequestWriter {
    templates: Arc<Templates>,
    values: Values,
    /// Bytes before every key.
    prefix: Vec<u8>,
    /// Ordinals of recorded cas values → the values the target returned for them.
    cas: HashMap<u32, u64>,
    /// Keys of the request being written, one after the other.
    keys: Vec<u8>,
    /// Scratch buffer for one line or header. It keeps its length, so nothing is cleared, and only the bytes written
    /// are copied to the output.
    line: Vec<u8>,
    /// Requests sent with a cas value that cannot match, because the target returned none for the ordinal.
    pub(crate) unknown_cas: u64,
}

impl RequestWriter {
    /// Makes a writer of requests with this content.
    pub(crate) fn new(templates: Arc<Templates>, content: &Content) -> Self {
        Self {
            templates,
            values: Values::new(content.seed, content.values),
            prefix: content.key_prefix.clone().into_bytes(),
            cas: HashMap::new(),
            keys: Vec::new(),
            line: Vec::new(),
            unknown_cas: 0,
        }
    }

    /// Returns the templates of the recording.
    pub(crate) fn templates(&self) -> &Templates {
        &self.templates
    }

    /// Remembers the cas value that the target returned for a recorded ordinal.
    pub(crate) fn learn_cas(&mut self, ordinal: u32, value: u64) {
        self.cas.insert(ordinal, value);
    }

    /// Appends the request made of `operations` (several for a multi-get) to `out`. `opaque` is its token, if its
    /// protocol or options call for one.
    pub(crate) fn append(&mut self, out: &mut Vec<u8>, operations: &[Operation], opaque: Opaque) {
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

    /// Generates the keys of all operations.
    fn render_keys(&mut self, operations: &[Operation]) {
        self.keys.clear();
        for operation in operations {
            let prefix = self.prefix.get(..usize::from(operation.key_prefix));
            let prefix = prefix.unwrap_or_default();
            self.keys.extend_from_slice(prefix);
            let size = key_size(operation) - prefix.len();
            keys::append(&mut self.keys, operation.key, size);
        }
    }

    /// Writes the line of a text or meta request.
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

    /// Returns the generated key of each operation.
    fn each_key<'a>(&'a self, operations: &'a [Operation]) -> impl Iterator<Item = &'a [u8]> {
        let mut start = 0;
        operations.iter().map(move |operation| {
            let key = &self.keys[start..start + key_size(operation)];
            start += key.len();
            key
        })
    }

    /// Writes the line of a meta request with its flags in recorded order.
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

    /// Writes the header, extras and key of a binary request.
    fn message(
        &mut self,
        encoder: &mut Encoder<'_>,
        operation: &Operation,
        opaque: Opaque,
    ) -> Result<(), Full> {
        use Command as C;
        let cas = self.cas_value(operation);
        let template = self.templates.get(operation.options);
        let compares = operation.command == C::Cas || template.compares;
        let tag = Tag {
            opcode: Opcode::from_command(operation.command, template.quiet, template.returns_key)
                .ok_or(Full)?,
            opaque: opaque.word(),
            cas: if compares { cas } else { 0 },
        };
        let key = &self.keys[..key_size(operation)];
        let ttl = unsigned_ttl(ttl(operation, template));
        match operation.command {
            C::Set | C::Add | C::Replace | C::Cas => {
                let item = Item {
                    client_flags: operation.flags,
                    ttl,
                };
                encoder.binary_storage(tag, key, item, operation.value_size)
            }
            C::Append | C::Prepend => encoder.binary_addition(tag, key, operation.value_size),
            C::Incr | C::Decr => encoder.binary_arithmetic(tag, key, arithmetic(operation)),
            C::Touch | C::Gat => encoder.binary_ttl(tag, key, ttl),
            C::FlushAll if operation.marks.has(Marks::TTL) => encoder.binary_ttl(tag, b"", ttl),
            _ => encoder.binary(tag, key),
        }
    }

    /// Returns the cas value to compare with; [`NO_CAS`] if the target returned none for the recorded ordinal, or if
    /// the request does not compare.
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

    /// Appends the value, with its line ending in the text and meta protocols.
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

/// True if a request that was refused is sent in a shorter form, which memcached refuses as well.
pub(crate) fn is_shortened(operations: &[Operation]) -> bool {
    operations.first().is_some_and(lacks_value) || has_refused_key(operations)
}

/// True for a storage request that was refused before its value was read. It is sent as a line without a size: every
/// memcached refuses that, and none waits for a value.
fn lacks_value(first: &Operation) -> bool {
    first.command.is_storage() && !first.marks.has(Marks::VALUE)
}

/// True for a retrieval with a key longer than memcached allows. It is sent as a bare verb: refusing a key, memcached
/// drops unsent answers of earlier requests, and refusing a bare verb it does not.
fn has_refused_key(operations: &[Operation]) -> bool {
    operations
        .iter()
        .any(|operation| is_retrieval(operation.command) && operation.marks.has(Marks::KEY_REFUSED))
}

/// Returns the bytes of the key to send, with what precedes it; a key that was refused is sent with at least one byte too many.
fn key_size(operation: &Operation) -> usize {
    let size = usize::from(operation.key_prefix) + usize::from(operation.key_size);
    if operation.marks.has(Marks::KEY_REFUSED) {
        size.max(usize::from(KEY_MAX) + 1)
    } else {
        size
    }
}

/// Returns the expiry to send, s: since 1970 if the recorded one was a point in time, else relative.
fn ttl(operation: &Operation, template: &Template) -> i32 {
    if !template.absolute {
        return operation.ttl;
    }
    let then = utc_seconds().saturating_add(operation.ttl.into());
    i32::try_from(then).unwrap_or(i32::MAX)
}

/// Returns the numbers of a binary arithmetic request.
fn arithmetic(operation: &Operation) -> Arithmetic {
    let vivifies = operation.marks.has(Marks::VIVIFIES);
    Arithmetic {
        delta: operation.delta,
        initial: vivifies.then(|| (operation.initial, unsigned_ttl(operation.vivify_ttl))),
    }
}

/// Converts an expiry for the binary protocol, which has no negative ones; they become 0.
fn unsigned_ttl(ttl: i32) -> u32 {
    u32::try_from(ttl).unwrap_or(0)
}
