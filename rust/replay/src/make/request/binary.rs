//! An operation of the binary protocol → its header, extras and key.

use membench_protocol::binary::{Arithmetic, Item, Opcode, Tag};
use membench_protocol::encode::{Encoder, Full};

use membench_event::Command;

use super::{Requests, key_size, ttl};
use crate::make::opaque::Opaque;
use crate::operation::{Marks, Operation};

impl Requests {
    /// Writes all of a request but its value.
    pub(crate) fn message(
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
        let ttl = seconds(ttl(operation, template));
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
}

fn arithmetic(operation: &Operation) -> Arithmetic {
    let vivifies = operation.marks.has(Marks::VIVIFIES);
    Arithmetic {
        delta: operation.delta,
        initial: vivifies.then(|| (operation.initial, seconds(operation.vivify_ttl))),
    }
}

/// An expiry as this protocol has it, without sign.
fn seconds(ttl: i32) -> u32 {
    u32::try_from(ttl).unwrap_or(0)
}
