//! A path that somebody named → a regular file, open.

use std::fs::File;
use std::io;
use std::path::Path;

use membench_event::regular;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

/// Opens a file for reading. Refuses anything else without waiting for it: a pipe might never be written to, and a device
/// might never end.
pub fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // A socket, or a device that nothing drives.
        Err(Errno::NXIO) => {
            regular(path.metadata()?.file_type())?;
            return Err(Errno::NXIO.into());
        }
        Err(errno) => return Err(errno.into()),
    };
    regular(file.metadata()?.file_type())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::{fs, io::ErrorKind};

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    #[test]
    fn only_files_are_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        mknodat(CWD, place("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let _bound = UnixListener::bind(place("socket")).unwrap();
        fs::write(place("file"), "content").unwrap();
        for (name, found) in [
            ("pipe", "it is a pipe"),
            ("socket", "it is a socket"),
            ("/dev/zero", "it is a device"),
        ] {
            let error = open_file(&place(name)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotSeekable);
            assert!(error.to_string().starts_with(found), "{name}: {error}");
        }
        let error = open_file(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        let error = open_file(&place("absent")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let content = io::read_to_string(open_file(&place("file")).unwrap()).unwrap();
        assert_eq!(content, "content");
    }
}
