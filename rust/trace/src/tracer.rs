//! Options → a running trace: text as calls come, and at the end what became of all.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use membench_bpf::{Capability, monotonic_ns};
use membench_common::trace::{self, Call, Entered, NO_CALL, kind, read};
use membench_event::Timeline;
use serde::Serialize;

use crate::{
    Error, Format, Hooks, Options, Result, Tally,
    connection::{self, Connections, Exchange},
    descriptor::Descriptors,
    json,
    kernel::Kernel,
    line::{self, Style},
    process,
    recent::Recent,
    record::Record,
    tally::{self, Own},
    timeline,
};

/// Longest pause between two looks at the rings.
const PAUSE: Duration = Duration::from_millis(5);
/// Records that are taken at a time.
const LIMIT: usize = 4_096;
/// Time between two looks whether the processes still run.
const PATIENCE: Duration = Duration::from_millis(200);
/// Most calls that replace their memory at the same time.
const REPLACING: usize = 1_024;

/// Totals of one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Total {
    /// The call's name.
    pub call: String,
    /// How often it was made.
    pub calls: u64,
    /// How often it failed.
    pub errors: u64,
    /// Time that it took in all, ns.
    pub time_ns: u64,
    /// Time of the longest, ns.
    pub longest_ns: u64,
}

/// A running trace. Dropping it detaches everything.
pub struct Tracer {
    kernel: Kernel,
    pids: Vec<u32>,
    output: Output,
    looked: Instant,
    ended: bool,
    tally: Option<Tally>,
    trigger_ns: Option<u64>,
}

/// Turns records into text.
struct Output {
    format: Format,
    style: Style,
    descriptors: Option<Descriptors>,
    connections: Connections,
    /// Records of calls that replace the memory their arguments are in, by thread.
    replacing: HashMap<u32, Vec<u8>>,
    recent: Option<Recent>,
    timeline: Option<Timeline>,
    utc: i128,
    own: Own,
    text: String,
}

