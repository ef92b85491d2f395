//! Receive stamps: the only `unsafe` code of a replay.
#![expect(unsafe_code, reason = "socket options and ancillary data")]

use std::{
    io,
    mem::{MaybeUninit, size_of, zeroed},
    os::fd::{AsRawFd, BorrowedFd},
};

// Receive stamps: `Documentation/networking/timestamping.rst` of the kernel.

/// Length of the option's value, a 32-bit integer.
const STAMPS_SIZE: libc::socklen_t = 4;

/// Asks the kernel to stamp what arrives on a socket, in software.
pub(crate) fn stamp_received(socket: BorrowedFd<'_>) -> io::Result<()> {
    let flags: libc::c_uint = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
    // SAFETY: the option's value is a live integer of the size given.
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

/// Room for one `SCM_TIMESTAMPING` message, aligned as `cmsghdr` wants.
#[repr(align(8))]
struct Ancillary(MaybeUninit<[u8; 128]>);

/// Reads what has arrived: bytes, and when the last of them did (`CLOCK_REALTIME`, ns) if the kernel stamped it.
pub(crate) fn receive_stamped(
    socket: BorrowedFd<'_>,
    into: &mut [u8],
) -> io::Result<(usize, Option<u64>)> {
    let mut ancillary = Ancillary(MaybeUninit::uninit());
    let mut piece = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    // SAFETY: `msghdr` is plain data, for which zeroes are a value.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = ancillary.0.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Ancillary>();
    // SAFETY: the message points to `into` and `ancillary`, both live and as long as it says.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
    let length = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    Ok((length, stamp(&message)))
}

/// The software stamp among a received message's ancillary data.
fn stamp(message: &libc::msghdr) -> Option<u64> {
    // SAFETY: recvmsg filled the control buffer and set its length; the macros stay inside it.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, so it points to a whole header in the control buffer.
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
        // SAFETY: as for the first.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}
