//! Times of packets by the clock of their capture → times that go on where that clock was set.

/// Time by which a packet may be captured out of order, ns. A clock that goes back further was set.
const DISORDER: i128 = 1_000_000_000;
/// Longest pause in a capture, ns: 30 days. A clock that jumps further was set.
const LONGEST_PAUSE: i128 = 30 * 86_400 * 1_000_000_000;

/// The clock of a capture.
///
/// ```
/// use membench_decode::packet::Clock;
///
/// let s = 1_000_000_000;
/// let mut clock = Clock::default();
/// // The clock is set back by 10 s after the second packet.
/// let times = [100 * s, 101 * s, 91 * s, 92 * s].map(|time| clock.place(time));
/// assert_eq!(times, [100 * s, 101 * s, 101 * s, 102 * s]);
/// assert_eq!(clock.steps(), 1);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Latest time placed, ns; `None` before the first.
    latest: Option<u64>,
    /// Time added to those of packets, ns.
    offset: i128,
    /// Time that was added before the last step, ns.
    before: Option<i128>,
    steps: u64,
}

impl Clock {
    /// Starts at a time, ns, which packets with an absurd time get until the first sound one.
    pub fn starting_at(time: u64) -> Self {
        Self {
            latest: Some(time),
            ..Self::default()
        }
    }

    /// Number of times that the clock was set. A clock that is set and set right again counts once.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns the place of a packet's time, ns. After a step, time goes on from the latest one.
    pub fn place(&mut self, time: u64) -> u64 {
        let time = i128::from(time);
        let latest = i128::from(*self.latest.get_or_insert(clamped(time)));
        let fits = |offset: i128| {
            let ahead = time + offset - latest;
            (-DISORDER..=LONGEST_PAUSE).contains(&ahead)
        };
        if !fits(self.offset) {
            let offset = match self.before {
                Some(before) if fits(before) => before,
                _ => {
                    self.steps += 1;
                    latest - time
                }
            };
            self.before = Some(std::mem::replace(&mut self.offset, offset));
        }
        let placed = clamped(time + self.offset);
        self.latest = self.latest.max(Some(placed));
        placed
    }

    /// Returns the place of a moment that no packet has, ns. It does not make a step.
    pub fn place_now(&self, time: u64) -> u64 {
        clamped(i128::from(time) + self.offset)
    }
}

fn clamped(time: i128) -> u64 {
    u64::try_from(time.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn placed(mut clock: Clock, times: &[u64]) -> (Vec<u64>, u64) {
        let placed = times.iter().map(|time| clock.place(time * S)).collect();
        (placed, clock.steps())
    }

    #[test]
    fn packets_out_of_order_keep_their_times() {
        let (times, steps) = placed(Clock::default(), &[100, 102, 101, 103]);
        assert_eq!(
            (times, steps),
            (vec![100 * S, 102 * S, 101 * S, 103 * S], 0)
        );
    }

    #[test]
    fn absurd_times_between_sound_ones_count_once_each() {
        let now = 1_700_000_000;
        let (times, steps) = placed(
            Clock::starting_at(now * S),
            &[0, now, now + 1, 4_000_000_000, now + 2, now + 3],
        );
        let expected = [0, 0, 1, 1, 2, 3].map(|after| (now + after) * S);
        assert_eq!((times, steps), (expected.to_vec(), 2));
    }

    proptest::proptest! {
        #[test]
        fn any_times_are_placed_and_none_far_before_the_latest(times: Vec<u64>) {
            let mut clock = Clock::default();
            let mut latest = 0;
            for time in times {
                let placed = clock.place(time);
                proptest::prop_assert!(placed.saturating_add(S) >= latest);
                latest = latest.max(placed);
            }
        }
    }
}
