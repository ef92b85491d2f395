//! The only `unsafe` code: tiny owner types over system calls.
#![expect(unsafe_code, reason = "system calls, memory maps")]

use std::io;

#[cfg(feature = "ebpf")]
pub(crate) use words::{Word, Words};

#[cfg(feature = "pcap")]
pub(crate) mod pcap;

/// Memory that something else writes.
#[cfg(feature = "ebpf")]
mod words {
    use std::{
        io,
        os::fd::{AsRawFd, BorrowedFd},
        ptr::{NonNull, null_mut},
        sync::atomic::{AtomicU64, Ordering},
    };

    /// A file of 64-bit words mapped into memory, that something else writes.
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
            // SAFETY: asks for new memory, which no other code uses.
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

        /// One word, as it is now; 0 beyond the last.
        pub(crate) fn read(&self, index: usize) -> u64 {
            if index >= self.count {
                return 0;
            }
            // SAFETY: inside the mapping, which is aligned to a page and lives as long as `self`.
            unsafe { self.start.add(index).as_ref() }.load(Ordering::Relaxed)
        }
    }

    impl Drop for Words {
        fn drop(&mut self) {
            // SAFETY: the mapping made by `map`, to which no reference outlives `self`.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.count * size_of::<u64>()) };
        }
    }

    /// One 64-bit word of a file that others read.
    pub(crate) struct Word(Words);

    impl Word {
        /// Maps the file's first word for writing.
        pub(crate) fn map(file: BorrowedFd<'_>) -> io::Result<Self> {
            Words::map_for(file, 1, libc::PROT_READ | libc::PROT_WRITE).map(Self)
        }

        /// Replaces it.
        pub(crate) fn write(&self, value: u64) {
            // SAFETY: the mapping is aligned to a page, holds one word and lives as long as `self`.
            unsafe { self.0.start.as_ref() }.store(value, Ordering::Relaxed);
        }
    }

    // SAFETY: shared memory is read and written by atomic operations only.
    unsafe impl Send for Words {}
    // SAFETY: as above.
    unsafe impl Sync for Words {}
}

/// Gives up this thread's capabilities for good, core files and being traced; on failure says at which step.
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
    // SAFETY: these options take a number and no pointers.
    checked(
        step,
        unsafe { libc::prctl(option, argument, 0_u64, 0_u64, 0_u64) }.into(),
    )
}

/// Without `CAP_SETPCAP` the set cannot be emptied, and need not be: what it bounds needs new privileges.
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
    // SAFETY: a header for this thread and two triples of sets, as version 3 wants them.
    checked("capabilities", unsafe {
        libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr())
    })
}

fn no_core_files() -> Result<(), (&'static str, io::Error)> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a complete limit.
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
