//! A running recording → what it says of itself, and whether it has reached a limit.

use std::time::Instant;

use membench_profile::Writer;

use crate::clock;
use crate::recorder::guards::Usage;
use crate::recorder::rotation::Rotation;
use crate::recorder::thread::{Running, ratio};

impl Running {
    /// Tells how it is going, and ends it where a limit is reached.
    pub(crate) fn watch(&mut self) {
        self.tell();
        let ring = self.source.buffer_bytes();
        let before = self.rotation.as_ref().map_or(0, Rotation::bytes_before);
        let usage = Usage::now(self.writer.as_ref(), ring, before);
        let most = self.options.max_size;
        self.guards.enforce(&usage, most, &self.stop);
    }

    fn bytes_written(&self) -> u64 {
        let before = self.rotation.as_ref().map_or(0, Rotation::bytes_before);
        before + self.bytes_of_current()
    }

    /// Bytes of the profile that is being written.
    pub(crate) fn bytes_of_current(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::bytes_written)
    }

    fn tell(&mut self) {
        let (now, events, cpu_s) = (Instant::now(), self.tally.events(), clock::cpu_s());
        let (before, events_before, cpu_before) = self.told;
        let seconds = now.duration_since(before).as_secs_f64();
        let counters = self.source.counters(&self.session);
        let (connections, connections_open) = self.session.sockets().counts();
        let bytes_written = self.bytes_written();
        let drops = self.session.dropped();
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let requests = self.tally.requests();
        let cpu_started = self.cpu_before;
        let pace = std::mem::take(&mut self.pace);
        self.pace_before.add(pace);
        let lately = self.lately.tell(pace);
        self.status.update(|status| {
            status.elapsed_s = elapsed_s;
            status.events = events;
            status.requests = requests;
            status.events_per_s = ratio(events - events_before, 1) / seconds;
            status.connections = connections;
            status.connections_open = connections_open;
            status.bytes_written = bytes_written;
            status.lost_bytes = counters.lost_bytes();
            status.user_queue_drops = drops;
            status.pace = lately;
            status.cpu_share = (cpu_s - cpu_before) / seconds;
            status.cpu_s = cpu_s - cpu_started;
        });
        self.told = (now, events, cpu_s);
    }
}
