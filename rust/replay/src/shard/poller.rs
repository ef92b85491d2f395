//! Sockets that are ready → their tokens; waiting until an instant, to the microsecond.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::thread::set_current_timer_slack;

use crate::clock::{SECOND, monotonic};

/// Sockets reported by one wait.
const READY_MAX: usize = 256;

/// Wakes measured to find the guard.
const CALIBRATION_WAKES: usize = 100;

/// How long each of them sleeps, ns.
const CALIBRATION_SLEEP: u64 = 200_000;

/// The guard is at least this, ns: a clock read and an empty epoll call.
const GUARD_MIN: u64 = 1_000;

/// The guard is at most this, ns: on a machine with few cores spinning takes time from the server.
const GUARD_MAX: u64 = 60_000;

/// What happened to a socket.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a bit the kernel reports"
)]
pub struct Ready {
    /// As given to [`Poller::add`].
    pub token: u64,
    /// Bytes have arrived, or the peer closed.
    pub readable: bool,
    /// There is room to write, or the connection was made.
    pub writable: bool,
    /// The peer closed.
    pub hangup: bool,
    /// The connection failed.
    pub failed: bool,
}

/// An epoll instance, edge-triggered.
pub struct Poller {
    epoll: OwnedFd,
    ready: Vec<Event>,
    /// The kernel has `epoll_pwait2` (5.11).
    precise: bool,
}

impl Poller {
    /// A new instance; the calling thread's sleeps become as exact as the kernel can.
    pub fn new() -> io::Result<Self> {
        set_current_timer_slack(NonZeroU64::new(1))?;
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            ready: Vec::with_capacity(READY_MAX),
            precise: true,
        })
    }

    /// Watches a socket until it is closed.
    pub fn add(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(token), flags)?;
        Ok(())
    }

    /// Waits at most `timeout` ns (0: does not wait) and yields what is ready; a signal ends the wait early.
    pub fn wait(&mut self, timeout: u64) -> io::Result<impl Iterator<Item = Ready> + '_> {
        self.ready.clear();
        match self.collect(timeout) {
            Ok(()) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(self.ready.iter().map(ready))
    }

    fn collect(&mut self, timeout: u64) -> Result<(), Errno> {
        let timeout = timespec(timeout);
        if self.precise {
            match epoll::wait(&self.epoll, spare_capacity(&mut self.ready), Some(&timeout)) {
                Err(Errno::NOSYS) => self.precise = false,
                other => return other.map(drop),
            }
        }
        poll(
            &mut [PollFd::new(&self.epoll, PollFlags::IN)],
            Some(&timeout),
        )?;
        epoll::wait(&self.epoll, spare_capacity(&mut self.ready), None).map(drop)
    }

    /// How long before an instant to stop sleeping, ns: nine wakes in ten here are less late than that.
    pub fn calibrate(&mut self) -> io::Result<u64> {
        let mut late = [0; CALIBRATION_WAKES];
        for wake in &mut late {
            let due = monotonic() + CALIBRATION_SLEEP;
            let _woken = self.wait(CALIBRATION_SLEEP)?.count();
            *wake = monotonic().saturating_sub(due);
        }
        late.sort_unstable();
        Ok(late[CALIBRATION_WAKES * 9 / 10].clamp(GUARD_MIN, GUARD_MAX))
    }
}

fn ready(event: &Event) -> Ready {
    let flags = event.flags;
    Ready {
        token: event.data.u64(),
        readable: flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP),
        writable: flags.contains(EventFlags::OUT),
        hangup: flags.intersects(EventFlags::RDHUP | EventFlags::HUP),
        failed: flags.contains(EventFlags::ERR),
    }
}

fn timespec(time: u64) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time / SECOND).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(time % SECOND).unwrap_or(0),
    }
}
