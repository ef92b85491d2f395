//! The only `unsafe` code: tiny owner types over system calls.
#![expect(unsafe_code, reason = "system calls, memory maps")]

use std::io;

#[cfg(feature = "ebpf")]
pub(crate) use words::{Word, Words};

#[cfg(feature = "pcap")]
pub(crate) mod pcap;

/// Mappings of BPF maps and ring positions, shared with the kernel.
#[cfg(feature = "ebpf")]
mod words {
    use std::{
        io,
        os::fd::{AsRawFd, BorrowedFd},
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
}

/// Irrevocably drops this thread's capabilities, and forbids the process to write core files or to be traced. An error
/// names the step that failed.
pub(crate) fn give_up_privileges() -> Result<(), (&'static str, io::Error)> {
    prctl("no_new_privs", libc::PR_SET_NO_NEW_PRIVS, 1)?;
    prctl(
        "ambient set",
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_CLEAR_ALL.cast_unsigned().into(),
    )?;
    empty_bounding_set()?;
    empty_capabilities()?;
    no_core_files()?;
    prctl("dumpable", libc::PR_SET_DUMPABLE, 0)
}

fn prctl(step: &'static str, option: i32, argument: u64) -> Result<(), (&'static str, io::Error)> {
    // SAFETY: the options used here take numbers, not pointers.
    checked(
        step,
        unsafe { libc::prctl(option, argument, 0_u64, 0_u64, 0_u64) }.into(),
    )
}

/// Empties the bounding set. Without `CAP_SETPCAP` that is impossible, and not needed either: the set limits only
/// privileges gained later, which `no_new_privs` already rules out.
fn empty_bounding_set() -> Result<(), (&'static str, io::Error)> {
    for capability in 0.. {
        match prctl("bounding set", libc::PR_CAPBSET_DROP, capability) {
            Ok(()) => (),
            Err((_, error)) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)) => {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn empty_capabilities() -> Result<(), (&'static str, io::Error)> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let sets = [[0_u32; 3]; 2];
    // SAFETY: `header` names version 3 and this thread, and `sets` are the two triples that version 3 reads.
    checked("capabilities", unsafe {
        libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr())
    })
}

fn no_core_files() -> Result<(), (&'static str, io::Error)> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `none` is a complete `rlimit` that outlives the call.
    checked(
        "core files",
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) }.into(),
    )
}

fn checked(step: &'static str, result: i64) -> Result<(), (&'static str, io::Error)> {
    if result == 0 {
        Ok(())
    } else {
        Err((step, io::Error::last_os_error()))
    }
}
