//! Events of one recording → one profile after another, each sealed while the next is being written.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use membench_event::{Anchor, ConnectionRow, Ledger, LossRow, ServerRun};
use membench_profile::{End, Header, Owner, Writer};

use crate::recorder::output;
use crate::{Error, Result};

/// Last number of a profile.
const LAST_NUMBER: u32 = 999_999;

/// Limits at which a recording continues in another profile: the first one reached counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotate {
    /// Bytes of one profile.
    pub bytes: Option<u64>,
    /// Time that one profile covers; of a stored source, by its own times.
    pub age: Option<Duration>,
}

impl Rotate {
    /// True if everything goes into one profile.
    pub fn is_never(self) -> bool {
        self == Self::default()
    }
}

/// A profile that was sealed.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    pub(crate) path: PathBuf,
    /// Size of its parts, and of what was observed.
    pub(crate) bytes: u64,
    /// Events that could not be written.
    pub(crate) not_taken: u64,
}

/// The state of a recording at the moment where one profile ends.
pub(crate) struct Cut {
    /// The moment, on the events' clock, ns.
    pub(crate) now: u64,
    /// The connections that are still open.
    pub(crate) connections: Vec<ConnectionRow>,
    /// Losses since the last cut.
    pub(crate) losses: Vec<LossRow>,
    /// The ledger since the recording began.
    pub(crate) ledger: Ledger,
    /// Events left out since the last cut.
    pub(crate) sampled_out: u64,
    /// The reason for the profile's end.
    pub(crate) stopped_by: String,
    /// The servers' counters at the end.
    pub(crate) statistics_end: serde_json::Value,
    /// The servers' processes so far.
    pub(crate) server_runs: Vec<ServerRun>,
}

/// The profiles of one recording.
pub(crate) struct Profiles {
    writer: Writer,
    rotate: Rotate,
    path: PathBuf,
    header: Header,
    number: u32,
    /// Number of the next profile, once it is created.
    next: u32,
    force: bool,
    /// Start of the current profile on the events' clock, ns.
    begun: u64,
    /// Time before which connections were opened in earlier profiles, ns; 0 for the first profile.
    since: u64,
    /// The ledger of the earlier profiles.
    before: Ledger,
    sealing: Option<JoinHandle<Result<Finished>>>,
    finished: Vec<Finished>,
}

impl Profiles {
    /// Creates the first profile, which is to belong to `owner`.
    pub(crate) fn create(
        path: PathBuf,
        header: Header,
        rotate: Rotate,
        owner: Option<Owner>,
        force: bool,
    ) -> Result<Self> {
        let first = name(&path, rotate, 1);
        Ok(Self {
            writer: Writer::create_for(owner, &first, header.clone(), force)?,
            rotate,
            path,
            number: 1,
            next: 2,
            force,
            begun: header.anchor.monotonic_ns,
            header,
            since: 0,
            before: Ledger::default(),
            sealing: None,
            finished: Vec::new(),
        })
    }

    /// The current profile.
    pub(crate) fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Appends connections that have ended to the current profile.
    pub(crate) fn append_connections(&mut self, ended: Vec<ConnectionRow>) -> Result<()> {
        let rows = rows_since(self.since, ended);
        Ok(self.writer.append_connections(rows)?)
    }

    /// Notes the connections that are open in the current profile, in case the recorder is killed.
    pub(crate) fn save_open_connections(&mut self, open: Vec<ConnectionRow>) -> Result<()> {
        let rows = rows_since(self.since, open);
        Ok(self.writer.save_open_connections(&rows)?)
    }

    /// The user that the profiles belong to.
    pub(crate) fn owner(&self) -> Owner {
        self.writer.owner()
    }

    /// Fails if the calling thread, which has become the profiles' owner by now, may not create another one.
    pub(crate) fn check(&self) -> Result<()> {
        if self.rotate.is_never() {
            return Ok(());
        }
        output::check_folder(output::folder_of(&self.path))
    }

