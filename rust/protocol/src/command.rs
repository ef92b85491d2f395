//! First word of a request → [`Command`].

/// A verb of memcached's protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant is the command of that name")]
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
    /// Anything else: administration, unknown verbs, lines that are not commands.
    Other,
}

impl Command {
    /// Every command, in order of its discriminant.
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

    /// The name used in profiles and reports: the verb, or `other`.
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

    /// Returns the command that the first word of a request line names; [`Command::Other`] for any other word.
    pub fn from_verb(verb: &[u8]) -> Self {
        match verb {
            b"get" => Self::Get,
            b"set" => Self::Set,
            b"mg" => Self::MetaGet,
            b"ms" => Self::MetaSet,
            b"gets" => Self::Gets,
            b"gat" => Self::Gat,
            b"gats" => Self::Gats,
            b"add" => Self::Add,
            b"replace" => Self::Replace,
            b"append" => Self::Append,
            b"prepend" => Self::Prepend,
            b"cas" => Self::Cas,
            b"delete" => Self::Delete,
            b"incr" => Self::Incr,
            b"decr" => Self::Decr,
            b"touch" => Self::Touch,
            b"md" => Self::MetaDelete,
            b"ma" => Self::MetaArithmetic,
            b"mn" => Self::MetaNoop,
            b"me" => Self::MetaDebug,
            b"stats" => Self::Stats,
            b"flush_all" => Self::FlushAll,
            b"version" => Self::Version,
            b"verbosity" => Self::Verbosity,
            b"quit" => Self::Quit,
            _ => Self::Other,
        }
    }

    /// True if the command belongs to the meta protocol.
    pub const fn is_meta(self) -> bool {
        matches!(
            self,
            Self::MetaGet
                | Self::MetaSet
                | Self::MetaDelete
                | Self::MetaArithmetic
                | Self::MetaNoop
                | Self::MetaDebug
        )
    }

    /// True if the request carries a value to store.
    pub const fn is_storage(self) -> bool {
        matches!(
            self,
            Self::Set
                | Self::Add
                | Self::Replace
                | Self::Append
                | Self::Prepend
                | Self::Cas
                | Self::MetaSet
        )
    }
}
