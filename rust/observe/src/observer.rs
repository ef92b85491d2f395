//! Servers that are observed → one interval after the other.

use std::time::{Duration, Instant};

use membench_bpf::monotonic_ns;
use membench_capture::{Selection, anchor};
use membench_event::{Anchor, share};

use crate::{
    Interval, Misses, Options, Result,
    commands::Commands,
    connections::Connected,
    culprits::Culprits,
    hindsight::Hindsight,
    kernel::Kernel,
    slow::{self, RING, Slowest, UNUSED},
    tally::Tally,
    timeline::Drawing,
};

/// Servers whose requests are observed, until this is dropped.
pub struct Observer {
    kernel: Kernel,
    tally: Tally,
    culprits: Culprits,
    commands: Option<Commands>,
    connections: Option<Connected>,
    slowest: Option<Slowest>,
    hindsight: Option<Hindsight>,
    drawing: Option<Drawing>,
    /// The begin of the observation, on the programs' clock and in UTC.
    anchor: Anchor,
    begun: Instant,
    last: Instant,
    /// The moment at which the programs were detached, on both clocks.
    detached: Option<(Instant, u64)>,
    run_time: Option<u64>,
    skipped: u64,
    ports: Vec<u16>,
}

impl Observer {
    /// Finds the servers, then loads and attaches the programs that `options` ask for.
    pub fn start(selection: &Selection, options: &Options) -> Result<Self> {
        let followed = selection.find()?;
        let ring = if options.keep.is_some() { RING } else { UNUSED };
        let mut kernel = Kernel::attach(&followed, options, ring)?;
        let object = &kernel.object;
        let mut tally = Tally::open(object)?;
        let culprits = Culprits::open(object)?;
        let commands = options.by_command.then(|| Commands::open(object));
        let mut commands = commands.transpose()?;
        let connections = options.by_connection.then(|| Connected::open(object));
        let mut connections = connections.transpose()?;
        let slowest = options.keep.map(|keep| Slowest::open(object, keep));
        let mut slowest = slowest.transpose()?;
        // What came while the programs were attached one after the other is in no interval.
        let now = Instant::now();
        let anchor = anchor();
        if let Some(slowest) = &mut slowest {
            slowest.cut()?;
        }
        let before = tally.take(anchor.monotonic_ns);
        if let Some(commands) = &mut commands {
            commands.take();
        }
        if let Some(connections) = &mut connections {
            connections.take(&before.account, &tally)?;
        }
        Ok(Self {
            run_time: kernel.run_time()?,
            skipped: kernel.misses()?,
            kernel,
            tally,
            culprits,
            commands,
            connections,
            slowest,
            hindsight: options.hindsight.map(Hindsight::new),
            drawing: None,
            anchor,
            begun: now,
            last: now,
            detached: None,
            ports: followed.ports,
        })
    }

    /// Returns the ports on which requests are observed.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Returns the begin of the observation, on the programs' clock, ns.
    pub fn began_ns(&self) -> u64 {
        self.anchor.monotonic_ns
    }

    /// True if the kernel tells this process what the programs cost.
    pub fn knows_cost(&self) -> bool {
        self.kernel.knows_cost()
    }

    /// Detaches the programs. What they summed can still be taken.
    pub fn detach(&mut self) {
        if self.detached.is_none() {
            self.tally.freeze();
            self.detached = Some((Instant::now(), monotonic_ns()));
            self.kernel.detach();
        }
    }

    /// Detaches the programs that follow requests; those that count rare events of TCP stay.
    pub fn detach_requests(&mut self) {
        self.tally.freeze();
        self.kernel.detach_requests();
    }

    /// Returns the next bytes of a timeline of slow requests for Perfetto, which the first call begins: those of the
    /// intervals that were taken since then. With hindsight it is those of the last while that no call has returned.
    pub fn timeline(&mut self) -> Vec<u8> {
        let drawing = self.drawing.get_or_insert_with(Drawing::new);
        if let Some(hindsight) = &mut self.hindsight {
            drawing.draw(&hindsight.take(), self.anchor.utc_ns(0));
        }
        drawing.take()
    }

    /// Reads slow requests from the kernel, whose room for them is limited. They are part of the next interval.
    pub fn read_slow(&mut self) -> Result<()> {
        self.slowest.as_mut().map_or(Ok(()), Slowest::read)
    }

    /// Returns what came since the last call.
    pub fn take(&mut self) -> Result<Interval> {
        let (now, clock) = self
            .detached
            .unwrap_or_else(|| (Instant::now(), monotonic_ns()));
        // Before the sums: a record that is listed is counted, and its worker is known to the tally.
        let slowest = self.slowest.as_mut().map(Slowest::cut).transpose()?;
        let change = self.tally.take(clock);
        let others = change.waited_briefly + change.waited_for_unknown;
        let culprits = self.culprits.take(others)?;
        let charged: u64 = culprits.iter().map(|culprit| culprit.time_ns).sum();
        let length = now.saturating_duration_since(std::mem::replace(&mut self.last, now));
        let run_time = self.kernel.run_time()?;
        let spent = run_time
            .zip(self.run_time)
            .map(|(now, before)| now.saturating_sub(before));
        self.run_time = run_time;
        let skipped = self.kernel.misses()?;
        let runs = skipped.saturating_sub(std::mem::replace(&mut self.skipped, skipped));
        let requests = change.account.requests;
        let records = slowest.iter().flatten();
        let slow: Vec<_> = records
            .map(|record| slow::request(record, &self.tally, self.anchor))
            .collect();
        if let Some(hindsight) = &mut self.hindsight {
            hindsight.add(now, slow.clone());
        } else if let Some(drawing) = &mut self.drawing {
            drawing.draw(&slow, self.anchor.utc_ns(0));
        }
        let connections = self.connections.as_mut();
        let connections = connections.map(|one| one.take(&change.account, &self.tally));
        Ok(Interval {
            elapsed_s: now.saturating_duration_since(self.begun).as_secs_f64(),
            interval_s: length.as_secs_f64(),
            cost_ns_per_request: spent.and_then(|spent| share(spent, requests)),
            cpu_share: spent.and_then(|spent| share(spent, nanoseconds(length))),
            account: change.account,
            culprits,
            waited_ns: charged + others,
            waited_briefly_ns: change.waited_briefly,
            waited_for_unknown_ns: change.waited_for_unknown,
            workers: change.workers,
            commands: self.commands.as_mut().map(Commands::take),
            connections: connections.transpose()?,
            tcp_events: change.tcp_events,
            slow,
            slow_requests: self.slowest.is_some().then_some(change.slow),
            slow_unread: change.slow_unread,
            misses: Misses {
                runs,
                ..change.misses
            },
        })
    }
}

/// Returns a time in ns.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
