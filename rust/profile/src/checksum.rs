//! Bytes of a file → their number and CRC-32, by which a reader tells that they are as they were written.
//!
//! CRC-32 notices every flipped bit, every run of up to 32 damaged bits, and all but one in 4 × 10⁹ of other damages.
//! It is that of zlib, so that other programs can check a profile. It does not show who wrote a file.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};

/// Bytes read at a time.
const READ: usize = 1 << 18;

/// CRC-32 of a file, written as 8 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum(u32);

impl Checksum {
    /// Computes the checksum of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(crc32fast::hash(bytes))
    }

    /// Computes the checksum of the first `length` bytes of a file. Fails if there are fewer.
    pub(super) fn of_file(file: &File, length: u64) -> io::Result<Self> {
        let mut hasher = Hasher::new();
        let mut space = vec![0; READ];
        let mut position = 0;
        while position < length {
            let wanted = usize::try_from(length - position).map_or(READ, |left| left.min(READ));
            let read = file.read_at(&mut space[..wanted], position)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hasher.update(&space[..read]);
            position += read as u64;
        }
        Ok(Self(hasher.finalize()))
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        format!("{:08x}", checksum.0)
    }
}

impl TryFrom<String> for Checksum {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_plain = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u32::from_str_radix(&text, 16).ok().filter(|_| is_plain);
        number
            .map(Self)
            .ok_or_else(|| "a checksum that is not 8 hexadecimal digits".into())
    }
}

/// A sink that sums up what is written to it.
pub(super) struct Summed<W> {
    sink: W,
    hasher: Hasher,
    bytes: u64,
}

impl<W> Summed<W> {
    pub(super) fn new(sink: W) -> Self {
        Self {
            sink,
            hasher: Hasher::new(),
            bytes: 0,
        }
    }

    /// Returns the number of bytes written, and their checksum.
    pub(super) fn sums(&self) -> (u64, Checksum) {
        (self.bytes, Checksum(self.hasher.clone().finalize()))
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_zlib() {
        let text: String = Checksum::of(b"123456789").into();
        assert_eq!(text, "cbf43926");
        assert_eq!(Checksum::try_from(text), Ok(Checksum::of(b"123456789")));
    }

    #[test]
    fn anything_but_eight_digits_is_no_checksum() {
        for text in ["", "cbf4392", "+bf43926", "cbf439260", "cbf4392g"] {
            assert!(Checksum::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
