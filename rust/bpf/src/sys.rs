//! The only `unsafe` code: owner types over `mmap` and the calls of `bpf`.
#![expect(unsafe_code, reason = "system calls, memory maps")]

pub(crate) mod command;
pub(crate) mod uprobe;

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr::{NonNull, null_mut},
    sync::atomic::{AtomicU64, Ordering},
};

/// A shared mapping of 64-bit words, only read here; the kernel or another mapping writes them.
pub(crate) struct Words {
    start: NonNull<AtomicU64>,
    count: usize,
}

impl Words {
    /// Maps the first `count` words for reading.
    pub(crate) fn map(file: BorrowedFd<'_>, count: usize) -> io::Result<Self> {
        Self::map_for(file, count, libc::PROT_READ)
    }

    fn map_for(file: BorrowedFd<'_>, count: usize, protection: i32) -> io::Result<Self> {
        let length = count * size_of::<u64>();
        // SAFETY: the kernel chooses the address, so the mapping overlaps no memory in use.
        let start = unsafe {
            libc::mmap(
                null_mut(),
                length,
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(start) {
            Some(start) if start.as_ptr() != libc::MAP_FAILED => Ok(Self {
                start: start.cast(),
                count,
            }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Returns the current value of a word; 0 beyond the last.
    pub(crate) fn read(&self, index: usize) -> u64 {
        if index >= self.count {
            return 0;
        }
        // SAFETY: the word is inside the mapping, which is page-aligned and lives as long as `self`.
        unsafe { self.start.add(index).as_ref() }.load(Ordering::Relaxed)
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: `map_for` made this mapping, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.count * size_of::<u64>()) };
    }
}

/// A shared writable mapping of one 64-bit word that the kernel reads.
pub(crate) struct Word(Words);

impl Word {
    /// Maps the first word of a file for writing.
    pub(crate) fn map(file: BorrowedFd<'_>) -> io::Result<Self> {
        Words::map_for(file, 1, libc::PROT_READ | libc::PROT_WRITE).map(Self)
    }

    /// Stores a new value.
    pub(crate) fn write(&self, value: u64) {
        // SAFETY: the mapping is page-aligned, holds one word and lives as long as `self`.
        unsafe { self.0.start.as_ref() }.store(value, Ordering::Relaxed);
    }
}

// SAFETY: all access to the shared memory is atomic, from any thread.
unsafe impl Send for Words {}
// SAFETY: all access to the shared memory is atomic, from several threads at once.
unsafe impl Sync for Words {}

/// The commands of `bpf` that [`Elements`] makes.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/bpf.h>
#[derive(Clone, Copy)]
#[repr(u32)]
enum Command {
    Lookup = 1,
    Update = 2,
    Delete = 3,
    NextKey = 4,
}

/// The arguments of those commands: the second member of the kernel's `union bpf_attr`.
#[repr(C)]
struct Arguments {
    map: u32,
    padding: u32,
    key: u64,
    /// The value, or the next key.
    value: u64,
    flags: u64,
}

/// A map's elements as bytes, with the sizes that the kernel reads and writes.
pub(crate) struct Elements {
    map: OwnedFd,
    key_size: usize,
    /// All of an element's values: one, or one a possible CPU.
    value_size: usize,
}

impl Elements {
    /// Takes a map with its sizes, bytes, which must be those that the kernel tells of it (`BPF_OBJ_GET_INFO_BY_FD`).
    pub(crate) fn new(map: OwnedFd, key_size: usize, value_size: usize) -> Self {
        Self {
            map,
            key_size,
            value_size,
        }
    }

    /// Copies a key's value; `None` if the map does not have the key. `key` must have the map's key size.
    pub(crate) fn lookup(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.value_size];
        let result = self.call(Command::Lookup, Some(key), value.as_mut_ptr() as u64, 0);
        or_absent(result.map(|()| value))
    }

    /// Stores a value; `flags` are the kernel's `BPF_ANY`, `BPF_NOEXIST`, `BPF_EXIST`.
    pub(crate) fn update(&self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        if value.len() != self.value_size {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.call(Command::Update, Some(key), value.as_ptr() as u64, flags)
    }

    /// Removes a key; returns false if the map did not have it.
    pub(crate) fn delete(&self, key: &[u8]) -> io::Result<bool> {
        or_absent(self.call(Command::Delete, Some(key), 0, 0)).map(|found| found.is_some())
    }

    /// Returns the key after `key`, or the first; `None` after the last.
    pub(crate) fn next_key(&self, key: Option<&[u8]>) -> io::Result<Option<Vec<u8>>> {
        let mut next = vec![0; self.key_size];
        let result = self.call(Command::NextKey, key, next.as_mut_ptr() as u64, 0);
        or_absent(result.map(|()| next))
    }

    /// `value` is the address of `value_size` bytes, or of `key_size` bytes for [`Command::NextKey`].
    fn call(&self, command: Command, key: Option<&[u8]>, value: u64, flags: u64) -> io::Result<()> {
        if key.is_some_and(|key| key.len() != self.key_size) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let arguments = Arguments {
            map: self.map.as_raw_fd().cast_unsigned(),
            padding: 0,
            // Maps without keys, such as queues, take no address.
            key: key
                .filter(|key| !key.is_empty())
                .map_or(0, |key| key.as_ptr() as u64),
            value,
            flags,
        };
        // SAFETY: `arguments` has the layout of these commands and its size is passed; the key has the map's key size,
        // and every caller passes the address of a live buffer of the size that the command reads or writes.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command as u32,
                &raw const arguments,
                size_of::<Arguments>(),
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl AsFd for Elements {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

fn or_absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
