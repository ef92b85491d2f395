//! Operations → request lines, written into the caller's buffer.

use crate::Command;

/// The error of a buffer that is too short; nothing of the request was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl core::fmt::Display for Full {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str("request longer than its buffer")
    }
}

impl core::error::Error for Full {}

/// Writes requests into a buffer, one after another. Words (keys, tokens) are written verbatim: the caller must keep
/// spaces and line ends out of them.
///
/// ```
/// use membench_protocol::{Command, encode::Encoder};
///
/// let mut buffer = [0; 64];
/// let mut encoder = Encoder::new(&mut buffer);
/// encoder.retrieval(Command::Get, None, [&b"one"[..], b"two"])?;
/// encoder.touch(b"one", 60, true)?;
/// let written = encoder.written();
/// assert_eq!(&buffer[..written], b"get one two\r\ntouch one 60 noreply\r\n");
/// # Ok::<(), membench_protocol::encode::Full>(())
/// ```
#[derive(Debug)]
pub struct Encoder<'b> {
    out: &'b mut [u8],
    written: usize,
}

/// The arguments of a text storage command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage<'a> {
    /// The item's key.
    pub key: &'a [u8],
    /// Client flags.
    pub client_flags: u32,
    /// Expiry, s.
    pub ttl: i32,
    /// Size of the data block, bytes.
    pub size: u32,
    /// The cas value to compare with, for `cas` only.
    pub cas: Option<u64>,
    /// True to ask for no answer.
    pub noreply: bool,
}

/// A flag of a meta command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag<'a> {
    /// A letter alone.
    Bare(u8),
    /// A letter and an unsigned number.
    Number(u8, u64),
    /// A letter and an expiry, s.
    Ttl(u8, i32),
    /// A letter and a word: mode, opaque token.
    Word(u8, &'a [u8]),
}

impl<'b> Encoder<'b> {
    /// Creates an encoder that fills `out` from its start.
    pub const fn new(out: &'b mut [u8]) -> Self {
        Self { out, written: 0 }
    }

    /// Bytes written so far.
    pub const fn written(&self) -> usize {
        self.written
    }

    /// Writes a `get` or `gets`; with a `ttl`, a `gat` or `gats`.
    pub fn retrieval<'a>(
        &mut self,
        command: Command,
        ttl: Option<i32>,
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Full> {
        self.line(command, |line| {
            if let Some(ttl) = ttl {
                line.signed(ttl)?;
            }
            keys.into_iter().try_for_each(|key| line.word(key))
        })
    }

    /// Writes the line of a `set`, `add`, `replace`, `append`, `prepend` or `cas`; [`Encoder::value`] writes the data
    /// block.
    pub fn storage(&mut self, command: Command, storage: &Storage<'_>) -> Result<(), Full> {
        let Storage {
            key,
            client_flags,
            ttl,
            size,
            cas,
            noreply,
        } = *storage;
        self.line(command, |line| {
            line.word(key)?;
            line.number(client_flags.into())?;
            line.signed(ttl)?;
            line.number(size.into())?;
            if let Some(cas) = cas {
                line.number(cas)?;
            }
            line.noreply(noreply)
        })
    }

    /// Writes a data block and its line end.
    pub fn value(&mut self, value: &[u8]) -> Result<(), Full> {
        self.all_or_nothing(|block| {
            block.bytes(value)?;
            block.bytes(b"\r\n")
        })
    }

    /// Writes an `incr` or `decr`.
    pub fn arithmetic(
        &mut self,
        command: Command,
        key: &[u8],
        delta: u64,
        noreply: bool,
    ) -> Result<(), Full> {
        self.line(command, |line| {
            line.word(key)?;
            line.number(delta)?;
            line.noreply(noreply)
        })
    }

    /// Writes a `delete`.
    pub fn delete(&mut self, key: &[u8], noreply: bool) -> Result<(), Full> {
        self.line(Command::Delete, |line| {
            line.word(key)?;
            line.noreply(noreply)
        })
    }

    /// Writes a `touch`.
    pub fn touch(&mut self, key: &[u8], ttl: i32, noreply: bool) -> Result<(), Full> {
        self.line(Command::Touch, |line| {
            line.word(key)?;
            line.signed(ttl)?;
            line.noreply(noreply)
        })
    }

    /// Writes a `flush_all` that takes effect after `delay` s.
    pub fn flush_all(&mut self, delay: Option<i32>, noreply: bool) -> Result<(), Full> {
        self.line(Command::FlushAll, |line| {
            if let Some(delay) = delay {
                line.signed(delay)?;
            }
            line.noreply(noreply)
        })
    }

    /// Writes a `verbosity`.
    pub fn verbosity(&mut self, level: u32, noreply: bool) -> Result<(), Full> {
        self.line(Command::Verbosity, |line| {
            line.number(level.into())?;
            line.noreply(noreply)
        })
    }

    /// Writes a command whose arguments, if any, are plain words: `stats items`, `version`, `quit`, `mn`.
    pub fn plain<'a>(
        &mut self,
        command: Command,
        words: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Full> {
        self.line(command, |line| {
            words.into_iter().try_for_each(|word| line.word(word))
        })
    }