    /// Bytes written to all profiles.
    pub(crate) fn bytes_written(&self) -> u64 {
        let before: u64 = self.finished.iter().map(|one| one.bytes).sum();
        before + self.writer.bytes_written()
    }

    /// Bytes free on the disk, if the system tells.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        self.writer.free_bytes()
    }

    /// True if the next profile is due at `now`, ns. Only one is sealed at a time.
    pub(crate) fn is_due(&self, now: u64, may_wait: bool) -> bool {
        let Rotate { bytes, age } = self.rotate;
        let covered = Duration::from_nanos(now.saturating_sub(self.begun));
        let is_large = bytes.is_some_and(|limit| self.writer.bytes_written() >= limit);
        let is_old = age.is_some_and(|limit| covered >= limit);
        let sealed = || self.sealing.as_ref().is_none_or(JoinHandle::is_finished);
        (is_large || is_old) && (may_wait || sealed())
    }

    /// Creates the next profile, which begins at `now`, ns. It gets the next number that no other output has.
    pub(crate) fn create_next(&mut self, now: u64) -> Result<Writer> {
        self.collect()?;
        let first = self.header.anchor;
        let header = Header {
            anchor: Anchor {
                monotonic_ns: now,
                utc_ns: first.utc_ns(now).cast_unsigned(),
            },
            statistics_start: serde_json::Value::Null,
            ..self.header.clone()
        };
        self.next = self.number + 1;
        loop {
            let path = name(&self.path, self.rotate, self.next);
            match Writer::create(&path, header.clone(), self.force) {
                Err(
                    membench_profile::Error::Exists { .. }
                    | membench_profile::Error::NotReplaced { .. }
                    | membench_profile::Error::BeingRecorded { .. },
                ) if self.next < LAST_NUMBER => self.next += 1,
                created => return Ok(created?),
            }
        }
    }

    /// Continues in the next profile, and seals the current one on a thread of its own.
    pub(crate) fn switch_to(&mut self, next: Writer, cut: Cut) -> Result<()> {
        let path = name(&self.path, self.rotate, self.number);
        let (now, ledger) = (cut.now, cut.ledger.clone());
        let end = self.end_of_current(cut);
        let last = std::mem::replace(&mut self.writer, next);
        (self.number, self.begun, self.since) = (self.next, now, now);
        self.before = ledger;
        let sealed = path.clone();
        let thread = thread::Builder::new()
            .name("membench-rotate".into())
            .spawn(move || seal(sealed, last, end))
            .map_err(|source| Error::Io { path, source })?;
        self.sealing = Some(thread);
        Ok(())
    }

    /// Returns what has the name of another profile of this recording and is none of it, in order: an earlier recording
    /// left it.
    pub(crate) fn others(&self) -> Vec<PathBuf> {
        if self.rotate.is_never() {
            return Vec::new();
        }
        let current = name(&self.path, self.rotate, self.number);
        let own: Vec<_> = self.finished.iter().map(|one| &one.path).collect();
        let entries = fs::read_dir(output::folder_of(&self.path)).into_iter();
        let mut others: Vec<PathBuf> = entries
            .flatten()
            .flatten()
            .map(|entry| self.path.with_file_name(entry.file_name()))
            .filter(|path| {
                is_numbered(&self.path, path) && *path != current && !own.contains(&path)
            })
            .collect();
        others.sort_unstable();
        others
    }

    /// Seals the last profile. Returns all of them, and the first failure.
    pub(crate) fn finish(mut self, cut: Cut) -> (Vec<Finished>, Option<Error>) {
        let failure = self.collect().err();
        let path = name(&self.path, self.rotate, self.number);
        let end = self.end_of_current(cut);
        let failure = match seal(path, self.writer, end) {
            Ok(last) => {
                self.finished.push(last);
                failure
            }
            Err(error) => failure.or(Some(error)),
        };
        (self.finished, failure)
    }

    /// The current profile's share of the recording: everything since the last cut.
    fn end_of_current(&self, cut: Cut) -> End {
        End {
            connections: rows_since(self.since, cut.connections),
            losses: cut.losses,
            ledger: cut.ledger.since(&self.before),
            statistics_end: cut.statistics_end,
            server_runs: cut.server_runs,
            stopped_by: cut.stopped_by,
            duration_ns: cut.now.saturating_sub(self.begun),
            sampled_out: cut.sampled_out,
        }
    }

    /// Waits for the profile that is being sealed, and takes note of it.
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
}

