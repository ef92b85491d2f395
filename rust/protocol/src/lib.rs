//! memcached's protocols: bytes in, borrowed tokens out.
#![no_std]

/// A verb of memcached's protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is the command of that name")]
pub enum Command {
    Get,
    Gets,
    Gat,
    Gats,
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    Cas,
    Delete,
    Incr,
    Decr,
    Touch,
    MetaGet,
    MetaSet,
    MetaDelete,
    MetaArithmetic,
    MetaNoop,
    MetaDebug,
    Stats,
    FlushAll,
    Version,
    Verbosity,
    Quit,
    /// Anything else: administration, unknown verbs, lines that are no command.
    Other,
}

impl Command {
    /// Every command, in the order of its number.
    pub const ALL: [Self; 26] = [
        Self::Get,
        Self::Gets,
        Self::Gat,
        Self::Gats,
        Self::Set,
        Self::Add,
        Self::Replace,
        Self::Append,
        Self::Prepend,
        Self::Cas,
        Self::Delete,
        Self::Incr,
        Self::Decr,
        Self::Touch,
        Self::MetaGet,
        Self::MetaSet,
        Self::MetaDelete,
        Self::MetaArithmetic,
        Self::MetaNoop,
        Self::MetaDebug,
        Self::Stats,
        Self::FlushAll,
        Self::Version,
        Self::Verbosity,
        Self::Quit,
        Self::Other,
    ];

    /// The name used in profiles and reports: the verb itself.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Gets => "gets",
            Self::Gat => "gat",
            Self::Gats => "gats",
            Self::Set => "set",
            Self::Add => "add",
            Self::Replace => "replace",
            Self::Append => "append",
            Self::Prepend => "prepend",
            Self::Cas => "cas",
            Self::Delete => "delete",
            Self::Incr => "incr",
            Self::Decr => "decr",
            Self::Touch => "touch",
            Self::MetaGet => "mg",
            Self::MetaSet => "ms",
            Self::MetaDelete => "md",
            Self::MetaArithmetic => "ma",
            Self::MetaNoop => "mn",
            Self::MetaDebug => "me",
            Self::Stats => "stats",
            Self::FlushAll => "flush_all",
            Self::Version => "version",
            Self::Verbosity => "verbosity",
            Self::Quit => "quit",
            Self::Other => "other",
        }
    }
}
