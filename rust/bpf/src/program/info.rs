//! Facts that the kernel keeps about loaded programs: their cost, and how often they did not run.

use std::{
    fs::File,
    io::{self, Read, Seek},
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use aya::{
    programs::{ProgramError, ProgramInfo},
    sys::Stats,
};

use crate::{Capability, Error, Result, failure, sys::command};

/// Facts that the kernel keeps about a loaded program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The first 15 bytes of the program's name.
    pub name: String,
    /// The program's number, by which tools such as `bpftool` find it.
    pub id: u32,
    /// Instructions that the verifier processed; `None` before Linux 5.16. Its limit is one million.
    pub verified_instructions: Option<u32>,
    /// Number of runs while runs were counted: see [`RunStatistics`].
    pub runs: u64,
    /// Time that those runs took.
    pub run_time: Duration,
}

impl Info {
    /// Iterates over all programs of this machine, which takes `CAP_SYS_ADMIN`; a program that is unloaded meanwhile is
    /// left out.
    ///
    /// # Errors
    ///
    /// An item is [`Error::MissingCapabilities`] or [`Error::Load`] if the kernel does not list its programs.
    pub fn all() -> impl Iterator<Item = Result<Self>> {
        aya::programs::loaded_programs().filter_map(|info| match info {
            Ok(info) => Some(Ok(Self::from(&info))),
            Err(error) => {
                let error = failure::load("programs", &[Capability::SysAdmin], error.into());
                let is_gone = matches!(&error, Error::Load { source, .. }
                    if source.kind() == io::ErrorKind::NotFound);
                (!is_gone).then_some(Err(error))
            }
        })
    }
}

impl Info {
    pub(super) fn of(program: BorrowedFd<'_>) -> io::Result<Self> {
        let found = command::program(program)?;
        Ok(Self {
            name: command::name(&found.name),
            id: found.id,
            verified_instructions: (found.verified_insns > 0).then_some(found.verified_insns),
            runs: found.run_cnt,
            run_time: Duration::from_nanos(found.run_time_ns),
        })
    }
}

impl From<&ProgramInfo> for Info {
    fn from(info: &ProgramInfo) -> Self {
        Self {
            name: info.name_as_str().unwrap_or_default().into(),
            id: info.id(),
            verified_instructions: info.verified_instruction_count(),
            runs: info.run_count(),
            run_time: info.run_time(),
        }
    }
}

/// Has the kernel count the runs of every program of the machine, until it is dropped (Linux 5.8). Each run then costs
/// about 20 ns more. It takes `CAP_SYS_ADMIN`.
pub struct RunStatistics(#[expect(dead_code, reason = "held until it is dropped")] OwnedFd);

impl RunStatistics {
    /// Starts counting.
    pub fn enable() -> Result<Self> {
        let enabled = aya::sys::enable_stats(Stats::RunTime);
        enabled.map(Self).map_err(|error| {
            let error = ProgramError::from(error);
            failure::load("run statistics", &[Capability::SysAdmin], error.into())
        })
    }
}

/// Counts that the kernel keeps of a loaded program, opened while this process is allowed to.
pub struct Runs(File);

impl Runs {
    /// Opens the description of a program's descriptor in `/proc`.
    pub(super) fn open(program: BorrowedFd<'_>) -> Result<Self> {
        let path = format!("/proc/self/fdinfo/{}", program.as_raw_fd());
        File::open(&path).map(Self).map_err(|source| Error::Io {
            path: path.into(),
            source,
        })
    }

    /// Returns how often the program did not run because it was already running on that CPU; 0 on kernels before 5.12,
    /// which do not count it.
    pub fn misses(&mut self) -> Result<u64> {
        self.read()
            .map(|text| recursion_misses(&text))
            .map_err(|source| Error::Io {
                path: "/proc/self/fdinfo".into(),
                source,
            })
    }

    fn read(&mut self) -> io::Result<String> {
        let mut text = String::new();
        self.0.rewind()?;
        self.0.read_to_string(&mut text)?;
        Ok(text)
    }
}

fn recursion_misses(text: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_are_read_from_the_kernels_description_of_a_program() {
        let text = "pos:\t0\nflags:\t02000000\nprog_type:\t26\nrun_cnt:\t9\nrecursion_misses:\t17\nverified_insns:\t6\n";
        assert_eq!(recursion_misses(text), 17);
        assert_eq!(recursion_misses("pos:\t0\n"), 0);
    }
}
