//! The only `unsafe` code: tiny owner types over system calls.
#![expect(unsafe_code, reason = "system calls, memory maps")]

use std::{
    io,
    mem::{MaybeUninit, size_of, zeroed},
    os::fd::{AsRawFd, BorrowedFd},
};

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

// Receive timestamps, for replay (`Documentation/networking/timestamping.rst` of the kernel).

/// Size of the value of `SO_TIMESTAMPING`, a 32-bit integer.
const STAMPS_SIZE: libc::socklen_t = 4;

/// Makes the kernel timestamp, in software, the data that a socket receives.
pub(crate) fn stamp_received(socket: BorrowedFd<'_>) -> io::Result<()> {
    let flags: libc::c_uint = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
    // SAFETY: the option's value is a live integer of the given size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPING,
            (&raw const flags).cast(),
            STAMPS_SIZE,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Buffer for one `SCM_TIMESTAMPING` message, aligned as `cmsghdr` requires.
#[repr(align(8))]
struct Ancillary(MaybeUninit<[u8; 128]>);

/// Receives bytes. Returns their number and, if the kernel stamped them, the time at which the last of them arrived
/// (`CLOCK_REALTIME`, ns).
pub(crate) fn receive_stamped(
    socket: BorrowedFd<'_>,
    into: &mut [u8],
) -> io::Result<(usize, Option<u64>)> {
    let mut ancillary = Ancillary(MaybeUninit::uninit());
    let mut piece = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    // SAFETY: `msghdr` is plain data, of which all zeroes is a valid value.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = ancillary.0.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Ancillary>();
    // SAFETY: the message points to `into` and `ancillary`, both live and of the lengths it gives.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
    let length = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    Ok((length, stamp(&message)))
}

/// Returns the software timestamp among the ancillary data of a received message, if there is one.
fn stamp(message: &libc::msghdr) -> Option<u64> {
    // SAFETY: `recvmsg` filled the control buffer and set its length, beyond which the macros do not go.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: a header that is not null is whole and inside the control buffer.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        if (level, kind) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) {
            // SAFETY: the data of this kind is three timespecs; the first is the software stamp.
            let time: libc::timespec = unsafe {
                libc::CMSG_DATA(header)
                    .cast::<libc::timespec>()
                    .read_unaligned()
            };
            let seconds = u64::try_from(time.tv_sec).ok()?;
            return Some(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).ok()?);
        }
        // SAFETY: `message` and its control buffer are as `recvmsg` left them, and `header` is one of its headers.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}
