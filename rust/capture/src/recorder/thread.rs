//! The recording's thread: drain, decode, write, tell; at the end detach, settle and seal.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use membench_decode::Decoder;
use membench_event::{Anchor, OptionsTable};
use membench_profile::Writer;

use crate::recorder::guards::Guards;
use crate::recorder::pace::{self, DRAIN_PERIODS, Lately, Pace};
use crate::recorder::rotation::Rotation;
use crate::recorder::status::{ServerStatus, Shared, State, Status};
use crate::recorder::tally::Tally;
use crate::recorder::{Batch, RecordOptions, Recording, Stop};
use crate::selection::listeners::{self, Listener};
use crate::selection::namespaces;
use crate::server::client::Asking;
use crate::session::Session;
use crate::session::peer::{OpenBefore, OwnAddresses};
use crate::session::sockets::Sockets;
use crate::source::{Drained, Source};
use crate::{Followed, Limits, Result, Side, clock};

/// How often the open part is flushed and the status told.
const FLUSH_PERIOD: Duration = Duration::from_millis(250);
/// How often the known connections are written beside the open part, and listeners looked for while there are none.
const SLOW_PERIOD: Duration = Duration::from_secs(1);
/// Records taken before events are handed on, so that a drain never holds many.
const RECORDS_PER_TURN: usize = 16_384;

/// A recording's thread, before it runs.
pub(crate) struct Running {
    pub(crate) options: RecordOptions,
    pub(crate) followed: Followed,
    pub(crate) source: Source,
    pub(crate) session: Session,
    pub(crate) own: OwnAddresses,
    pub(crate) asking: Asking,
    versions_known: usize,
    pub(crate) anchor: Anchor,
    pub(crate) writer: Option<Writer>,
    pub(crate) rotation: Option<Rotation>,
    pub(crate) consumer: Option<SyncSender<Batch>>,
    pub(crate) names: Arc<OptionsTable>,
    pub(crate) tally: Tally,
    pub(crate) status: Shared,
    pub(crate) stop: Stop,
    pub(crate) started: Instant,
    /// CPU time this process had used by then, s.
    pub(crate) cpu_before: f64,
    pub(crate) guards: Guards,
    /// How well it keeps up since it was last told,
    pub(crate) pace: Pace,
    /// in the spans before,
    pub(crate) lately: Lately,
    /// and before that.
    pub(crate) pace_before: Pace,
    pub(crate) drain_period: Duration,
    pub(crate) flushed: Instant,
    pub(crate) looked: Instant,
    pub(crate) told: (Instant, u64, f64),
    pub(crate) write_error: Option<String>,
    /// Connections the consumer knows.
    met: usize,
    /// How many servers' answers are in the manifest.
    servers_asked: usize,
}

impl Running {
    pub(crate) fn new(
        options: RecordOptions,
        followed: Followed,
        source: Source,
        decoder: Decoder,
        anchor: Anchor,
    ) -> Self {
        let now = Instant::now();
        // A file may be read as fast as it can be.
        let limits = Limits {
            max_cpu: options.limits.max_cpu.filter(|_| source.is_live()),
            ..options.limits
        };
        let guards = Guards::new(limits);
        let own = OwnAddresses::default();
        // Packets tell of themselves whether a connection was open before.
        let open_before = if source.sees_reads() {
            OpenBefore::new(
                listeners::clients(&followed),
                listeners::accepted(&followed),
            )
        } else {
            OpenBefore::default()
        };
        let paths = followed.sockets.clone();
        let sockets =
            Sockets::new(own.clone(), namespaces::own(), open_before, paths).on(followed.side);
        let mut session = Session::new(decoder, sockets);
        session.namespace = source.namespace();
        Self {
            options,
            followed,
            source,
            session,
            own,
            asking: Asking::default(),
            versions_known: 0,
            anchor,
            writer: None,
            rotation: None,
            consumer: None,
            names: Arc::default(),
            tally: Tally::default(),
            status: Shared::default(),
            stop: Stop::default(),
            started: now,
            cpu_before: clock::cpu_s(),
            guards,
            pace: Pace::default(),
            lately: Lately::default(),
            pace_before: Pace::default(),
            drain_period: DRAIN_PERIODS.0,
            flushed: now,
            looked: now,
            told: (now, 0, clock::cpu_s()),
            write_error: None,
            met: 0,
            servers_asked: 0,
        }
    }

    pub(crate) fn writing(self, writer: Option<Writer>, rotation: Option<Rotation>) -> Self {
        Self {
            writer,
            rotation: rotation.map(|rotation| rotation.beginning(self.started)),
            ..self
        }
    }

    pub(crate) fn feeding(self, consumer: Option<SyncSender<Batch>>) -> Self {
        Self { consumer, ..self }
    }

    pub(crate) fn telling(self, status: Shared, stop: Stop) -> Self {
        Self {
            status,
            stop,
            ..self
        }
    }

