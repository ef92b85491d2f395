//! Sums by CPU and class of command in shared memory → the account of each class since the last look.

use std::{cmp::Reverse, collections::HashMap};

use membench_bpf::{Loaded, Memory};
use membench_common::observe::{self, class};
use zerocopy::FromBytes;

use crate::{Command, Result, interval::COMMANDS, sums::Sums};

/// The map of sums by class.
pub(crate) struct Commands {
    sums: Memory,
    /// By place in the map, of those that had requests.
    last: HashMap<usize, observe::Account>,
}

impl Commands {
    pub(crate) fn open(object: &Loaded) -> Result<Self> {
        Ok(Self {
            sums: object.map("commands")?.memory()?,
            last: HashMap::new(),
        })
    }

    /// Returns the account of each class that had requests since the last call, the one with the most time first.
    pub(crate) fn take(&mut self) -> Vec<Command> {
        let mut found: Vec<_> = COMMANDS
            .into_iter()
            .enumerate()
            .map(|(class, name)| (name, self.class(class)))
            .filter(|(_, sums)| sums.requests > 0)
            .collect();
        found.sort_by_key(|(name, sums)| (Reverse(sums.whole()), *name));
        let named = found.iter().map(|(command, sums)| Command {
            command,
            account: sums.account(),
        });
        named.collect()
    }

    fn class(&mut self, class: usize) -> Sums {
        let mut sums = Sums::new();
        for place in (class..self.sums.entries()).step_by(class::STRIDE) {
            let now = self.sums.read(place).unwrap_or_default();
            let Ok(now) = observe::Account::read_from_bytes(&now) else {
                continue;
            };
            if now.requests > 0 {
                sums.add_since(self.last.get(&place), &now);
                self.last.insert(place, now);
            }
        }
        sums
    }
}