impl Tracer {
    /// Attaches to the processes. Everything that needs privileges happens here.
    ///
    /// # Errors
    ///
    /// Fails if a process does not exist, nobody listens on a port, or the kernel refuses the programs.
    pub fn start(options: &Options) -> Result<Self> {
        check_hooks(options)?;
        let pids = pids(options)?;
        let kernel = Kernel::start(options, &pids, &followed(options, &pids))?;
        let utc = utc_offset();
        let style = Style {
            clock: options.clock,
            times: options.times,
            bytes: options.show_keys,
            day: utc + i128::from(options.utc_offset_s) * 1_000_000_000,
        };
        let limit = options.slower_than.filter(|_| options.last.is_some());
        Ok(Self {
            kernel,
            pids,
            output: Output {
                format: options.format,
                style,
                descriptors: options.descriptors.then(Descriptors::default),
                connections: Connections::new(options.show_keys),
                replacing: HashMap::new(),
                recent: options.last.map(Recent::new),
                timeline: options.timeline.then(timeline::new),
                utc,
                own: Own::default(),
                text: String::new(),
            },
            looked: Instant::now(),
            ended: false,
            tally: None,
            trigger_ns: limit.map(|limit| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)),
        })
    }

    /// Returns the processes that are traced.
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// Returns the capabilities that the trace takes from now on, a bit each.
    pub fn capabilities(&self) -> u64 {
        let mut needed = Capability::for_elements().to_vec();
        if self.output.descriptors.is_some() {
            needed.push(Capability::SysPtrace);
        }
        Capability::set(&needed)
    }

    /// Waits for calls, at most for a time; returns their lines, which may be none.
    pub fn next(&mut self, timeout: Duration) -> String {
        let until = Instant::now() + timeout;
        loop {
            let taken = self.drain();
            if !self.output.text.is_empty() || self.ended {
                return std::mem::take(&mut self.output.text);
            }
            if taken == 0 {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return String::new();
                }
                self.look();
                std::thread::sleep(PAUSE.min(left));
            }
        }
    }

    /// Returns true once no traced process runs and every line was returned.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Returns the kept lines of the last seconds.
    pub fn take_last(&mut self) -> String {
        self.drain();
        self.output.take_last();
        std::mem::take(&mut self.output.text)
    }

    /// Returns the next bytes of the timeline for Perfetto.
    pub fn timeline(&mut self) -> Vec<u8> {
        let timeline = self.output.timeline.as_mut();
        timeline.map(Timeline::take).unwrap_or_default()
    }

    /// Ends the trace: detaches everything, and returns the lines that are left.
    ///
    /// # Errors
    ///
    /// Fails if the programs cannot be told to stop.
    pub fn stop(&mut self) -> Result<String> {
        if self.tally.is_some() {
            return Ok(String::new());
        }
        self.kernel.end()?;
        // What is being written when recording ends is complete a moment later.
        let until = Instant::now() + PATIENCE;
        while (self.drain() > 0 || !self.kernel.is_drained()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        for entered in self.kernel.unfinished() {
            self.output.unfinished(&entered);
        }
        self.output.take_last();
        if let Some(recent) = &self.output.recent {
            self.output.own.older = recent.older;
        }
        self.tally = Some(self.count());
        Ok(std::mem::take(&mut self.output.text))
    }

    /// Returns what became of the calls so far.
    pub fn tally(&mut self) -> Tally {
        match &self.tally {
            Some(tally) => tally.clone(),
            None => self.count(),
        }
    }

    /// Returns the totals of each call.
    pub fn totals(&self) -> Vec<Total> {
        let mut totals: Vec<Total> = self
            .kernel
            .totals()
            .into_iter()
            .map(|sums| Total {
                call: line::name(sums.number),
                calls: sums.calls,
                errors: sums.errors,
                time_ns: sums.time_ns,
                longest_ns: sums.longest_ns,
            })
            .collect();
        totals.sort_by_key(|total| std::cmp::Reverse(total.time_ns));
        totals
    }

    fn count(&mut self) -> Tally {
        let counts = self.kernel.counts();
        let is_totals = self.output.own.taken == 0;
        Tally {
            runs_skipped: self.kernel.skipped_runs(),
            hooks: self.kernel.hooks.name(),
            cost_ns: self.kernel.cost_ns,
            ..tally::tally(&counts, self.output.own, is_totals)
        }
    }

    fn drain(&mut self) -> usize {
        let (output, trigger) = (&mut self.output, self.trigger_ns);
        let mut triggered = false;
        let taken = self.kernel.drain(LIMIT, &mut |bytes| {
            if let Some(record) = Record::parse(bytes) {
                let call = &record.call;
                let took = call.time.saturating_sub(call.began);
                triggered |= call.began != 0 && trigger.is_some_and(|limit| took >= limit);
                output.take(bytes, record);
            }
        });
        if triggered {
            output.take_last();
        }
        taken
    }

    /// Notes whether any of the processes still runs.
    fn look(&mut self) {
        if self.looked.elapsed() < PATIENCE {
            return;
        }
        self.looked = Instant::now();
        let is_over = !self.pids.iter().any(|pid| process::is_running(*pid));
        // Records of the last calls were there before the process was gone.
        self.ended = is_over && self.drain() == 0 && self.kernel.is_drained();
    }
}

