//! memcached's version → which of its two request parsers reads the bytes.

/// The last version of 1.6 that was seen with the classic parser, and the first with the shared one.
const CLASSIC_UNTIL: u32 = 38;
const SHARED_SINCE: u32 = 42;

/// memcached replaced its request parser during 1.6; both accept the same well-formed requests, but differ on which
/// refused storage lines have their data block read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// As in 1.6.18: a text storage line refused for its key or numbers has no data block; what follows is read as
    /// commands.
    #[default]
    Classic,
    /// As in 1.6.42, whose parser is shared with its proxy: a text storage line with a readable size has its data block
    /// read even if refused for another reason.
    Shared,
}

impl Dialect {
    /// The dialect of a version, as `version` and `stats` answer it; none where it is not known: between the versions
    /// that were looked at, and beyond 1.6.
    pub fn of_version(version: &[u8]) -> Option<Self> {
        let mut numbers = version.split(|byte| !byte.is_ascii_digit());
        let mut next = || core::str::from_utf8(numbers.next()?).ok()?.parse().ok();
        let (major, minor, patch): (u32, u32, u32) = (next()?, next()?, next()?);
        match (major, minor) {
            (1, ..6) => Some(Self::Classic),
            (1, 6) if patch <= CLASSIC_UNTIL => Some(Self::Classic),
            (1, 6) if patch >= SHARED_SINCE => Some(Self::Shared),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_tells_its_dialect_or_nothing() {
        let table: &[(&[u8], Option<Dialect>)] = &[
            (b"1.6.18", Some(Dialect::Classic)),
            (b"1.6.38", Some(Dialect::Classic)),
            (b"1.5.22-beta", Some(Dialect::Classic)),
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
            assert_eq!(Dialect::of_version(version), *expected, "{version:?}");
        }
    }
}
