//! Users: whose files a profile consists of, and whose links root follows.

use rustix::process::{Gid, Uid, geteuid, getuid};

/// Owner of a profile's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Owner {
    /// Returns the user who called `sudo`, if this process runs by it: recordings belong to them.
    pub fn invoking() -> Option<Self> {
        let number = |name| std::env::var(name).ok()?.parse().ok();
        invoking(getuid().is_root(), number("SUDO_UID"), number("SUDO_GID"))
    }

    /// Ids in the form of system calls.
    pub(super) fn ids(self) -> (Uid, Gid) {
        (Uid::from_raw(self.uid), Gid::from_raw(self.gid))
    }
}

/// Returns true unless the calling thread is root and `uid` is a stranger's: neither root's nor that of the user behind
/// `sudo`.
///
/// Root can do everything, so a link or a folder of a stranger could make it do what the stranger may not. Everyone
/// else can do only what the kernel allows them.
pub(super) fn is_trusted(uid: u32) -> bool {
    !geteuid().is_root() || uid == 0 || Owner::invoking().is_some_and(|owner| owner.uid == uid)
}

fn invoking(is_root: bool, uid: Option<u32>, gid: Option<u32>) -> Option<Owner> {
    let owner = Owner {
        uid: uid?,
        gid: gid?,
    };
    // The kernel takes the highest number as "leave it unchanged".
    (is_root && owner.uid != 0 && owner.uid != u32::MAX && owner.gid != u32::MAX).then_some(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_was_called_by_somebody_else() {
        let (somebody, nobody) = (Some(1000), None);
        let owner = Owner {
            uid: 1000,
            gid: 1000,
        };
        for (is_root, uid, gid, expected) in [
            (true, somebody, somebody, Some(owner)),
            (false, somebody, somebody, None),
            (true, nobody, somebody, None),
            (true, somebody, nobody, None),
            (true, Some(0), Some(0), None),
            (true, Some(u32::MAX), somebody, None),
            (true, somebody, Some(u32::MAX), None),
        ] {
            assert_eq!(
                invoking(is_root, uid, gid),
                expected,
                "{is_root} {uid:?} {gid:?}"
            );
        }
    }
}
