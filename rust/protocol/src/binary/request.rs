//! Binary request at the start of some bytes → [`Request`]: the operation, and the bytes memcached reads for it.

use super::header::{HEADER_SIZE, Header, REQUEST_MAGIC};
use super::opcode::Opcode;
use crate::{Command, KEY_SIZE_MAX, Keys, ParseError, Request, Status};

/// Largest body, bytes. If a body is larger, memcached 1.6.45 closes the connection, and 1.6.18 refuses the item.
pub const BODY_SIZE_MAX: u32 = 1 << 30;

/// The expiry with which `incr` and `decr` do not create a missing counter.
const NO_COUNTER: u32 = u32::MAX;

/// Parses header, extras and key of the request at the start of `bytes`. `consumed` covers only these;
/// [`Request::block_size`] more bytes belong to the request.
///
/// memcached answers a request that breaks its rules with an error, then closes the connection: such a request has
/// `refused` and `closes` set. Only a wrong first byte is an error here; memcached closes the connection without an
/// answer.
pub fn parse(bytes: &[u8]) -> Result<Status<Request<'_>>, ParseError> {
    let Some(header) = Header::read(bytes, REQUEST_MAGIC)? else {
        return Ok(Status::Partial);
    };
    let Some((extras, key)) = header.split(bytes) else {
        return Ok(Status::Partial);
    };
    let mut request = Request::from_opcode(header.opcode, bytes.get(12..16));
    request.read_body(&header, extras, key);
    Ok(Status::Complete {
        value: request,
        consumed: header.start_size(),
    })
}

/// Returns true if `bytes` start with a well-formed request; if `partial`, its key may still be incomplete.
///
/// Serves to resynchronise with a stream and is therefore stricter than memcached: the opcode must be known, data
/// type and reserved field must be 0, the body at most [`BODY_SIZE_MAX`], and the lengths allowed for the opcode.
pub fn begins_request(bytes: &[u8], partial: bool) -> bool {
    let Ok(Some(header)) = Header::read(bytes, REQUEST_MAGIC) else {
        return false;
    };
    let plausible = header.data_type == 0
        && header.status == 0
        && header.opcode.is_known()
        && header.body <= BODY_SIZE_MAX
        && header.accepted();
    plausible && (partial || bytes.len() >= header.start_size())
}

impl Header {
    /// True if memcached accepts these lengths for this opcode.
    fn accepted(&self) -> bool {
        use Command as C;
        let Some(value) = self.value_size() else {
            return false;
        };
        let (key, extras) = (usize::from(self.key), self.extras);
        if key > KEY_SIZE_MAX {
            return false;
        }
        match self.opcode.command() {
            C::Get | C::Delete => key > 0 && extras == 0 && value == 0,
            C::Set | C::Add | C::Replace => key > 0 && extras == 8,
            C::Append | C::Prepend => key > 0 && extras == 0,
            C::Incr | C::Decr => key > 0 && extras == 20 && value == 0,
            C::Touch | C::Gat => key > 0 && extras == 4,
            C::FlushAll => key == 0 && value == 0 && matches!(extras, 0 | 4),
            C::MetaNoop | C::Version | C::Quit => self.body == 0,
            C::Stats => extras == 0,
            _ if self.opcode == Opcode::SASL_LIST => self.body == 0,
            _ if self.opcode.is_sasl() => key > 0 && extras == 0,
            _ => true,
        }
    }

    /// Bytes that memcached reads after the key. Storage commands and authentication read their value. For an unknown
    /// opcode memcached discards a whole `body`, on top of the extras and key it has already read. Any other opcode
    /// reads nothing more: memcached parses the bytes of a value as the next request.
    fn block(&self) -> u32 {
        if !self.opcode.is_known() {
            return self.body;
        }
        let command = self.opcode.command();
        let reads_value = command.is_storage() || self.opcode.is_sasl();
        if reads_value {
            self.value_size().unwrap_or(0)
        } else {
            0
        }
    }
}

impl<'a> Request<'a> {
    fn from_opcode(opcode: Opcode, opaque: Option<&'a [u8]>) -> Self {
        let command = opcode.command();
        let mut request = Self::empty(command);
        request.opcode = Some(opcode);
        request.opaque = opaque;
        request.closes = command == Command::Quit;
        request.noreply = request.closes && opcode.is_quiet();
        if opcode.is_quiet() {
            request.letters.insert(b'q');
        }
        if opcode.returns_key() {
            request.letters.insert(b'k');
        }
        request
    }

    fn read_body(&mut self, header: &Header, extras: &[u8], key: &'a [u8]) {
        if !header.accepted() {
            self.refused = true;
            self.closes = true;
            self.noreply = false;
            return;
        }
        self.block = header.block();
        self.refused = !header.opcode.is_known();
        self.resets = self.command == Command::Stats && key == b"reset";
        if self.refused || header.opcode.is_sasl() || self.command == Command::Stats {
            return;
        }
        if !key.is_empty() {
            self.keys = Keys::one(key, false);
        }
        if header.cas != 0 {
            self.compare(header.cas);
        }
        if self.command.is_storage() {
            self.value_size = Some(self.block);
        }
        self.read_extras(extras);
    }

    /// Records a cas value other than 0 for the commands that compare it: storage, arithmetic and `delete`. memcached
    /// treats `set`, `add` and `replace` with a cas value as one command: [`Command::Cas`].
    fn compare(&mut self, cas: u64) {
        use Command::{Add, Append, Cas, Decr, Delete, Incr, Prepend, Replace, Set};
        match self.command {
            Set | Add | Replace => self.command = Cas,
            Append | Prepend | Incr | Decr | Delete => {
                self.letters.insert(b'C');
            }
            _ => return,
        }
        self.cas = Some(cas);
    }

    fn read_extras(&mut self, extras: &[u8]) {
        match *extras {
            [t0, t1, t2, t3] => self.ttl = Some(expiry(u32::from_be_bytes([t0, t1, t2, t3]))),
            [f0, f1, f2, f3, t0, t1, t2, t3] => {
                self.client_flags = Some(u32::from_be_bytes([f0, f1, f2, f3]));
                self.ttl = Some(expiry(u32::from_be_bytes([t0, t1, t2, t3])));
            }
            [
                d0,
                d1,
                d2,
                d3,
                d4,
                d5,
                d6,
                d7,
                i0,
                i1,
                i2,
                i3,
                i4,
                i5,
                i6,
                i7,
                t0,
                t1,
                t2,
                t3,
            ] => {
                self.delta = Some(u64::from_be_bytes([d0, d1, d2, d3, d4, d5, d6, d7]));
                let ttl = u32::from_be_bytes([t0, t1, t2, t3]);
                if ttl != NO_COUNTER {
                    self.initial = Some(u64::from_be_bytes([i0, i1, i2, i3, i4, i5, i6, i7]));
                    self.vivify_ttl = Some(expiry(ttl));
                }
            }
            _ => {}
        }
    }
}

/// Converts an expiry as sent. memcached reads it as unsigned, so a value beyond `i32` is in the far future: it
/// saturates.
fn expiry(sent: u32) -> i32 {
    i32::try_from(sent).unwrap_or(i32::MAX)
}

const _: () = assert!(HEADER_SIZE == 24, "the opaque value is bytes 12..16");
