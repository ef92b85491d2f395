//! memcached's version → which of its two request parsers reads the bytes.

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
