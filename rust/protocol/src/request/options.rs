//! A request's flags → their canonical text.

use core::fmt;

use super::Request;
use crate::flags::Letters;

/// Letters of all flags of all versions of memcached.
const LETTERS: Letters = Letters::new(b"bcCDEfFhIJkKlLMNOPqRsStTuvx");
/// Letters that describe a binary request, in the order they are written.
const BINARY_LETTERS: &[u8] = b"qkC";
/// Modes of flag `M` in all versions of memcached.
const MODES: Letters = Letters::new(b"EAPRSID+-earpsid");

pub(super) fn write(request: &Request<'_>, out: &mut impl fmt::Write) -> fmt::Result {
    if request.opcode.is_some() {
        return write_letters(request, out);
    }
    if request.noreply {
        return out.write_str("noreply");
    }
    let mut written = Letters::default();
    let mut separator = "";
    for flag in request.flags.clone() {
        if !LETTERS.has(flag.letter) || !written.insert(flag.letter) {
            continue;
        }
        out.write_str(separator)?;
        out.write_char(char::from(flag.letter))?;
        if let (b'M', [mode]) = (flag.letter, flag.token)
            && MODES.has(*mode)
        {
            out.write_char(char::from(*mode))?;
        }
        separator = " ";
    }
    Ok(())
}

/// Writes the properties of a binary request as the letters of the equivalent meta flags.
fn write_letters(request: &Request<'_>, out: &mut impl fmt::Write) -> fmt::Result {
    let mut separator = "";
    for letter in BINARY_LETTERS {
        if request.letters.has(*letter) {
            out.write_str(separator)?;
            out.write_char(char::from(*letter))?;
            separator = " ";
        }
    }
    Ok(())
}
