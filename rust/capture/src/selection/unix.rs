//! `/proc/PID/net/unix` → the UNIX-domain sockets bound to a path; and a path as the kernel programs compare it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[cfg(any(feature = "ebpf", test))]
use membench_common::PATH_WORDS;

/// Length of the family that stands before the path in an address.
#[cfg(any(feature = "ebpf", test))]
const FAMILY: usize = 2;
/// Longest path: a zero ends it.
const LONGEST: usize = 107;

/// A stream socket that has a path: one that listens, or one that was accepted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Whether it listens.
    pub(crate) listens: bool,
    /// Its inode, as in `/proc/PID/fd`.
    pub(crate) inode: u64,
    /// The path as it was bound; an abstract name begins with `@`.
    pub(crate) path: PathBuf,
}

/// The stream sockets with a path that the tables of one network namespace hold.
pub(crate) fn entries(tables: &Path) -> Vec<Entry> {
    let text = fs::read(tables.join("unix")).unwrap_or_default();
    text.split(|byte| *byte == b'\n')
        .skip(1)
        .filter_map(parse)
        .collect()
}

/// `Num: RefCount Protocol Flags Type St Inode Path`.
fn parse(line: &[u8]) -> Option<Entry> {
    const LISTENS: &[u8] = b"00010000";
    const STREAM: &[u8] = b"0001";
    let mut rest = line;
    let mut fields = [&b""[..]; 7];
    for field in &mut fields {
        (*field, rest) = next_field(rest)?;
    }
    let [_, _, _, flags, kind, _, inode] = fields;
    let path = rest.strip_prefix(b" ").filter(|path| !path.is_empty())?;
    (kind == STREAM).then_some(Entry {
        listens: flags == LISTENS,
        inode: std::str::from_utf8(inode).ok()?.parse().ok()?,
        path: std::ffi::OsStr::from_bytes(path).into(),
    })
}

/// The first word and what follows it.
fn next_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = line.iter().position(|byte| *byte != b' ')?;
    let word = &line[start..];
    let end = word.iter().position(|byte| *byte == b' ');
    Some(word.split_at(end.unwrap_or(word.len())))
}

/// Whether a path can be bound: not empty, and short enough.
pub(crate) fn fits(path: &Path) -> bool {
    let length = path.as_os_str().len();
    0 < length && length <= LONGEST
}

/// A path as the programs compare it, and the length of an address with it.
#[cfg(any(feature = "ebpf", test))]
pub(crate) fn words(path: &Path) -> ([u32; PATH_WORDS], u32) {
    let mut name = path.as_os_str().as_bytes().to_vec();
    let is_abstract = name.first() == Some(&b'@');
    if is_abstract {
        name[0] = 0;
    } else {
        name.push(0);
    }
    let length = u32::try_from(FAMILY + name.len()).unwrap_or(u32::MAX);
    name.resize(PATH_WORDS * size_of::<u32>(), 0);
    let mut words = [0; PATH_WORDS];
    for (word, bytes) in words.iter_mut().zip(name.as_chunks().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    (words, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_stream_sockets_with_their_path() {
        let entry = |listens, inode, path: &str| {
            Some(Entry {
                listens,
                inode,
                path: path.into(),
            })
        };
        for (line, expected) in [
            (
                "0000000000000000: 00000002 00000000 00010000 0001 01 26351 /run/mc.sock",
                entry(true, 26351, "/run/mc.sock"),
            ),
            (
                "0000000000000000: 00000003 00000000 00000000 0001 03   12 /run/with space",
                entry(false, 12, "/run/with space"),
            ),
            (
                "0000000000000000: 00000003 00000000 00000000 0001 03 12 @abstract",
                entry(false, 12, "@abstract"),
            ),
            ("0: 00000003 00000000 00000000 0001 03 12", None),
            (
                "0: 00000003 00000000 00000000 0002 01 12 /run/datagrams",
                None,
            ),
            ("", None),
        ] {
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn a_path_is_compared_as_the_kernel_keeps_it() {
        let text = |path: &str| {
            let (words, length) = words(Path::new(path));
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            (bytes[..length as usize - FAMILY].to_vec(), length)
        };
        assert_eq!(text("/a"), (b"/a\0".to_vec(), 5));
        assert_eq!(text("@a"), (b"\0a".to_vec(), 4));
        assert!(fits(Path::new(&"p".repeat(LONGEST))));
        assert!(!fits(Path::new(&"p".repeat(LONGEST + 1))) && !fits(Path::new("")));
    }

    #[test]
    fn a_socket_of_this_process_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let _listening = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        let found = entries(Path::new("/proc/thread-self/net"));
        assert!(found.iter().any(|one| one.listens && one.path == path));
    }
}
