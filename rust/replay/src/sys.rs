//! Receive stamps: the only `unsafe` code of a replay.
#![expect(unsafe_code, reason = "socket options and ancillary data")]

use std::{
    io,
    mem::{MaybeUninit, size_of, zeroed},
    os::fd::{AsRawFd, BorrowedFd},
};

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
