//! memcached's version → the one of its request parsers that reads the bytes.

/// Newest patch release of 1.6 known to speak the first form of the meta protocol.
const EARLY_UNTIL: u32 = 9;
/// Oldest and newest patch release of 1.6 known to have the classic parser.
const CLASSIC: core::ops::RangeInclusive<u32> = 12..=38;
/// Oldest patch release of 1.6 known to have the shared parser.
const SHARED_SINCE: u32 = 42;

/// The request parser of a memcached, which was replaced during 1.6. All parsers accept the same well-formed requests,
/// except for the first form of the meta protocol. They differ in the malformed ones they tolerate, and in the refused
/// storage lines whose data block they read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The parser of 1.6.9: the classic one, but `ms` gives the size of its data block with flag `S`, and `OK` is the
    /// answer that later releases call `HD`.
    Early,
    /// The parser of 1.6.18: a text storage line that is refused for its key or numbers has no data block; the bytes
    /// after it are parsed as commands.
    #[default]
    Classic,
    /// The parser of 1.6.42, which it shares with its proxy: a text storage line with a readable size has its data
    /// block read, even if the line is refused for another reason.
    Shared,
}

impl Dialect {
    /// Returns the dialect of a version string as `version` and `stats` report it. `None` if the parser is unknown: for
    /// the releases between those examined, and for anything newer than 1.6.
    pub fn from_version(version: &[u8]) -> Option<Self> {
        let mut numbers = version.split(|byte| !byte.is_ascii_digit());
        let mut next = || core::str::from_utf8(numbers.next()?).ok()?.parse().ok();
        let (major, minor, patch): (u32, u32, u32) = (next()?, next()?, next()?);
        match (major, minor) {
            (1, ..6) => Some(Self::Early),
            (1, 6) if patch <= EARLY_UNTIL => Some(Self::Early),
            (1, 6) if CLASSIC.contains(&patch) => Some(Self::Classic),
            (1, 6) if patch >= SHARED_SINCE => Some(Self::Shared),
            _ => None,
        }
    }

    /// True for the parser that memcached shares with its proxy.
    pub(crate) fn is_shared(self) -> bool {
        self == Self::Shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_a_dialect_only_if_their_parser_is_known() {
        let table: &[(&[u8], Option<Dialect>)] = &[
            (b"1.6.9", Some(Dialect::Early)),
            (b"1.6.10", None),
            (b"1.6.12", Some(Dialect::Classic)),
            (b"1.6.18", Some(Dialect::Classic)),
            (b"1.6.38", Some(Dialect::Classic)),
            (b"1.5.22-beta", Some(Dialect::Early)),
            (b"1.6.40", None),
            (b"1.6.42", Some(Dialect::Shared)),
            (b"1.6.45_1_g2d51e36", Some(Dialect::Shared)),
            (b"1.7.0", None),
            (b"2.0.1", None),
            (b"1.6", None),
            (b"", None),
            (b"UNKNOWN", None),
            (b"1.6.99999999999", None),
        ];
        for (version, expected) in table {
            assert_eq!(Dialect::from_version(version), *expected, "{version:?}");
        }
    }
}
