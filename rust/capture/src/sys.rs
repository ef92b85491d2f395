//! The only `unsafe` code of this crate: system calls that give up privileges or lock memory, and libpcap.
#![expect(unsafe_code, reason = "system calls, a C library")]

use std::io;

use membench_decode::privacy::Secret;

#[cfg(feature = "pcap")]
pub(crate) mod pcap;

/// Irrevocably drops this thread's capabilities but those of `kept`, a bit each, and forbids the process to write core
/// files or to be traced. An error names the step that failed.
pub(crate) fn give_up_privileges(kept: u64) -> Result<(), (&'static str, io::Error)> {
    prctl("no_new_privs", libc::PR_SET_NO_NEW_PRIVS, 1)?;
    prctl(
        "ambient set",
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_CLEAR_ALL.cast_unsigned().into(),
    )?;
    empty_bounding_set()?;
    narrow_capabilities(kept)?;
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

fn narrow_capabilities(kept: u64) -> Result<(), (&'static str, io::Error)> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let mut sets = [[0_u32; 3]; 2];
    // SAFETY: `header` names version 3 and this thread, and `sets` are the two triples that version 3 writes.
    checked("capabilities", unsafe {
        libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr())
    })?;
    // The first triple has the lower halves of the sets, the second the upper ones.
    for (half, shift) in sets.iter_mut().zip([0, 32]) {
        let [effective, permitted, inheritable] = half;
        let kept = u32::try_from(kept >> shift & u64::from(u32::MAX)).unwrap_or(0);
        *permitted &= kept;
        *effective &= kept;
        *inheritable = 0;
    }
    // SAFETY: as above, but that version 3 reads the triples.
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

/// Keeps a secret's page out of swap and of dumps, as far as the limit on locked memory allows, until it is dropped.
pub(crate) struct Locked {
    /// Address of the page.
    page: usize,
}

impl Locked {
    /// Locks the page. The secret must stay where it is.
    pub(crate) fn new(secret: &Secret) -> Self {
        let page = std::ptr::from_ref(secret);
        let locked = Self { page: page.addr() };
        locked.advise(libc::mlock, libc::MADV_DONTDUMP);
        locked
    }

    fn advise(&self, lock: unsafe extern "C" fn(*const libc::c_void, usize) -> i32, advice: i32) {
        let page = std::ptr::with_exposed_provenance_mut::<libc::c_void>(self.page);
        // SAFETY: neither call reads or writes the page, and both refuse addresses that are not mapped.
        unsafe {
            lock(page, size_of::<Secret>());
            libc::madvise(page, size_of::<Secret>(), advice);
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.advise(libc::munlock, libc::MADV_DODUMP);
    }
}

fn checked(step: &'static str, result: i64) -> Result<(), (&'static str, io::Error)> {
    if result == 0 {
        Ok(())
    } else {
        Err((step, io::Error::last_os_error()))
    }
}