    /// Writes an `mg`, `ms`, `md`, `ma` or `me`. Only `ms` has a `size`, that of its data block.
    pub fn meta<'a>(
        &mut self,
        command: Command,
        key: &[u8],
        size: Option<u32>,
        flags: impl IntoIterator<Item = Flag<'a>>,
    ) -> Result<(), Full> {
        self.line(command, |line| {
            line.word(key)?;
            if let Some(size) = size {
                line.number(size.into())?;
            }
            flags.into_iter().try_for_each(|flag| line.flag(flag))
        })
    }

    fn line(
        &mut self,
        command: Command,
        words: impl FnOnce(&mut Self) -> Result<(), Full>,
    ) -> Result<(), Full> {
        self.all_or_nothing(|line| {
            line.bytes(command.name().as_bytes())?;
            words(line)?;
            line.bytes(b"\r\n")
        })
    }

    /// Runs `write`; if it fails, takes back whatever it had written.
    pub(crate) fn all_or_nothing(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let start = self.written;
        let result = write(self);
        if result.is_err() {
            self.written = start;
        }
        result
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let place = self.out.get_mut(self.written..).ok_or(Full)?;
        place
            .get_mut(..bytes.len())
            .ok_or(Full)?
            .copy_from_slice(bytes);
        self.written += bytes.len();
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Full> {
        self.bytes(b" ")?;
        self.bytes(word)
    }

    fn number(&mut self, value: u64) -> Result<(), Full> {
        self.bytes(b" ")?;
        self.digits(value)
    }

    fn signed(&mut self, value: i32) -> Result<(), Full> {
        self.bytes(if value < 0 { b" -" } else { b" " })?;
        self.digits(value.unsigned_abs().into())
    }

    fn noreply(&mut self, noreply: bool) -> Result<(), Full> {
        self.bytes(if noreply { b" noreply" } else { b"" })
    }

    fn flag(&mut self, flag: Flag<'_>) -> Result<(), Full> {
        let (Flag::Bare(letter)
        | Flag::Number(letter, _)
        | Flag::Ttl(letter, _)
        | Flag::Word(letter, _)) = flag;
        self.bytes(&[b' ', letter])?;
        match flag {
            Flag::Bare(_) => Ok(()),
            Flag::Number(_, value) => self.digits(value),
            Flag::Ttl(_, ttl) => {
                self.bytes(if ttl < 0 { b"-" } else { b"" })?;
                self.digits(ttl.unsigned_abs().into())
            }
            Flag::Word(_, word) => self.bytes(word),
        }
    }

    fn digits(&mut self, mut value: u64) -> Result<(), Full> {
        // The longest u64 has 20 digits.
        let mut digits = [b'0'; 20];
        let mut start = digits.len();
        for digit in digits.iter_mut().rev() {
            start -= 1;
            *digit += u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.bytes(&digits[start..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(expected: &[u8], write: impl Fn(&mut Encoder<'_>) -> Result<(), Full>) {
        let mut out = [0; 256];
        let mut encoder = Encoder::new(&mut out);
        assert_eq!(write(&mut encoder), Ok(()));
        let written = encoder.written();
        assert_eq!(str::from_utf8(&out[..written]), str::from_utf8(expected));
        let mut short = [0; 256];
        let mut encoder = Encoder::new(&mut short[..written - 1]);
        assert_eq!(write(&mut encoder), Err(Full));
        assert_eq!(encoder.written(), 0);
    }

    #[test]
    fn each_request_is_written_whole_or_not_at_all() {
        encoded(b"get a b\r\n", |out| {
            out.retrieval(Command::Get, None, [&b"a"[..], b"b"])
        });
        encoded(b"gats -1 a\r\n", |out| {
            out.retrieval(Command::Gats, Some(-1), [&b"a"[..]])
        });
        let storage = Storage {
            key: b"k",
            client_flags: u32::MAX,
            ttl: i32::MIN,
            size: 10,
            cas: None,
            noreply: true,
        };
        encoded(b"set k 4294967295 -2147483648 10 noreply\r\n", |out| {
            out.storage(Command::Set, &storage)
        });
        let with_cas = Storage {
            cas: Some(u64::MAX),
            noreply: false,
            ..storage
        };
        encoded(
            b"cas k 4294967295 -2147483648 10 18446744073709551615\r\n",
            |out| out.storage(Command::Cas, &with_cas),
        );
        encoded(b"abc\r\n", |out| out.value(b"abc"));
        encoded(b"incr k 0 noreply\r\n", |out| {
            out.arithmetic(Command::Incr, b"k", 0, true)
        });
        encoded(b"delete k\r\n", |out| out.delete(b"k", false));
        encoded(b"touch k 100\r\n", |out| out.touch(b"k", 100, false));
        encoded(b"flush_all 5 noreply\r\n", |out| {
            out.flush_all(Some(5), true)
        });
        encoded(b"verbosity 1\r\n", |out| out.verbosity(1, false));
        encoded(b"stats items\r\n", |out| {
            out.plain(Command::Stats, [&b"items"[..]])
        });
        encoded(b"ms a2V5 5 b T-1 F7 MA Oabc\r\n", |out| {
            let flags = [
                Flag::Bare(b'b'),
                Flag::Ttl(b'T', -1),
                Flag::Number(b'F', 7),
                Flag::Word(b'M', b"A"),
                Flag::Word(b'O', b"abc"),
            ];
            out.meta(Command::MetaSet, b"a2V5", Some(5), flags)
        });
    }
}
