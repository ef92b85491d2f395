//! Lines whose verb is not a [`Command`] → memcached's answer, or none.

use super::{Form, Request};
use crate::token::{Tokens, Words};
use crate::{Command, Dialect};

/// Administrative verbs that memcached knows, each with the fewest and most words after it for which the classic parser
/// looks for `noreply`. Only builds for memcached's own tests know the verbs that begin with `debug`, and `misbehave`.
const ADMINISTRATION: &[(&[u8], usize, usize)] = &[
    (b"cache_memlimit", 1, 2),
    (b"debugitem", 1, 0),
    (b"debugtime", 1, 0),
    (b"extstore", 1, usize::MAX),
    (b"lru", 1, usize::MAX),
    (b"lru_crawler", 1, 0),
    (b"misbehave", 1, 0),
    (b"refresh_certs", 1, 0),
    (b"shutdown", 1, 0),
    (b"slabs", 2, usize::MAX),
    (b"watch", 0, usize::MAX),
];

/// First letters of verbs that the classic parser handles before it looks for an HTTP request.
const FIRST_LETTERS: &[u8] = b"gsacidt";

impl<'a> Request<'a> {
    pub(super) fn other(&mut self, tokens: Tokens<'a>, dialect: Dialect) {
        if self.verb == b"bget" && !dialect.is_shared() {
            self.command = Command::Get;
            return self.retrieval(tokens);
        }
        let words = Self::words(tokens, dialect);
        let known = ADMINISTRATION.iter().find(|(verb, ..)| *verb == self.verb);
        let noreply = words.last == b"noreply";
        match known {
            Some((_, least, most)) => {
                self.form = form(self.verb, words.get(0));
                self.noreply = noreply
                    && match (dialect.is_shared(), self.verb) {
                        (true, verb) => !matches!(verb, b"refresh_certs" | b"watch"),
                        (false, b"slabs") if words.get(0) != b"automove" => false,
                        (false, _) => (*least..=*most).contains(&words.count),
                    };
            }
            None if self.is_http(&words, dialect) => self.closes = true,
            None => {
                self.noreply = noreply && dialect.is_shared();
                self.refused = true;
            }
        }
    }

    /// Returns true if the line ends like a browser's HTTP request, for which memcached closes the connection.
    fn is_http(&self, words: &Words<'_>, dialect: Dialect) -> bool {
        let looked_for = match self.verb {
            _ if dialect.is_shared() => words.count > 0,
            [] | [_] | [b'm', _] => false,
            [first, ..] => !FIRST_LETTERS.contains(first),
        };
        let last = if words.count == 0 {
            self.verb
        } else {
            words.last
        };
        looked_for && last.starts_with(b"HTTP/")
    }
}

/// Returns the form of the answer to an administrative request.
fn form(verb: &[u8], action: &[u8]) -> Form {
    match (verb, action) {
        (b"lru_crawler", b"metadump") => Form::Dump,
        (b"lru_crawler", b"mgdump") => Form::Names,
        (b"watch", _) => Form::Log,
        _ => Form::Single,
    }
}
