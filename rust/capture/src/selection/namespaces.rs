//! `/proc` → the network namespaces on this machine that this user can see.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A network namespace with a process in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkNamespace {
    /// Inode number, by which the kernel programs know it.
    pub(crate) inode: u32,
    /// Folder of its socket tables, `/proc/PID/net`.
    pub(crate) tables: PathBuf,
}

/// Returns each network namespace once: the recorder's own first, then those of processes that this user can see.
pub(crate) fn all() -> Vec<NetworkNamespace> {
    let mut found: Vec<NetworkNamespace> = Vec::new();
    for process in std::iter::once(PathBuf::from("/proc/thread-self")).chain(processes()) {
        let Some(inode) = inode_of(&process.join("ns/net")) else {
            continue;
        };
        if !found.iter().any(|known| known.inode == inode) {
            found.push(NetworkNamespace {
                inode,
                tables: process.join("net"),
            });
        }
    }
    found
}

/// Returns the inode number of the recorder's own network namespace; 0 if it cannot be read.
pub(crate) fn own() -> u32 {
    inode_of(Path::new("/proc/thread-self/ns/net")).unwrap_or(0)
}

/// Returns the folder of each process on this machine.
pub(crate) fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| {
        path.file_name()
            .is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit))
    })
}

/// Returns the inode number of the network namespace that a file names; `None` if the file names something else.
pub(crate) fn inode_of(file: &Path) -> Option<u32> {
    let (found, own) = (
        fs::metadata(file).ok()?,
        fs::metadata("/proc/thread-self/ns/net").ok()?,
    );
    let is_namespace = found.dev() == own.dev();
    is_namespace.then(|| u32::try_from(found.ino()).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_comes_first_and_each_comes_once() {
        let found = all();
        assert_eq!(found[0].inode, own());
        let mut inodes: Vec<u32> = found.iter().map(|one| one.inode).collect();
        inodes.sort_unstable();
        inodes.dedup();
        assert_eq!(inodes.len(), found.len());
    }

    #[test]
    fn an_ordinary_file_is_no_namespace() {
        assert_eq!(inode_of(Path::new("/proc/self/status")), None);
        assert_eq!(inode_of(Path::new("/no/such/file")), None);
    }
}
