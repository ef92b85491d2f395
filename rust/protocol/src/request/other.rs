//! Lines whose verb is not a [`Command`] → memcached's answer, or none.

use super::Request;
use crate::token::{Tokens, Words};
use crate::{Command, Dialect};

/// Administrative verbs that the classic parser knows, each with the fewest and most words after it for which the
/// parser looks for `noreply`.
const ADMINISTRATION: &[(&[u8], usize, usize)] = &[
    (b"cache_memlimit", 1, 2),
    (b"extstore", 1, usize::MAX),
    (b"lru", 1, usize::MAX),
    (b"lru_crawler", 1, 0),
    (b"shutdown", 1, 0),
    (b"slabs", 2, usize::MAX),
    (b"watch", 0, usize::MAX),
];

/// First letters of verbs that the classic parser handles before it looks for an HTTP request.
const FIRST_LETTERS: &[u8] = b"gsacidt";

impl<'a> Request<'a> {
    pub(super) fn other(&mut self, tokens: Tokens<'a>, dialect: Dialect) {
        if self.verb == b"bget" && dialect == Dialect::Classic {
            self.command = Command::Get;
            return self.retrieval(tokens);
        }
        let words = Self::words(tokens, dialect);
        let known = ADMINISTRATION.iter().find(|(verb, ..)| *verb == self.verb);
        let noreply = words.last == b"noreply";
        match known {
            Some((_, least, most)) => {
                let counts = dialect == Dialect::Shared || (*least..=*most).contains(&words.count);
                self.noreply = noreply && counts;
            }
            None if self.is_http(&words, dialect) => self.closes = true,
            None => {
                self.noreply = noreply && dialect == Dialect::Shared;
                self.refused = true;
            }
        }
    }

    /// Returns true if the line ends like a browser's HTTP request, for which memcached closes the connection.
    fn is_http(&self, words: &Words<'_>, dialect: Dialect) -> bool {
        let looked_for = match (dialect, self.verb) {
            (Dialect::Classic, [] | [_] | [b'm', _]) => false,
            (Dialect::Classic, [first, ..]) => !FIRST_LETTERS.contains(first),
            (Dialect::Shared, _) => words.count > 0,
        };
        let last = if words.count == 0 {
            self.verb
        } else {
            words.last
        };
        looked_for && last.starts_with(b"HTTP/")
    }
}