/// Returns the rows without the times of opening before `since`, ns, which belong to earlier profiles.
fn rows_since(since: u64, mut rows: Vec<ConnectionRow>) -> Vec<ConnectionRow> {
    for row in &mut rows {
        row.opened = row.opened.filter(|opened| *opened >= since);
    }
    rows
}

fn seal(path: PathBuf, writer: Writer, end: End) -> Result<Finished> {
    let before = end.ledger.unwritten;
    let manifest = writer.finish(end)?;
    Ok(Finished {
        path,
        bytes: manifest.event_bytes() + manifest.observation_bytes(),
        not_taken: manifest.ledger.unwritten - before,
    })
}

/// Returns true if `other` is named as a profile of the recording `path` is.
fn is_numbered(path: &Path, other: &Path) -> bool {
    let digits = other.file_stem().and_then(|stem| stem.to_str());
    let digits = digits
        .and_then(|stem| stem.rsplit_once('-'))
        .map(|(_, digits)| digits);
    let number = digits.and_then(|digits| digits.parse().ok());
    number.is_some_and(|number| numbered(path, number) == other)
}

/// Returns the path of the `number`th profile.
pub(crate) fn name(path: &Path, rotate: Rotate, number: u32) -> PathBuf {
    if rotate.is_never() {
        path.to_owned()
    } else {
        numbered(path, number)
    }
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
    fn profiles_of_other_recordings_are_told_by_their_names() {
        let path = Path::new("a/production.mb");
        for (other, expected) in [
            ("a/production-000002.mb", true),
            ("a/production-2.mb", false),
            ("a/production.mb", false),
            ("a/other-000002.mb", false),
            ("a/production-000002.txt", false),
        ] {
            assert_eq!(is_numbered(path, Path::new(other)), expected, "{other}");
        }
    }

    #[test]
    fn an_output_that_exists_already_is_passed_over_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.mb");
        let rotate = Rotate {
            bytes: Some(1),
            age: None,
        };
        let taken = numbered(&path, 2);
        fs::create_dir(&taken).unwrap();
        let mut profiles =
            Profiles::create(path.clone(), Header::default(), rotate, None, false).unwrap();
        let cut = || Cut {
            now: 0,
            connections: Vec::new(),
            losses: Vec::new(),
            ledger: Ledger::default(),
            sampled_out: 0,
            stopped_by: "rotate".to_owned(),
            statistics_end: serde_json::Value::Null,
            server_runs: Vec::new(),
        };
        let next = profiles.create_next(0).unwrap();
        profiles.switch_to(next, cut()).unwrap();
        profiles.collect().unwrap();
        assert_eq!(profiles.others(), [taken]);
        let (finished, failure) = profiles.finish(cut());
        let paths: Vec<_> = finished.into_iter().map(|one| one.path).collect();
        assert_eq!(paths, [1, 3].map(|number| numbered(&path, number)));
        assert!(failure.is_none());
    }

    #[test]
    fn a_connection_of_an_earlier_profile_carries_no_time_of_opening() {
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
            row(1, Some(10), Some(110)),
            row(2, Some(10), None),
            row(3, Some(100), None),
            row(4, None, None),
        ];
        assert_eq!(rows_since(0, all.to_vec()), all);
        let found: Vec<_> = rows_since(100, all.to_vec())
            .iter()
            .map(|row| (row.connection, row.opened))
            .collect();
        assert_eq!(found, [(1, None), (2, None), (3, Some(100)), (4, None)]);
    }
}
