//! One profile after another: when the next is due, where it goes, and sealing the last one meanwhile.

use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use membench_event::{Anchor, ConnectionRow, Ledger};
use membench_profile::{End, Header, Owner, Writer};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::recorder::thread::{Running, give_up_writing};
use crate::{Error, Result, clock};

/// When a recording goes on in another profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    /// Once so many bytes are written.
    Size(u64),
    /// After so long.
    Age(Duration),
}

/// A profile that was finished.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    pub(crate) path: PathBuf,
    /// Size of its parts.
    pub(crate) bytes: u64,
    /// Events that could not be written.
    pub(crate) not_taken: u64,
}

/// The profiles of one recording.
pub(crate) struct Rotation {
    every: Option<Rotate>,
    path: PathBuf,
    header: Header,
    number: u32,
    force: bool,
    begun: Instant,
    /// The same on the events' clock, ns; 0 for the first profile.
    since: u64,
    /// The ledger of the profiles before this one.
    before: Ledger,
    sealing: Option<JoinHandle<Result<Finished>>>,
    finished: Vec<Finished>,
}

impl Rotation {
    pub(crate) fn new(every: Option<Rotate>, path: PathBuf, header: Header, force: bool) -> Self {
        Self {
            every,
            path,
            header,
            number: 1,
            force,
            begun: Instant::now(),
            since: 0,
            before: Ledger::default(),
            sealing: None,
            finished: Vec::new(),
        }
    }

    /// The same, of a recording that began at that moment.
    pub(crate) fn beginning(self, begun: Instant) -> Self {
        Self { begun, ..self }
    }

    /// Where the profile that is being written is.
    pub(crate) fn current(&self) -> PathBuf {
        match self.every {
            Some(_) => numbered(&self.path, self.number),
            None => self.path.clone(),
        }
    }

    /// Makes sure, once this thread is whom the profiles belong to, that it can make another.
    pub(crate) fn check(&self) -> Result<()> {
        if self.every.is_none() {
            return Ok(());
        }
        let folder = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        accessat(
            CWD,
            folder,
            Access::WRITE_OK | Access::EXEC_OK,
            AtFlags::EACCESS,
        )
        .map_err(|errno| Error::Io {
            path: folder.into(),
            source: errno.into(),
        })
    }

    /// Bytes of the profiles before this one.
    pub(crate) fn bytes_before(&self) -> u64 {
        self.finished.iter().map(|one| one.bytes).sum()
    }

    /// Whether the next one is due. One is sealed at a time.
    fn is_due(&self, bytes: u64) -> bool {
        let sealed = self.sealing.as_ref().is_none_or(JoinHandle::is_finished);
        sealed
            && match self.every {
                None => false,
                Some(Rotate::Size(most)) => bytes >= most,
                Some(Rotate::Age(most)) => self.begun.elapsed() >= most,
            }
    }

    /// Opens the first profile, for whoever it is to belong to.
    pub(crate) fn first(&self, owner: Option<Owner>) -> Result<Writer> {
        Ok(Writer::create_for(
            owner,
            &self.current(),
            self.header.clone(),
            self.force,
        )?)
    }

    /// Opens the next profile, whose times are placed as those of the first are.
    fn open_next(&mut self, now: u64) -> Result<Writer> {
        let first = self.header.anchor;
        let header = Header {
            anchor: Anchor {
                monotonic_ns: now,
                utc_ns: first.utc_ns(now).cast_unsigned(),
            },
            statistics_start: serde_json::Value::Null,
            ..self.header.clone()
        };
        let path = numbered(&self.path, self.number + 1);
        Ok(Writer::create(&path, header, self.force)?)
    }

    /// What the profile that is being written has of the whole ledger.
    pub(crate) fn share_of(&self, whole: &Ledger) -> Ledger {
        whole.since(&self.before)
    }

    /// What the profile that is being written has of the connections: those open meanwhile.
    pub(crate) fn rows_of(&self, all: &[ConnectionRow]) -> Vec<ConnectionRow> {
        let is_ours = |row: &&ConnectionRow| row.closed.is_none_or(|closed| closed >= self.since);
        let own = all.iter().filter(is_ours).cloned();
        own.map(|row| ConnectionRow {
            opened: row.opened.filter(|opened| *opened >= self.since),
            ..row
        })
        .collect()
    }

