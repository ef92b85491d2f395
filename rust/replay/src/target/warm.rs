//! Items that the recording proves present at its start → sets, sent before the measured time.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use membench_event::Command;
use serde::Serialize;

use crate::make::content::Content;
use crate::make::keys::ShortKeys;
use crate::make::opaque::Opaque;
use crate::make::request::RequestWriter;
use crate::operation::{Kind, Marks, Operation};
use crate::plan::extent::id_in_set;
use crate::plan::{Choices, Plan, WarmItem};
use crate::target::control::Control;
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

/// Stores the plan's items for the target of this index, and reads its answers, unless `observer` ends the run.
pub(crate) fn store(
    (index, target): (u16, &Target),
    plan: &Plan,
    keys: &mut ShortKeys,
    content: &Content,
    observer: &mut dyn Observer,
) -> Result<Warm> {
    let failed = |source| target.failed(source);
    let mut warm = Warm::default();
    let mut requests = RequestWriter::new(Arc::clone(&plan.templates), content);
    let mut connection = target.another()?;
    let protocol = connection.protocol();
    let mut round = Vec::new();
    let mut count = 0;
    let Choices { extent, share, .. } = plan.choices;
    let items = plan
        .warm
        .iter()
        .filter(|((target, _), _)| *target == index)
        .filter_map(|((_, id), item)| Some((*id, item.as_ref()?)));
    let each_set = items.flat_map(|(id, item)| extent.key_sets().map(move |set| (id, set, item)));
    for (id, set, item) in each_set {
        let counts = plan.counters.contains(&id);
        // Keys are numbered by all processes, so that short ones are the same in each.
        let (key_prefix, key_size) = content.sizes(item.key_size);
        let key = keys.number(id_in_set(id, set), key_size);
        if !share.has(id) {
            continue;
        }
        let operation = warm.operation(key, item, counts);
        let operation = Operation {
            protocol,
            key_size,
            key_prefix,
            ..operation
        };
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
    /// Adds what was stored in another target.
    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            keys,
            bytes,
            refused,
            unseen_sizes,
            bytes_written,
        } = other;
        self.keys += keys;
        self.bytes += bytes;
        self.refused += refused;
        self.unseen_sizes += unseen_sizes;
        self.bytes_written += bytes_written;
    }

    /// Counts an item and returns the `set` that stores it. `counts` is true if the recording uses `incr` or `decr` on
    /// the key.
    fn operation(&mut self, key: u64, item: &WarmItem, counts: bool) -> Operation {
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
            key,
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
        connection: &mut Control,
        round: &mut Vec<u8>,
        count: u64,
    ) -> io::Result<()> {
        connection.write(round)?;
        self.bytes_written += round.len() as u64;
        round.clear();
        let deadline = Instant::now() + PATIENCE;
        for _ in 0..count {
            self.refused += u64::from(!connection.is_stored(deadline)?);
        }
        Ok(())
    }
}
