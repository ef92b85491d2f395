//! Bounds of what clients without end can make a session hold: peers of UDP servers, and requests without responses.

use crate::session::Session;

/// Requests without a response on all connections together: about 200 MB.
const MOST_OPEN_IN_ALL: usize = 1 << 20;

impl Session {
    /// Closes the connections of the peers that have been silent for longest, if there are too many.
    pub(super) fn forget_idle_peers(&mut self) {
        for connection in self.sockets.forget_idle_peers() {
            self.close(connection);
        }
    }

    /// Gives up the responses of the connections with most open requests, if too many are open on all together: clients
    /// that send and do not read can open connections without end.
    pub(crate) fn bound_open_requests(&mut self) {
        self.bound_open_requests_to(MOST_OPEN_IN_ALL);
    }

    pub(super) fn bound_open_requests_to(&mut self, most: usize) {
        let connections = self.decoder.open_connections().into_iter();
        let mut open: Vec<(usize, u32)> = connections
            .map(|connection| (self.decoder.open_requests(connection), connection))
            .filter(|(requests, _)| *requests > 0)
            .collect();
        let mut all: usize = open.iter().map(|(requests, _)| requests).sum();
        if all <= most {
            return;
        }
        open.sort_unstable();
        while let Some((requests, connection)) = open.pop()
            && all > most / 2
        {
            self.decoder.give_up_responses(connection);
            all -= requests;
        }
    }
}
