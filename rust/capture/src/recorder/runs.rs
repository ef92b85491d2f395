//! Servers that were found → when each process began and ended while the recording lasted.

use std::fs;
use std::time::Duration;

use membench_event::{Server, ServerRun};

use crate::selection::listeners::Listener;
use crate::server::status::ServerStatus;

/// Servers of a recording, those that have ended included.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    all: Vec<Run>,
    /// Number of the servers that were met in the recording so far.
    met: usize,
    /// True if a server was met of which no run is known, and servers were not looked for since.
    has_met_stranger: bool,
}

#[derive(Debug)]
struct Run {
    listener: Listener,
    process: Option<Process>,
    /// Time at which it was found, since the start; `None` if it ran before.
    began: Option<Duration>,
    ended: Option<Duration>,
}

/// A process, told from later ones of the same number by the time at which it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    /// Start, in clock ticks since boot.
    started: u64,
}

impl Process {
    /// Returns a process that runs; `None` if there is none of this number, or it has ended and awaits its parent.
    fn find(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before `)` may hold any character.
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Self { pid, started })
    }

    fn runs(self) -> bool {
        Self::find(self.pid) == Some(self)
    }
}

impl Runs {
    /// True if no server was found so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds servers that were found `began` after the start; `None` if they ran before.
    pub(crate) fn add(&mut self, listeners: &[Listener], began: Option<Duration>) {
        self.all.extend(listeners.iter().map(|listener| Run {
            listener: listener.clone(),
            process: listener.pid.and_then(Process::find),
            began,
            ended: None,
        }));
    }

    /// Notes which processes have ended by `now`, since the start. Returns true if any has.
    pub(crate) fn note_ends(&mut self, now: Duration) -> bool {
        let mut any = false;
        for run in &mut self.all {
            let is_gone = run.process.is_some_and(|process| !process.runs());
            if run.ended.is_none() && is_gone {
                run.ended = Some(now);
                any = true;
            }
        }
        any
    }

    /// True if a look for servers may find one: a server has ended and no other listens in its place, or one was met that
    /// is not known.
    pub(crate) fn is_one_unknown(&self) -> bool {
        let is_missing = |run: &Run| run.ended.is_some() && !self.is_replaced(run);
        self.has_met_stranger || self.all.iter().any(is_missing)
    }

    fn is_replaced(&self, ended: &Run) -> bool {
        self.all
            .iter()
            .any(|run| run.ended.is_none() && run.listener.is_at_the_place_of(&ended.listener))
    }

    /// Notes if any server met since the last call is a process of which no run is known.
    pub(crate) fn meet(&mut self, servers: &[Server]) {
        let new = servers.get(self.met..).unwrap_or_default();
        self.met = servers.len();
        let is_stranger = |server: &Server| {
            let is_its = |run: &Run| {
                run.listener.pid == Some(server.pid)
                    && run.listener.endpoint.port() == server.port
                    && run.listener.endpoint.path() == server.path
            };
            server.pid != 0 && !self.all.iter().any(is_its)
        };
        self.has_met_stranger |= new.iter().any(is_stranger);
    }

    /// Returns those of the listeners that are not known yet. A server that listens at several addresses of a port counts
    /// once, even if its process cannot be seen.
    pub(crate) fn new_among(&mut self, found: Vec<Listener>) -> Vec<Listener> {
        self.has_met_stranger = false;
        let mut new: Vec<Listener> = Vec::new();
        for one in found {
            let is_known = self.all.iter().any(|run| {
                let known = &run.listener;
                let is_same =
                    run.ended.is_none() && one.pid.is_none() && known.is_at_the_place_of(&one);
                known.inode == one.inode || is_same
            });
            let is_same = |other: &Listener| one.pid.is_none() && other.is_at_the_place_of(&one);
            if !is_known && !new.iter().any(is_same) {
                new.push(one);
            }
        }
        new
    }

