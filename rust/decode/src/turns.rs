//! A client's sends → whether one tells that everything before it was answered.
//!
//! A client that waits for each answer takes turns with the server, and its sends are barriers as the server's reads
//! are. One that does not may send at any time. Which of the two it is shows as long as its requests and answers are
//! followed; where they are lost, only the former can be picked up again.

/// What a send is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing: what is open stays open.
    GoesOn,
    /// Everything before was answered.
    Barrier,
    /// Answers cannot be told apart any more on this connection.
    Unpaired,
}

/// What one client has shown so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turns {
    /// It has sent before everything was answered.
    overlaps: bool,
    /// Answers are counted from a send of which it was not known that nothing was open before.
    blind: bool,
    begun: bool,
}

impl Turns {
    /// Of a connection; `mid_stream`: bytes had moved on it before.
    pub(super) const fn new(mid_stream: bool) -> Self {
        Self {
            overlaps: false,
            blind: mid_stream,
            begun: false,
        }
    }

    /// Takes a send. `synced`: requests and answers are followed; `waiting`: answers were due before it.
    pub(super) fn sent(&mut self, synced: bool, waiting: bool) -> Turn {
        self.overlaps |= synced && waiting;
        let first = !std::mem::replace(&mut self.begun, true);
        if self.overlaps && (self.blind || !synced) {
            return Turn::Unpaired;
        }
        if synced && !first {
            return Turn::GoesOn;
        }
        self.blind |= !first;
        Turn::Barrier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_takes_turns_is_picked_up_after_a_loss() {
        let mut turns = Turns::new(false);
        let sends = [(true, false), (true, false), (false, false), (true, false)];
        assert_eq!(
            sends.map(|(synced, waiting)| turns.sent(synced, waiting)),
            [Turn::Barrier, Turn::GoesOn, Turn::Barrier, Turn::GoesOn]
        );
    }

    #[test]
    fn one_that_sends_ahead_is_not() {
        let mut turns = Turns::new(false);
        let sends = [(true, false), (true, true), (false, false), (true, false)];
        assert_eq!(
            sends.map(|(synced, waiting)| turns.sent(synced, waiting)),
            [Turn::Barrier, Turn::GoesOn, Turn::Unpaired, Turn::GoesOn]
        );
    }

    #[test]
    fn one_met_in_the_middle_that_sends_ahead_is_given_up() {
        let mut turns = Turns::new(true);
        let sends = [(false, false), (true, false), (true, true), (false, false)];
        assert_eq!(
            sends.map(|(synced, waiting)| turns.sent(synced, waiting)),
            [Turn::Barrier, Turn::GoesOn, Turn::Unpaired, Turn::Unpaired]
        );
    }
}