    /// How long the profile that is being written lasts if it ends at that moment, ns.
    pub(crate) fn duration_ns(&self, end: Instant) -> u64 {
        u64::try_from((end - self.begun).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Finishes a profile while the next is being written.
    fn seal(&mut self, writer: Writer, end: End, whole: Ledger, now: u64) -> Result<()> {
        let path = self.current();
        let failed = |source| Error::Io {
            path: path.clone(),
            source,
        };
        let sealed = path.clone();
        let thread = thread::Builder::new()
            .name("membench-rotate".into())
            .spawn(move || finish(sealed, writer, end))
            .map_err(failed)?;
        self.sealing = Some(thread);
        (self.number, self.begun, self.since, self.before) =
            (self.number + 1, Instant::now(), now, whole);
        Ok(())
    }

    /// Takes note of the profile that was sealed meanwhile; waits for it.
    fn collect(&mut self) -> Result<()> {
        let Some(sealing) = self.sealing.take() else {
            return Ok(());
        };
        let sealed = sealing
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        self.finished.push(sealed?);
        Ok(())
    }

    /// Finishes the last profile; all of them, and the first failure.
    pub(crate) fn end(mut self, writer: Writer, end: End) -> (Vec<Finished>, Option<Error>) {
        let failure = self.collect().err();
        let last = finish(self.current(), writer, end);
        let failure = match last {
            Ok(last) => {
                self.finished.push(last);
                failure
            }
            Err(error) => failure.or(Some(error)),
        };
        (self.finished, failure)
    }
}

impl Running {
    /// Goes on in another profile if that is due. What is on its way then, a request without its answer, becomes an
    /// event of the next.
    pub(crate) fn rotate(&mut self) {
        let bytes = self.bytes_of_current();
        if !self.rotation.as_ref().is_some_and(|it| it.is_due(bytes)) {
            return;
        }
        // What is closed is only in the tables of its own time.
        self.session.let_go(u64::MAX);
        self.hand_on();
        let Some(rotation) = &mut self.rotation else {
            return;
        };
        let now = clock::monotonic_ns();
        let next = rotation.collect().and_then(|()| rotation.open_next(now));
        let rotated = next.and_then(|next| match self.writer.replace(next) {
            Some(last) => self.seal(last, now),
            None => Ok(()),
        });
        if let Err(error) = rotated {
            give_up_writing(&mut self.write_error, &self.stop, &error);
        }
    }

    fn seal(&mut self, writer: Writer, now: u64) -> Result<()> {
        let Some(rotation) = &mut self.rotation else {
            return Ok(());
        };
        let whole = self.source.ledger(&self.session).at_a_cut();
        let end = End {
            connections: rotation.rows_of(self.session.sockets().connections()),
            losses: self.session.take_losses(),
            ledger: rotation.share_of(&whole),
            stopped_by: "rotate".into(),
            duration_ns: rotation.duration_ns(Instant::now()),
            sampled_out: self.session.take_sampled_out(),
            ..End::default()
        };
        rotation.seal(writer, end, whole, now)
    }
}

fn finish(path: PathBuf, writer: Writer, end: End) -> Result<Finished> {
    let drops = end.ledger.user_queue_drops;
    let manifest = writer.finish(end)?;
    Ok(Finished {
        path,
        bytes: manifest.parts.iter().map(|part| part.bytes).sum(),
        not_taken: manifest.ledger.user_queue_drops - drops,
    })
}

/// `production.mb` → `production-000002.mb`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number:06}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use membench_event::Transport;

    use super::*;

    #[test]
    fn the_number_stands_before_the_extension() {
        for (path, expected) in [
            ("a/production.mb", "a/production-000007.mb"),
            ("production", "production-000007"),
            ("x.y.mb", "x.y-000007.mb"),
        ] {
            assert_eq!(numbered(Path::new(path), 7), Path::new(expected));
        }
    }

    #[test]
    fn a_profile_lists_the_connections_that_were_open_meanwhile() {
        let row = |connection, opened, closed| ConnectionRow {
            connection,
            server: 0,
            client: 0,
            transport: Transport::Tcp4,
            opened,
            closed,
            close_side: None,
            lost_bytes: 0,
            resyncs: 0,
        };
        let all = [
            row(0, Some(10), Some(90)),
            row(1, Some(10), Some(110)),
            row(2, Some(10), None),
            row(3, Some(100), None),
            row(4, None, None),
        ];
        let mut rotation = Rotation::new(None, "x.mb".into(), Header::default(), false);
        assert_eq!(rotation.rows_of(&all), all);
        rotation.since = 100;
        let found: Vec<_> = rotation
            .rows_of(&all)
            .iter()
            .map(|row| (row.connection, row.opened))
            .collect();
        assert_eq!(found, [(1, None), (2, None), (3, Some(100)), (4, None)]);
    }
}
