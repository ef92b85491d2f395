//! Files that somebody named → their content, without waiting for what is no file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use membench_event::regular;

/// Reads a whole file. Refuses anything else: a pipe might never be written to, and a device might never end.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = open(path)?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut options = OpenOptions::new();
    let opened = options.read(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| {
        // A socket cannot be opened: its type says more than the system does.
        let found = path.symlink_metadata().map(|found| found.file_type());
        match error.raw_os_error() {
            Some(libc::ENXIO) => found.and_then(regular).err().unwrap_or(error),
            _ => error,
        }
    })?;
    regular(file.metadata()?.file_type())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_files_are_read_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        mknodat(CWD, place("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        mknodat(CWD, place("socket"), FileType::Socket, Mode::RWXU, 0).unwrap();
        fs::write(place("file"), "content").unwrap();
        std::os::unix::fs::symlink(place("file"), place("link")).unwrap();
        for (name, found) in [
            ("pipe", "it is a pipe"),
            ("socket", "it is a socket"),
            ("/dev/zero", "it is a device"),
        ] {
            let error = read_file(&place(name)).unwrap_err();
            assert!(error.to_string().starts_with(found), "{name}: {error}");
        }
        assert_eq!(read_file(&place("link")).unwrap(), b"content");
    }
}