    /// Returns the servers that still run, as a status shows them.
    pub(crate) fn status(&self) -> Vec<ServerStatus> {
        let running = self.all.iter().filter(|run| run.ended.is_none());
        running.map(|run| ServerStatus::of(&run.listener)).collect()
    }

    /// Names the processes that this user cannot see by what the kernel said of their sockets.
    pub(crate) fn learn_pids(&mut self, servers: &[Server]) {
        for index in 0..self.all.len() {
            let Some(run) = self.all.get(index) else {
                continue;
            };
            if run.listener.pid.is_some() {
                continue;
            }
            let is_new = |pid: u32| self.all.iter().all(|known| known.listener.pid != Some(pid));
            let is_here = |server: &&Server| {
                server.pid != 0
                    && server.port == run.listener.endpoint.port()
                    && server.path == run.listener.endpoint.path()
                    && server.network_namespace == run.listener.network_namespace
                    && is_new(server.pid)
            };
            let pid = servers.iter().rfind(is_here).map(|server| server.pid);
            if let (Some(pid), Some(run)) = (pid, self.all.get_mut(index)) {
                run.listener.pid = Some(pid);
                run.process = Process::find(pid);
            }
        }
    }

    /// Returns the runs, with what the servers said of themselves.
    pub(crate) fn report(&self, about: impl Fn(&Listener) -> Option<ServerRun>) -> Vec<ServerRun> {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let runs = self.all.iter().map(|run| {
            let told = about(&run.listener).unwrap_or_default();
            ServerRun {
                listening: run.listener.endpoint.to_string(),
                port: run.listener.endpoint.port(),
                pid: run.listener.pid.or(told.pid),
                began_s: seconds(run.began),
                ended_s: seconds(run.ended),
                ..told
            }
        });
        runs.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::selection::listeners::Endpoint;

    fn listener(pid: Option<u32>, inode: u64) -> Listener {
        Listener {
            endpoint: Endpoint::Inet(SocketAddr::from(([0, 0, 0, 0], 11211))),
            network_namespace: 1,
            inode,
            pid,
            is_whole: true,
        }
    }

    #[test]
    fn a_process_that_ends_is_missing_until_another_takes_its_place() {
        let mut first = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let mut runs = Runs::default();
        runs.add(&[listener(Some(first.id()), 1)], None);
        assert!(!runs.note_ends(Duration::from_secs(1)) && !runs.is_one_unknown());
        first.kill().unwrap();
        // Its parent, this test, has not waited for it: it is dead all the same.
        while !runs.note_ends(Duration::from_secs(4)) {
            std::thread::yield_now();
        }
        assert!(runs.is_one_unknown() && runs.status().is_empty());
        first.wait().unwrap();
        let own = std::process::id();
        let hidden = [listener(None, 2), listener(None, 3)];
        let found = [vec![listener(Some(first.id()), 1)], hidden.to_vec()].concat();
        let found = runs.new_among(found);
        assert_eq!(found, hidden[..1]);
        runs.add(&found, Some(Duration::from_secs(5)));
        assert!(!runs.is_one_unknown() && runs.new_among(hidden.to_vec()).is_empty());
        let server = Server {
            port: 11211,
            pid: own,
            network_namespace: 1,
            ..Server::default()
        };
        runs.meet(&[]);
        assert!(!runs.is_one_unknown());
        runs.learn_pids(std::slice::from_ref(&server));
        runs.meet(std::slice::from_ref(&server));
        assert!(!runs.is_one_unknown());
        let beside = Server {
            port: 11212,
            ..server.clone()
        };
        let servers = [server, beside];
        runs.meet(&servers);
        assert!(runs.is_one_unknown() && runs.new_among(hidden.to_vec()).is_empty());
        runs.meet(&servers);
        assert!(!runs.is_one_unknown());
        let report = runs.report(|_| None);
        let told = |run: &ServerRun| (run.pid, run.began_s, run.ended_s);
        assert_eq!(
            report.iter().map(told).collect::<Vec<_>>(),
            [
                (Some(first.id()), None, Some(4.0)),
                (Some(own), Some(5.0), None)
            ]
        );
    }
}
