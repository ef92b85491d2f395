//! Items that the recording proves present at its start → sets, sent before the measured time.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use membench_event::Command;
use serde::Serialize;

use crate::make::keys::ShortKeys;
use crate::make::opaque::Opaque;
use crate::make::request::RequestWriter;
use crate::operation::{Kind, Marks, Operation};
use crate::plan::{Plan, WarmItem};
use crate::target::lines::Lines;
use crate::target::{PATIENCE, Target};
use crate::{Error, Observer, Result};

/// Bytes of requests written before their answers are read.
const ROUND: usize = 256 * 1024;

/// Value size of items whose size the recording never shows, bytes.
const UNSEEN_SIZE: u32 = 100;

/// Value size of counters whose size the recording never shows, digits.
const UNSEEN_COUNTER: u32 = 10;

/// Items stored in the target before the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Warm {
    /// Items sent to the target.
    pub keys: u64,
    /// Bytes of the items' values.
    pub bytes: u64,
    /// Items the target did not store.
    pub refused: u64,
    /// Items whose size the recording does not show. They are stored with 100 bytes, counters with 10 digits.
    pub unseen_sizes: u64,
    /// Bytes of the requests that stored the items.
    pub bytes_written: u64,
}

/// Stores the plan's items in the target, and reads its answers, unless `observer` ends the run.
pub(crate) fn store(
    target: &Target,
    plan: &Plan,
    keys: &mut ShortKeys,
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<Warm> {
    let failed = |source| target.failed(source);
    let mut warm = Warm::default();
    let mut requests = RequestWriter::new(Arc::clone(&plan.templates), seed);
    let mut connection = target.another()?;
    let mut round = Vec::new();
    let mut count = 0;
    for (id, item) in &plan.warm {
        let Some(item) = item else { continue };
        let operation = warm.operation(*id, item, plan.counters.contains(id), keys);
        requests.append(&mut round, &[operation], Opaque::default());
        count += 1;
        if round.len() >= ROUND {
            let count = std::mem::take(&mut count);
            warm.finish_round(&mut connection, &mut round, count)
                .map_err(failed)?;
            if !observer.goes_on() {
                return Err(Error::Stopped);
            }
        }
    }
    warm.finish_round(&mut connection, &mut round, count)
        .map_err(failed)?;
    Ok(warm)
}

impl Warm {
    /// Counts an item and returns the `set` that stores it. `counts` is true if the recording uses `incr` or `decr` on
    /// the key.
    fn operation(
        &mut self,
        id: u64,
        item: &WarmItem,
        counts: bool,
        keys: &mut ShortKeys,
    ) -> Operation {
        let unseen = if counts { UNSEEN_COUNTER } else { UNSEEN_SIZE };
        let size = item.value_size.unwrap_or(unseen);
        self.keys += 1;
        self.bytes += u64::from(size);
        self.unseen_sizes += u64::from(item.value_size.is_none());
        let mut marks = Marks::default();
        marks.set(Marks::VALUE, true);
        marks.set(Marks::DECIMAL, counts);
        Operation {
            command: Command::Set,
            key: keys.number(id, item.key_size),
            key_size: item.key_size,
            value_size: size,
            flags: item.flags,
            marks,
            ..Operation::new(Kind::Request, 0, 0)
        }
    }

    /// Writes `round`, which holds `count` requests, and reads their answers.
    fn finish_round(
        &mut self,
        connection: &mut Lines,
        round: &mut Vec<u8>,
        count: u64,
    ) -> io::Result<()> {
        connection.write(round)?;
        self.bytes_written += round.len() as u64;
        round.clear();
        let (mut line, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        for _ in 0..count {
            connection.read(&mut line, deadline)?;
            self.refused += u64::from(!line.starts_with(b"STORED"));
        }
        Ok(())
    }
}
