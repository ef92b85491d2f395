//! Text that strangers wrote → text for a log or a message.

use std::fmt::Write;

/// Returns text in one line, with every character that is not printable as its code (`\u{1b}`, `\u{202e}`), so that it can
/// neither steer a terminal nor forge a line.
///
/// ```
/// use membench_event::printable;
///
/// assert_eq!(printable("1.6.38"), "1.6.38");
/// assert_eq!(printable("it's \"é\"\x1b[31m\n\u{202e}"), r#"it's "é"\u{1b}[31m\n\u{202e}"#);
/// ```
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\'' | '"' | '\\' => printable.push(character),
            _ => {
                // Writing to a string does not fail.
                let _ = write!(printable, "{}", character.escape_debug());
            }
        }
    }
    printable
}
