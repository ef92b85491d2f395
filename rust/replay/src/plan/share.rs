//! One of several processes that replay a recording together → the connections that it replays.

/// Share of a process in a replay by several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Number of this process, from 0.
    pub index: u32,
    /// Number of processes; 0 counts as 1.
    pub of: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Share {
    /// True if this process is the only one.
    pub(crate) fn is_whole(self) -> bool {
        self.of <= 1
    }

    /// True if this process replays what `number`, that of a connection or any other, stands for.
    pub(crate) fn has(self, number: u64) -> bool {
        self.is_whole() || number % u64::from(self.of) == u64::from(self.index)
    }

    /// Returns how many of `copies` copies of a connection this process replays.
    pub(crate) fn copies(self, connection: u32, copies: u32) -> u64 {
        let owned = (0..copies.max(1)).filter(|copy| self.has_copy(connection, *copy));
        owned.count() as u64
    }

    /// True if this process replays a copy of a connection.
    pub(crate) fn has_copy(self, connection: u32, copy: u32) -> bool {
        self.has(u64::from(connection) + u64::from(copy))
    }

    /// Returns the thread, of `threads`, that replays a copy of a connection.
    pub(crate) fn thread(self, connection: u32, copy: u32, threads: usize) -> usize {
        (connection as usize / self.of.max(1) as usize + copy as usize) % threads.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_divide_all_copies_of_all_connections() {
        for of in 1..6 {
            for connection in 0..20 {
                for copy in 0..7 {
                    let owners = (0..of).filter(|index| {
                        let share = Share { index: *index, of };
                        share.has_copy(connection, copy)
                    });
                    assert_eq!(owners.count(), 1, "{connection} {copy} of {of}");
                }
                let all: u64 = (0..of)
                    .map(|index| Share { index, of }.copies(connection, 7))
                    .sum();
                assert_eq!(all, 7);
            }
        }
    }

    #[test]
    fn the_connections_of_a_share_are_spread_over_its_threads() {
        let share = Share { index: 1, of: 3 };
        let mut threads = [0; 4];
        for connection in (0..120).filter(|connection| share.has_copy(*connection, 0)) {
            threads[share.thread(connection, 0, 4)] += 1;
        }
        assert_eq!(threads, [10; 4]);
    }
}
