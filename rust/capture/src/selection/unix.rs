//! `/proc/PID/net/unix` → UNIX-domain sockets bound to a path. Paths → words that the kernel programs compare.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[cfg(any(feature = "ebpf", test))]
use membench_common::PATH_WORDS;

/// Size of the address family, which precedes the path in a `struct sockaddr_un`, bytes.
#[cfg(any(feature = "ebpf", test))]
const FAMILY: usize = 2;
/// Longest path, bytes: `sun_path` has 108, of which a zero is the last.
const LONGEST: usize = 107;

/// A stream socket with a path: a listening socket, or one that it accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// True if it listens.
    pub(crate) listens: bool,
    /// Inode number of the socket, as in `/proc/PID/fd`.
    pub(crate) inode: u64,
    /// Path as it was bound; `@` begins an abstract name.
    pub(crate) path: PathBuf,
}

/// Returns the stream sockets with a path in the tables of a network namespace.
pub(crate) fn entries(tables: &Path) -> Vec<Entry> {
    let text = fs::read(tables.join("unix")).unwrap_or_default();
    text.split(|byte| *byte == b'\n')
        .skip(1)
        .filter_map(parse)
        .collect()
}

/// Parses a line, `Num: RefCount Protocol Flags Type St Inode Path`; `None` unless it is a stream socket with a path.
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

/// Splits a line after its first word.
fn next_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = line.iter().position(|byte| *byte != b' ')?;
    let word = &line[start..];
    let end = word.iter().position(|byte| *byte == b' ');
    Some(word.split_at(end.unwrap_or(word.len())))
}

/// Returns true if a path can be bound: it is not empty, and short enough.
pub(crate) fn fits(path: &Path) -> bool {
    let length = path.as_os_str().len();
    0 < length && length <= LONGEST
}

/// Returns a path as the kernel programs compare it, and the length of the address with this path.
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
    fn a_line_gives_a_stream_socket_with_its_path() {
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
