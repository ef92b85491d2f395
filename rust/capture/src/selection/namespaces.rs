//! `/proc` → the network namespaces on this machine, as far as it shows them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A network namespace with a process in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkNamespace {
    /// Its inode number, by which the kernel programs know it.
    pub(crate) inode: u32,
    /// The folder with its tables.
    pub(crate) tables: PathBuf,
}

/// The recorder's own, and then those of every process whose namespace this user may see.
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

/// The inode number of the recorder's own; 0 if it cannot be told.
pub(crate) fn own() -> u32 {
    inode_of(Path::new("/proc/thread-self/ns/net")).unwrap_or(0)
}

/// The folders of the processes on this machine.
pub(crate) fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| {
        path.file_name()
            .is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit))
    })
}

/// The inode number of the namespace that a file stands for; none if it is no network namespace.
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
