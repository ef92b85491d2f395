//! Files that somebody named → their content, without waiting for what is no file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use membench_event::regular;

/// Reads a whole file. Refuses anything else: a pipe might never be written to, and a device might never end.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = open(path, OpenOptions::new().read(true), 0)?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

/// Writes a file, or replaces the content of one. Refuses anything else, and links: root must not be led to a file that
/// nobody named.
pub fn write_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = open(path, options.write(true).create(true), libc::O_NOFOLLOW)?;
    file.set_len(0)?;
    file.write_all(content)
}

fn open(path: &Path, options: &mut OpenOptions, flags: i32) -> io::Result<File> {
    let flags = flags | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = options.custom_flags(flags).open(path).map_err(|error| {
        // A link, a socket, or a pipe that nobody reads: its type says more than the system does.
        let found = path.symlink_metadata().map(|found| found.file_type());
        match error.raw_os_error() {
            Some(libc::ENXIO | libc::ELOOP) => found.and_then(regular).err().unwrap_or(error),
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
    fn only_files_are_read_and_written_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        mknodat(CWD, place("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        mknodat(CWD, place("socket"), FileType::Socket, Mode::RWXU, 0).unwrap();
        fs::write(place("file"), "much longer").unwrap();
        std::os::unix::fs::symlink(place("file"), place("link")).unwrap();
        for (name, found) in [
            ("pipe", "it is a pipe"),
            ("socket", "it is a socket"),
            ("/dev/zero", "it is a device"),
        ] {
            for done in [
                read_file(&place(name)).map(drop),
                write_file(&place(name), b"x"),
            ] {
                let error = done.unwrap_err();
                assert!(error.to_string().starts_with(found), "{name}: {error}");
            }
        }
        let error = write_file(&place("link"), b"x").unwrap_err();
        assert!(error.to_string().starts_with("it is a link"), "{error}");
        assert_eq!(read_file(&place("link")).unwrap(), b"much longer");
        write_file(&place("file"), b"short").unwrap();
        assert_eq!(read_file(&place("file")).unwrap(), b"short");
    }
}
