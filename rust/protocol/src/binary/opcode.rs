//! Opcode byte of a binary message → its [`Command`] and variant.

use crate::Command;

/// An opcode of the binary protocol. Any byte is one, even if memcached does not know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Opcode(pub u8);

/// The command of an opcode, and its variant of that command.
#[derive(Clone, Copy)]
struct Meaning {
    opcode: u8,
    command: Command,
    quiet: bool,
    key: bool,
}

const fn plain(opcode: u8, command: Command) -> Meaning {
    Meaning {
        opcode,
        command,
        quiet: false,
        key: false,
    }
}

const fn quiet(opcode: u8, command: Command) -> Meaning {
    Meaning {
        quiet: true,
        ..plain(opcode, command)
    }
}

const fn with_key(meaning: Meaning) -> Meaning {
    Meaning {
        key: true,
        ..meaning
    }
}

/// Every opcode that names a [`Command`].
const MEANINGS: [Meaning; 33] = [
    plain(0x00, Command::Get),
    plain(0x01, Command::Set),
    plain(0x02, Command::Add),
    plain(0x03, Command::Replace),
    plain(0x04, Command::Delete),
    plain(0x05, Command::Incr),
    plain(0x06, Command::Decr),
    plain(0x07, Command::Quit),
    plain(0x08, Command::FlushAll),
    quiet(0x09, Command::Get),
    plain(0x0a, Command::MetaNoop),
    plain(0x0b, Command::Version),
    with_key(plain(0x0c, Command::Get)),
    with_key(quiet(0x0d, Command::Get)),
    plain(0x0e, Command::Append),
    plain(0x0f, Command::Prepend),
    plain(0x10, Command::Stats),
    quiet(0x11, Command::Set),
    quiet(0x12, Command::Add),
    quiet(0x13, Command::Replace),
    quiet(0x14, Command::Delete),
    quiet(0x15, Command::Incr),
    quiet(0x16, Command::Decr),
    quiet(0x17, Command::Quit),
    quiet(0x18, Command::FlushAll),
    quiet(0x19, Command::Append),
    quiet(0x1a, Command::Prepend),
    plain(0x1b, Command::Verbosity),
    plain(0x1c, Command::Touch),
    plain(0x1d, Command::Gat),
    quiet(0x1e, Command::Gat),
    with_key(plain(0x23, Command::Gat)),
    with_key(quiet(0x24, Command::Gat)),
];

impl Opcode {
    /// Lists the mechanisms for authentication.
    pub const SASL_LIST: Self = Self(0x20);
    /// Starts an authentication; its value is a secret.
    pub const SASL_AUTH: Self = Self(0x21);
    /// Continues an authentication; its value is a secret.
    pub const SASL_STEP: Self = Self(0x22);

    /// Returns the opcode of `command` in the given variant, if there is one. A `cas` is sent as a `set`.
    pub fn from_command(command: Command, quiet: bool, returns_key: bool) -> Option<Self> {
        let command = match command {
            Command::Cas => Command::Set,
            other => other,
        };
        MEANINGS
            .iter()
            .find(|meaning| {
                (meaning.command, meaning.quiet, meaning.key) == (command, quiet, returns_key)
            })
            .map(|meaning| Self(meaning.opcode))
    }

    /// The command; [`Command::Other`] for authentication, range operations and unknown opcodes.
    pub fn command(self) -> Command {
        self.meaning()
            .map_or(Command::Other, |meaning| meaning.command)
    }

    /// True if memcached does not answer the ordinary outcome: the miss of a retrieval, the success of anything else.
    pub fn is_quiet(self) -> bool {
        self.meaning().is_some_and(|meaning| meaning.quiet)
    }

    /// True if the response repeats the key.
    pub fn returns_key(self) -> bool {
        self.meaning().is_some_and(|meaning| meaning.key)
    }

    /// True if memcached implements the opcode. It does not implement `verbosity`, which the protocol defines.
    pub(super) fn is_known(self) -> bool {
        self.is_sasl() || !matches!(self.command(), Command::Other | Command::Verbosity)
    }

    /// True if the opcode is part of an authentication.
    pub fn is_sasl(self) -> bool {
        matches!(self, Self::SASL_LIST | Self::SASL_AUTH | Self::SASL_STEP)
    }

    fn meaning(self) -> Option<&'static Meaning> {
        MEANINGS.iter().find(|meaning| meaning.opcode == self.0)
    }
}
