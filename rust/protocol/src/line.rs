//! Bytes → the line at their start.

use memchr::memchr;

/// Longest incomplete line, bytes. Beyond it, memcached closes the connection of a client that has sent no line end
/// yet, unless the line is a `get` or `gets`. Response lines must end within it.
pub const LINE_SIZE_MAX: usize = 2048;

/// Leading spaces that memcached tolerates before a long `get`.
const LEADING_SPACES_MAX: usize = 100;

/// Returns the line at the start of `bytes` without its line end, and its size including the line end. As in memcached,
/// a lone `\n` ends a line, and `\r` belongs to the line end only if something precedes it.
#[inline]
pub(crate) fn split(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr(b'\n', bytes)?;
    let line = match &bytes[..end] {
        [text @ .., b'\r'] if !text.is_empty() => text,
        text => text,
    };
    Some((line, end + 1))
}

/// Returns true if memcached waits for the rest of a request line of which it has read `partial`; otherwise it closes
/// the connection. Only `get` and `gets` lines may exceed [`LINE_SIZE_MAX`]. memcached checks this after each read, so
/// a longer line is accepted if it arrives whole.
pub fn may_grow(partial: &[u8]) -> bool {
    if partial.len() <= LINE_SIZE_MAX {
        return true;
    }
    let spaces = partial.iter().take_while(|byte| **byte == b' ').count();
    let text = &partial[spaces..];
    spaces <= LEADING_SPACES_MAX && (text.starts_with(b"get ") || text.starts_with(b"gets "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_its_newline_with_or_without_carriage_return() {
        type Case = (&'static [u8], Option<(&'static [u8], usize)>);
        let table: &[Case] = &[
            (b"", None),
            (b"get a", None),
            (b"get a\r", None),
            (b"get a\r\nget b\r\n", Some((b"get a", 7))),
            (b"get a\nx", Some((b"get a", 6))),
            (b"\n", Some((b"", 1))),
            (b"\r\n", Some((b"\r", 2))),
            (b"a\r\r\n", Some((b"a\r", 4))),
        ];
        for (bytes, expected) in table {
            assert_eq!(split(bytes), *expected);
        }
    }

    #[test]
    fn only_multigets_outgrow_the_line_limit() {
        let mut long = [b'x'; LINE_SIZE_MAX + 1];
        assert!(may_grow(&long[..LINE_SIZE_MAX]));
        assert!(!may_grow(&long));
        long[..4].copy_from_slice(b"get ");
        assert!(may_grow(&long));
        long[..9].copy_from_slice(b"    gets ");
        assert!(may_grow(&long));
        long[..4].copy_from_slice(b"gat ");
        assert!(!may_grow(&long));
        long[..105].fill(b' ');
        long[105..109].copy_from_slice(b"get ");
        assert!(!may_grow(&long));
    }
}
