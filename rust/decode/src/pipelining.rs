//! A client's sends → which of them prove that everything before was answered.
//!
//! A client that waits for every response before it sends again makes each of its sends a barrier, like a read by the
//! server. A client that pipelines may send at any time. The decoder can tell the two apart only while it follows
//! requests and responses; after a loss, only a client that was never seen pipelining can be resynchronized.

/// Effect of a client's send on pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientSend {
    /// None: open requests stay open.
    Ordinary,
    /// Everything before it was answered.
    Barrier,
    /// Responses can no longer be paired on this connection.
    Unpairable,
}

/// Pipelining seen so far on one client's connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pipelining {
    /// The client has sent before everything was answered.
    overlaps: bool,
    /// Pairing started at a send before which requests may have been open.
    blind: bool,
    /// The client has sent before.
    has_sent: bool,
}

impl Pipelining {
    /// Starts a connection. `mid_stream`: bytes moved on it before.
    pub(super) const fn new(mid_stream: bool) -> Self {
        Self {
            overlaps: false,
            blind: mid_stream,
            has_sent: false,
        }
    }

    /// Takes a send and returns its effect. `synced`: requests and responses are followed; `waiting`: responses were
    /// due before the send.
    pub(super) fn observe(&mut self, synced: bool, waiting: bool) -> ClientSend {
        self.overlaps |= synced && waiting;
        let first = !std::mem::replace(&mut self.has_sent, true);
        if self.overlaps && (self.blind || !synced) {
            return ClientSend::Unpairable;
        }
        if synced && !first {
            return ClientSend::Ordinary;
        }
        self.blind |= !first;
        ClientSend::Barrier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_waits_for_answers_is_resynchronized_after_a_loss() {
        let mut client = Pipelining::new(false);
        let sends = [(true, false), (true, false), (false, false), (true, false)];
        assert_eq!(
            sends.map(|(synced, waiting)| client.observe(synced, waiting)),
            [
                ClientSend::Barrier,
                ClientSend::Ordinary,
                ClientSend::Barrier,
                ClientSend::Ordinary
            ]
        );
    }

    #[test]
    fn a_client_that_pipelines_is_not_resynchronized() {
        let mut client = Pipelining::new(false);
        let sends = [(true, false), (true, true), (false, false), (true, false)];
        assert_eq!(
            sends.map(|(synced, waiting)| client.observe(synced, waiting)),
            [
                ClientSend::Barrier,
                ClientSend::Ordinary,
                ClientSend::Unpairable,
                ClientSend::Ordinary
            ]
        );
    }

    #[test]
    fn a_client_first_seen_midway_that_pipelines_is_given_up() {
        let mut client = Pipelining::new(true);
        let sends = [(false, false), (true, false), (true, true), (false, false)];
        assert_eq!(
            sends.map(|(synced, waiting)| client.observe(synced, waiting)),
            [
                ClientSend::Barrier,
                ClientSend::Ordinary,
                ClientSend::Unpairable,
                ClientSend::Unpairable
            ]
        );
    }
}
