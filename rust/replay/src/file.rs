//! A path that somebody named → the bytes of a small file.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use membench_event::regular;
use rustix::fs::{Mode, OFlags, open};
use zeroize::Zeroizing;

/// Reads a file of at most `most` bytes. Refuses anything but a file without waiting for it: a pipe might never be written
/// to, and a device might never end. The bytes are wiped when they are dropped.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(open(path, flags, Mode::empty())?);
    let facts = file.metadata()?;
    regular(facts.file_type())?;
    // With the room beforehand no copy is left behind by a vector that grows.
    let room = usize::try_from(facts.len().min(most)).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {most} bytes"),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::ErrorKind};

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    #[test]
    fn only_a_small_file_is_read_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        fs::write(place("small"), [7; 100]).unwrap();
        assert_eq!(read(&place("small"), 100).unwrap().as_slice(), [7; 100]);
        let kind = |name: &str| read(&place(name), 99).unwrap_err().kind();
        assert_eq!(kind("small"), ErrorKind::FileTooLarge);
        mknodat(CWD, place("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(kind("pipe"), ErrorKind::NotSeekable);
        assert_eq!(kind("none"), ErrorKind::NotFound);
        assert_eq!(kind("."), ErrorKind::IsADirectory);
    }
}
