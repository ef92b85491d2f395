//! Sockets → those that are ready, by token; waits end at a given time, to the microsecond.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::thread::set_current_timer_slack;

use crate::clock::{SECOND, monotonic};

/// Most sockets reported by one wait.
const READY_MAX: usize = 256;

/// Sleeps measured to calibrate the guard.
const CALIBRATION_WAKES: usize = 100;

/// Duration of one sleep measured to calibrate the guard, ns.
const CALIBRATION_SLEEP: u64 = 200_000;

/// Least guard, ns: the cost of reading a clock and of an empty epoll call.
const GUARD_MIN: u64 = 1_000;

/// Largest guard, ns. A thread spins for the guard before every send, and on a machine with few CPUs spinning takes
/// time from the server.
const GUARD_MAX: u64 = 60_000;

/// Readiness of one socket.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a bit the kernel reports"
)]
pub struct Ready {
    /// Token given to [`Poller::add`].
    pub token: u64,
    /// Bytes have arrived, or the peer closed the connection.
    pub readable: bool,
    /// The socket has room to write, or the connection was made.
    pub writable: bool,
    /// The peer closed the connection.
    pub hangup: bool,
    /// The connection failed.
    pub failed: bool,
}

/// Edge-triggered epoll instance.
pub struct Poller {
    epoll: OwnedFd,
    ready: Vec<Event>,
    /// The kernel has `epoll_pwait2` (Linux 5.11), whose timeouts are in ns.
    precise: bool,
}

impl Poller {
    /// Creates an epoll instance, and sets the timer slack of the calling thread to 1 ns so that its sleeps end on
    /// time.
    pub fn new() -> io::Result<Self> {
        set_current_timer_slack(NonZeroU64::new(1))?;
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            ready: Vec::with_capacity(READY_MAX),
            precise: true,
        })
    }

    /// Watches a socket until it is closed; [`Ready`] reports it by `token`.
    pub fn add(&self, socket: impl AsFd, token: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(token), flags)?;
        Ok(())
    }

    /// Waits up to `timeout` ns, or not at all if 0, and yields the sockets that are ready. A signal ends the wait
    /// early.
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

    /// Measures how late this machine wakes a sleeping thread. Returns the guard, ns: sleeping must stop this long
    /// before an intended time for nine wakes in ten to be on time.
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
