//! Bytes → a text in quotes, escaped as strace does.

use std::fmt::Write;

/// Writes bytes in double quotes: printable ASCII as it is, everything else as a C escape.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x0b => text.push_str("\\v"),
            0x0c => text.push_str("\\f"),
            b' '..=b'~' => text.push(char::from(*byte)),
            byte => {
                // The shortest octal form that the next byte does not continue.
                let is_digit = bytes.get(index + 1).is_some_and(u8::is_ascii_digit);
                let _ = if is_digit {
                    write!(text, "\\{byte:03o}")
                } else {
                    write!(text, "\\{byte:o}")
                };
            }
        }
    }
    text.push('"');
    text
}

/// Writes the bytes up to the first zero in double quotes, followed by dots if there is none.
pub(crate) fn text(bytes: &[u8]) -> String {
    match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => quoted(bytes.get(..end).unwrap_or_default()),
        None => format!("{}...", quoted(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_printable_ascii_reaches_a_terminal() {
        assert_eq!(quoted(b"get \"a\\b\"\r\n"), r#""get \"a\\b\"\r\n""#);
        assert_eq!(quoted(b"\x1b[31m\x008\xff"), r#""\33[31m\0008\377""#);
        assert_eq!(text(b"/tmp\0rest"), "\"/tmp\"");
        assert_eq!(text(b"/tm"), "\"/tm\"...");
    }
}