impl Output {
    fn take<'a>(&mut self, bytes: &'a [u8], mut record: Record<'a>) {
        let call = record.call;
        if call.kind == kind::ENTRY {
            if self.replacing.len() < REPLACING {
                self.replacing.insert(call.tid, bytes.to_vec());
            }
            return;
        }
        let is_call = call.number != NO_CALL;
        let before = if self.replacing.is_empty() {
            None
        } else {
            self.replacing.remove(&call.tid)
        };
        if let Some(earlier) = before.as_deref().and_then(Record::parse) {
            let mut joined = Record::bare(call);
            joined.adopt(earlier.parts().to_vec());
            joined.adopt(record.parts().to_vec());
            self.write(&joined, is_call);
            return;
        }
        record.adopt(Vec::new());
        self.write(&record, is_call);
    }

    fn write(&mut self, record: &Record<'_>, is_call: bool) {
        let exchange = self.exchange(record);
        let note = exchange.as_ref().map(connection::note).unwrap_or_default();
        let names = self.descriptors.take();
        let mut text = String::new();
        let naming = |number: i32, is_result: bool| match &names {
            Some(names) => {
                let of = if is_result { read::RESULT } else { 0 };
                if is_result {
                    names.forget(record.call.pid, number);
                }
                names.name(record.call.pid, number, record.socket(of).as_ref())
            }
            None => String::new(),
        };
        match self.format {
            Format::Strace => line::write(&mut text, record, self.style, &naming, &note),
            Format::Json => json::write(
                &mut text,
                record,
                &naming,
                exchange.as_ref(),
                self.utc,
                true,
            ),
        }
        if let Some(timeline) = &mut self.timeline {
            timeline::draw(timeline, record, &naming, exchange.as_ref(), &note);
        }
        self.close(record, names.as_ref());
        self.descriptors = names;
        self.own.taken += u64::from(is_call);
        self.push(record.call.time, text, u64::from(is_call));
    }

    fn push(&mut self, time: u64, text: String, calls: u64) {
        if let Some(recent) = &mut self.recent {
            recent.push(time, text, calls);
        } else {
            self.text.push_str(&text);
            self.own.shown += calls;
        }
    }

    fn take_last(&mut self) {
        if let Some(recent) = &mut self.recent {
            self.own.shown += recent.take(&mut self.text);
        }
    }

    /// Finds the connection of a call on a followed socket, and the commands that it moved.
    fn exchange(&mut self, record: &Record<'_>) -> Option<Exchange> {
        if record.call.kind != kind::RETURN {
            return None;
        }
        let accepted = record
            .socket(read::RESULT)
            .filter(|socket| socket.followed != 0);
        let socket = accepted.or_else(|| record.socket(0).filter(|socket| socket.followed != 0))?;
        if socket.remote_port == 0 {
            return None;
        }
        if record.stream().next().is_none() {
            return Some(Exchange {
                connection: self.connections.number(&socket),
                commands: Vec::new(),
                unsynced: false,
            });
        }
        let name = line::name(record.call.number);
        let sent =
            name.starts_with("send") || name.starts_with("write") || name.starts_with("pwrite");
        Some(self.connections.take(&socket, sent, record.stream()))
    }

    /// Forgets what a call closed.
    fn close(&mut self, record: &Record<'_>, names: Option<&Descriptors>) {
        if line::name(record.call.number) != "close" || record.call.result != 0 {
            return;
        }
        if let Some(socket) = record.socket(0) {
            self.connections.close(&socket);
        }
        if let (Some(names), Ok(number)) = (names, i32::try_from(record.argument(0))) {
            names.forget(record.call.pid, number);
        }
    }

    fn unfinished(&mut self, entered: &Entered) {
        let record = Record::bare(Call {
            time: entered.began,
            began: entered.began,
            result: 0,
            arguments: entered.arguments,
            pid: entered.pid,
            tid: entered.tid,
            kind: kind::RETURN,
            number: entered.number,
            parts: 0,
            length: 0,
        });
        let naming = |_: i32, _: bool| String::new();
        let mut text = String::new();
        match self.format {
            Format::Strace => line::unfinished(&mut text, &record, self.style, &naming, false),
            Format::Json => json::write(&mut text, &record, &naming, None, self.utc, false),
        }
        self.own.unfinished += 1;
        // What has not returned yet belongs to the end, whenever it began.
        self.own.shown += 1;
        self.take_last();
        self.text.push_str(&text);
    }
}

fn check_hooks(options: &Options) -> Result<()> {
    let (found, most) = (options.calls.len(), trace::PAIRS);
    if options.hooks == Some(Hooks::Functions) && found > most {
        return Err(Error::TooManyFunctions { found, most });
    }
    Ok(())
}

fn pids(options: &Options) -> Result<Vec<u32>> {
    let most = membench_common::PORTS;
    if options.ports.len() > most || options.ports.contains(&0) {
        return Err(Error::Ports {
            found: options.ports.clone(),
            most,
        });
    }
    let pids = match (options.pids.as_slice(), options.ports.as_slice()) {
        ([], []) => return Err(Error::NoProcess),
        ([], ports) => process::listening(ports)?,
        (pids, _) => pids.to_vec(),
    };
    if pids.len() > membench_common::FILTERS {
        return Err(Error::TooManyProcesses {
            found: pids.len(),
            most: membench_common::FILTERS,
        });
    }
    for pid in &pids {
        process::check(*pid)?;
    }
    Ok(pids)
}

/// Returns the ports of memcached on whose sockets calls show their commands: those asked for, else those on which the
/// traced memcacheds listen, unless there are too many. Totals show none.
fn followed(options: &Options, pids: &[u32]) -> Vec<u16> {
    if !options.ports.is_empty() {
        return options.ports.clone();
    }
    let found = process::memcached_ports(pids);
    if options.totals || found.len() > membench_common::PORTS {
        return Vec::new();
    }
    found.into_iter().collect()
}

/// Returns UTC minus the monotonic clock, ns.
fn utc_offset() -> i128 {
    let utc = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let utc = i128::try_from(utc.as_nanos()).unwrap_or(0);
    utc - i128::from(monotonic_ns())
}
