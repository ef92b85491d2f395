//! The machine's CPUs, by which maps and rings are sized.

use std::io;

use aya::util;

use crate::{Error, Result};

/// Returns how many CPUs the machine can ever have: every one of them has a number below this.
pub fn possible_cpus() -> Result<u32> {
    let cpus = util::nr_cpus().map_err(unreadable)?;
    Ok(u32::try_from(cpus).unwrap_or(u32::MAX))
}

/// Returns the numbers of the CPUs that are online now.
pub fn online_cpus() -> Result<Vec<u32>> {
    util::online_cpus().map_err(unreadable)
}

fn unreadable((path, source): (&str, io::Error)) -> Error {
    Error::Io {
        path: path.into(),
        source,
    }
}