    /// Records until it is told to stop, then seals.
    pub(crate) fn run(mut self, listeners: Vec<Listener>) -> Result<Recording> {
        self.rotation.as_ref().map_or(Ok(()), Rotation::check)?;
        let (hooks, kernel) = self.source.hooks();
        let fallback = self.source.fallback();
        let waits = self.source.sees_reads();
        self.status.update(|status| {
            status.hooks = hooks;
            status.fallback = fallback;
            status.kernel = kernel;
            if !waits {
                status.state = State::Recording;
            }
        });
        self.meet(listeners);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|source| crate::Error::NotStarted {
                what: "timer",
                source,
            })?;
        runtime.block_on(self.record());
        self.end()
    }

    async fn record(&mut self) {
        let token = self.stop.token.clone();
        let end = self
            .options
            .duration
            .filter(|_| self.source.is_live())
            .map(|duration| self.started + duration);
        while !token.is_cancelled() {
            let wake = Instant::now() + self.drain_period;
            let wake = end.map_or(wake, |end| wake.min(end));
            tokio::select! {
                () = token.cancelled() => {}
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            self.turn();
            if end.is_some_and(|end| Instant::now() >= end) {
                self.stop.ask("duration");
            }
        }
    }

    /// One look at the source and whatever else is due.
    fn turn(&mut self) {
        let taken = self.drain();
        self.adapt(taken);
        if taken.ended {
            self.stop.ask(&self.source.ending());
        }
        if self.flushed.elapsed() >= FLUSH_PERIOD {
            self.flushed = Instant::now();
            self.session.let_go(clock::monotonic_ns());
            self.flush();
            self.collect_answers(Duration::ZERO);
            self.watch();
            self.rotate();
        }
        if self.looked.elapsed() >= SLOW_PERIOD {
            self.looked = Instant::now();
            self.look();
        }
    }

    /// Takes everything out of a live source, or a turn's share of a file, and hands the events on.
    pub(crate) fn drain(&mut self) -> Drained {
        let mut all = Drained::default();
        loop {
            let taken = self.source.drain(RECORDS_PER_TURN, &mut self.session);
            self.hand_on();
            all = Drained {
                fill: all.fill.max(taken.fill),
                lag: all.lag.max(taken.lag),
                ..taken
            };
            if !taken.more || !self.source.is_live() {
                break;
            }
        }
        self.pace.note(all.fill, all.lag);
        all
    }

    /// A file is read on at once.
    fn adapt(&mut self, taken: Drained) {
        self.drain_period = if self.source.is_live() {
            pace::next_period(self.drain_period, taken.fill)
        } else {
            Duration::ZERO
        };
    }

    pub(crate) fn hand_on(&mut self) {
        self.session.leave_out(self.options.sample);
        let session = &mut self.session;
        if session.events().is_empty() {
            return;
        }
        self.tally.add(session.events());
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.append(session.events(), session.options())
        {
            give_up_writing(&mut self.write_error, &self.stop, &error);
        }
        if let Some(consumer) = &self.consumer {
            if self.names.names().len() != session.options().names().len() {
                self.names = Arc::new(session.options().clone());
            }
            let events = session.events().to_vec();
            let lost = events.len() as u64;
            let met = Batch::met(self.session.sockets().connections(), self.met);
            let met_now = self.met + met.len();
            let batch = Batch {
                events,
                options: Arc::clone(&self.names),
                anchor: self.anchor,
                met,
            };
            match consumer.try_send(batch) {
                Ok(()) => self.met = met_now,
                Err(_) => self.session.drop_events(lost),
            }
        }
        self.session.clear_events();
    }

    pub(crate) fn flush(&mut self) {
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.flush()
        {
            give_up_writing(&mut self.write_error, &self.stop, &error);
        }
    }

    /// Asks servers that were found for their counters.
    fn meet(&mut self, listeners: Vec<Listener>) {
        if self.followed.side == Side::Client {
            return self.status.update(|status| status.state = State::Recording);
        }
        if listeners.is_empty() {
            return;
        }
        self.status.update(|status| {
            status.state = State::Recording;
            status.servers = listeners.iter().map(Listener::status).collect();
        });
        if self.options.statistics {
            self.asking.start(listeners, self.own.clone());
        }
    }

    pub(crate) fn collect_answers(&mut self, patience: Duration) {
        if !self.asking.collect(patience) {
            return;
        }
        self.learn_versions();
        let servers = self.asking.servers();
        let servers_known = servers.len();
        self.status.update(|status| name_servers(status, servers));
        if servers_known == self.servers_asked {
            return;
        }
        self.servers_asked = servers_known;
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.set_statistics_start(self.asking.statistics_start())
        {
            give_up_writing(&mut self.write_error, &self.stop, &error);
        }
    }

    /// What servers answered tells the decoder how they read; which server that was, their connection tells once it was
    /// seen.
    fn learn_versions(&mut self) {
        if self.versions_known == self.asking.count() {
            return;
        }
        let versions = self.asking.versions(self.session.sockets());
        self.versions_known = versions.len();
        for (server, version) in versions {
            self.session.decoder.learn_version(server, &version);
        }
    }

    fn look(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.note_clocks(clock::anchor());
        }
        let waiting = self.status.get().state == State::Waiting;
        if waiting {
            self.meet(listeners::find(&self.followed));
        }
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.save_connections(self.session.sockets().connections())
        {
            give_up_writing(&mut self.write_error, &self.stop, &error);
        }
    }
}

/// Puts what servers said of themselves in the places of what was known of them.
fn name_servers(status: &mut Status, servers: Vec<ServerStatus>) {
    for server in servers {
        let same = |known: &&mut ServerStatus| {
            known.listening == server.listening
                && known.network_namespace == server.network_namespace
        };
        if let Some(known) = status.servers.iter_mut().find(same) {
            *known = server;
        }
    }
}

/// Writing has failed for good: what is there is sealed.
pub(crate) fn give_up_writing(
    kept: &mut Option<String>,
    stop: &Stop,
    error: &dyn std::fmt::Display,
) {
    kept.get_or_insert_with(|| error.to_string());
    stop.ask("output failed");
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people; counts are far below 2^52"
)]
pub(crate) fn ratio(amount: u64, of: u64) -> f64 {
    amount as f64 / of as f64
}
